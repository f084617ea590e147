/**
 * What the header says of pixels that leave in another transfer syntax: how they lie now, and, where something was lost,
 * that this is another instance, made of which one and how. Called by recoded-object.ts once the frames are made.
 * Sources: PS3.5 8.2, PS3.3 C.7.6.1.1.2 and C.7.6.1.1.5 (lossy compression), C.7.6.3 (Image Pixel), C.12.4 (derivation).
 */
import { createHash } from 'node:crypto';
import type { Loss } from '../dicom/encodings.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { lossyMethod } from '../pixels/decodable.ts';
import { encodedPixel, type Recoding } from '../pixels/encodable.ts';
import type { ImagePixel } from '../pixels/image-pixel.ts';
import type { EditableDataSet } from '../transform/editable-data-set.ts';
import { replacedUid } from '../transform/pseudonym.ts';

export interface Recoded {
  /** As it is stored. */
  readonly pixel: ImagePixel;
  readonly recoding: Recoding;
  /** Of all frames: native, as stored, as they leave (undefined when native). */
  readonly nativeBytes: number;
  readonly storedBytes: number;
  readonly encodedBytes: number | undefined;
  /** Of what the rule changes: the same again gives the same instance. */
  readonly form: string;
}

const IMAGE_TYPE = '00080008';
const FRAME_TYPE = '00089007';
const SOP_CLASS = '00080016';
const SOP_UID = '00080018';
const DERIVATION_DESCRIPTION = '00082111';
const SOURCE_IMAGES = '00082112';
const DERIVATION_CODES = '00089215';
const PHOTOMETRIC_INTERPRETATION = '00280004';
const PLANAR_CONFIGURATION = '00280006';
const LOSSY = '00282110';
const LOSSY_RATIO = '00282112';
const LOSSY_METHOD = '00282114';
/** Tables of fragments that are no more, and what a signature was reckoned over. */
const NO_LONGER_TRUE = ['7FE00001', '7FE00002', '7FE00003', '4FFE0001'];
const DESCRIPTION_LENGTH = 1024;

export function sayRecoded(dataSet: EditableDataSet, recoded: Recoded): void {
  const { pixel, recoding, nativeBytes, storedBytes, encodedBytes } = recoded;
  const after = encodedPixel(pixel, recoding);
  if (after.photometricInterpretation !== pixel.photometricInterpretation)
    dataSet.set(PHOTOMETRIC_INTERPRETATION, 'CS', [after.photometricInterpretation]);
  if (pixel.samplesPerPixel > 1) dataSet.set(PLANAR_CONFIGURATION, 'US', [after.planarConfiguration]);
  for (const tag of NO_LONGER_TRUE) dataSet.remove(tag);
  removeCompressedIcons(dataSet);
  const before = lossyMethod(pixel.transferSyntaxUid);
  // Nothing else tells any more that it was compressed with loss before.
  if (before !== undefined && dataSet.text(LOSSY) !== '01')
    sayLossy(dataSet, before, nativeBytes / storedBytes);
  if (recoding.loss && encodedBytes !== undefined) {
    sayLossy(dataSet, lossyMethod(recoding.to)!, nativeBytes / encodedBytes);
    sayDerived(dataSet, recoded, recoding.loss);
  }
}

/** PS3.3 C.7.6.1.1.5: each compression adds its ratio and its method. */
function sayLossy(dataSet: EditableDataSet, method: string, ratio: number): void {
  dataSet.set(LOSSY, 'CS', ['01']);
  const add = (tag: string, vr: string, value: string): void => {
    const values = (dataSet.texts(tag) ?? []).filter((one) => one !== '');
    dataSet.set(tag, vr, [...values, value]);
  };
  add(LOSSY_RATIO, 'DS', ratio.toFixed(2));
  add(LOSSY_METHOD, 'CS', method);
}

function sayDerived(dataSet: EditableDataSet, { recoding, form }: Recoded, loss: Loss): void {
  const [, ...type] = dataSet.texts(IMAGE_TYPE) ?? [];
  dataSet.set(IMAGE_TYPE, 'CS', ['DERIVED', ...(type.length > 0 ? type : ['PRIMARY'])]);
  deriveFrames(dataSet);
  const [measure, value] = Object.entries(loss)[0]!;
  const done = `Lossy compression: ${transferSyntax(recoding.to).name}, ${measure} ${value}`;
  const before = dataSet.text(DERIVATION_DESCRIPTION);
  const description = before === '' ? done : `${before}; ${done}`;
  dataSet.set(DERIVATION_DESCRIPTION, 'ST', [description.length > DESCRIPTION_LENGTH ? done : description]);
  dataSet.setItems(DERIVATION_CODES, [
    ...dataSet.items(DERIVATION_CODES),
    code(dataSet, '113040', 'Lossy Compression'),
  ]);
  const uid = dataSet.text(SOP_UID);
  const source = dataSet.newItem();
  source.set('00081150', 'UI', [dataSet.text(SOP_CLASS)]);
  source.set('00081155', 'UI', [uid]);
  source.setItems('0040A170', [code(dataSet, '121320', 'Uncompressed predecessor')]);
  dataSet.setItems(SOURCE_IMAGES, [...dataSet.items(SOURCE_IMAGES), source]);
  const how = createHash('sha256')
    .update(JSON.stringify([form, recoding.to, loss]))
    .digest('hex');
  dataSet.set(SOP_UID, 'UI', [replacedUid(how, uid)]);
}

/** Multi-frame objects say the same of their frames, in items of their functional groups (PS3.3 C.8.16.1). */
function deriveFrames(dataSet: EditableDataSet): void {
  for (const { items } of dataSet.elements.values())
    for (const item of items ?? []) {
      const [original, ...rest] = item.texts(FRAME_TYPE) ?? [];
      if (original !== undefined) item.set(FRAME_TYPE, 'CS', ['DERIVED', ...rest]);
      deriveFrames(item);
    }
}

/** Icons in a compression that the transfer syntax does not say any more (PS3.5 A.4). */
function removeCompressedIcons(dataSet: EditableDataSet): void {
  for (const [tag, { items = [] }] of [...dataSet.elements]) {
    if (items.some((item) => [...item.elements.values()].some(({ fragments }) => fragments)))
      dataSet.remove(tag);
    else for (const item of items) removeCompressedIcons(item);
  }
}

function code(dataSet: EditableDataSet, value: string, meaning: string): EditableDataSet {
  const item = dataSet.newItem();
  item.set('00080100', 'SH', [value]);
  item.set('00080102', 'SH', ['DCM']);
  item.set('00080104', 'LO', [meaning]);
  return item;
}
