/**
 * Masks: which part of an image a rule blanks, for which images, and what the header says of it afterwards.
 * Compiled by transform.ts; planned on the header as it is stored, said in the one that leaves. The pixels themselves
 * are blanked by forwarding/masked-pixels.ts.
 */
import { createHash } from 'node:crypto';
import { label } from '../dicom/attributes.ts';
import type { BlankArea } from '../dicom/blank-area.ts';
import { type DataSet, int } from '../dicom/data-set.ts';
import { Failure } from '../failure.ts';
import { dicomCode, sayDerived, saySource } from './derivation.ts';
import type { EditableDataSet, Value } from './editable-data-set.ts';
import { compileImageTest } from './image-test.ts';
import { maskArea, type Region, ultrasoundRegions } from './mask-area.ts';
import { blankOverlays } from './mask-overlays.ts';
import { replacedUid } from './pseudonym.ts';

export interface MaskSettings {
  /** Of which images: values by keyword or path, as they are stored. Without it, of all. */
  readonly when?: Readonly<Record<string, Value | readonly Value[]>> | undefined;
  readonly regions?: readonly Region[] | undefined;
  /** Everything outside of (0018,6011) SequenceOfUltrasoundRegions; of images that have none the mask is not. */
  readonly outsideUltrasoundRegions?: boolean | undefined;
  /** Who wrote the rule has looked: behind the mask nothing in the picture names the patient. */
  readonly textFree?: boolean | undefined;
}

/** The mask of one image. */
export interface Masking {
  readonly area: BlankArea;
  /** Writes into the header what became of the pixels. */
  say(dataSet: EditableDataSet): void;
}

/** @returns undefined when no mask is for this image. @throws Failure when the one that is cannot be drawn */
export type PlanMask = (header: DataSet) => Masking | undefined;

const SOP_UID = '00080018';
const DEIDENTIFICATION_CODES = '00120064';
const BURNED_IN_ANNOTATION = '00280301';
const TOTAL_COLUMNS = '00480006';
const ICON = '00880200';
/** They no longer say what is there: least and most value, and signatures over the pixels. */
const OUTDATED = ['00280106', '00280107', '00280108', '00280109', '00280110', '00280111', '4FFE0001'];
const DONE = 'Regions of the pixels blanked';

/** The first mask whose `when` holds is drawn. @throws Failure 'invalid' when one cannot be understood */
export function compileMasks(masks: readonly MaskSettings[]): PlanMask {
  const compiled = masks.map((mask, index) => ({
    mask,
    where: masks.length === 1 ? 'the mask' : `the mask ${index}`,
    isFor: compileImageTest(mask.when ?? {}),
  }));
  return (header) => {
    for (const { mask, where, isFor } of compiled) {
      if (!isFor(header)) continue;
      const planned = plan(header, mask, where);
      if (planned) return planned;
    }
    return undefined;
  };
}

function plan(header: DataSet, mask: MaskSettings, where: string): Masking | undefined {
  const [rows, columns] = [int(header, '00280010'), int(header, '00280011')];
  if (!rows || !columns)
    throw new Failure('invalid', `${where} needs ${label('00280010')} and ${label('00280011')} of the image`);
  const size = { rows, columns };
  const kept = mask.outsideUltrasoundRegions ? ultrasoundRegions(header, size) : undefined;
  if (mask.outsideUltrasoundRegions && !kept) return undefined;
  if (header.elements.has(TOTAL_COLUMNS))
    throw new Failure('unsupported', 'its frames are tiles of a larger picture, on which no mask is drawn');
  const area = maskArea(size, mask.regions ?? [], kept, where);
  return {
    area,
    say(dataSet) {
      sayMasked(dataSet, header, mask);
      blankOverlays(dataSet, area);
    },
  };
}

function sayMasked(dataSet: EditableDataSet, header: DataSet, mask: MaskSettings): void {
  sayDerived(dataSet, DONE);
  for (const tag of OUTDATED) dataSet.remove(tag);
  removeIcons(dataSet);
  if (mask.textFree) {
    dataSet.set(BURNED_IN_ANNOTATION, 'CS', ['NO']);
    sayCleanPixelData(dataSet);
  }
  const stored = header.elements.get(SOP_UID);
  const uid = dataSet.text(SOP_UID);
  // Other pixels are another instance (PS3.3 C.12.4.1); de-identification has mostly named it already.
  if (!stored || uid !== Buffer.from(stored.value).toString('latin1').replaceAll('\0', '').trim()) return;
  saySource(dataSet, uid, ['121322', 'Source image for image processing operation']);
  dataSet.set(SOP_UID, 'UI', [maskedUid(uid, mask)]);
}

/** The same again for the same mask: what is sent again is the same instance. */
function maskedUid(uid: string, mask: MaskSettings): string {
  return replacedUid(createHash('sha256').update(JSON.stringify(mask)).digest('hex'), uid);
}

/** Icons show what was blanked, those within sequences too. */
function removeIcons(dataSet: EditableDataSet): void {
  dataSet.remove(ICON);
  for (const { items } of dataSet.elements.values()) for (const item of items ?? []) removeIcons(item);
}

/** PS3.15 E.3.1, beside what de-identification has written. */
function sayCleanPixelData(dataSet: EditableDataSet): void {
  const codes = dataSet.items(DEIDENTIFICATION_CODES);
  const isSaid = codes.some((item) => item.text('00080100') === '113101');
  if (codes.length > 0 && !isSaid)
    dataSet.setItems(DEIDENTIFICATION_CODES, [
      ...codes,
      dicomCode(dataSet, '113101', 'Clean Pixel Data Option'),
    ]);
}
