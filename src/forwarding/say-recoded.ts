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
import { dicomCode, sayDerived, saySource } from '../transform/derivation.ts';
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

const SOP_UID = '00080018';
const DERIVATION_CODES = '00089215';
const PHOTOMETRIC_INTERPRETATION = '00280004';
const PLANAR_CONFIGURATION = '00280006';
const LOSSY = '00282110';
const LOSSY_RATIO = '00282112';
const LOSSY_METHOD = '00282114';
/** What a signature was reckoned over; tables of fragments were left out when the header was read. */
const MAC_PARAMETERS = '4FFE0001';

export function sayRecoded(dataSet: EditableDataSet, recoded: Recoded): void {
  const { pixel, recoding, nativeBytes, storedBytes, encodedBytes } = recoded;
  const after = encodedPixel(pixel, recoding);
  if (after.photometricInterpretation !== pixel.photometricInterpretation)
    dataSet.set(PHOTOMETRIC_INTERPRETATION, 'CS', [after.photometricInterpretation]);
  if (pixel.samplesPerPixel > 1) dataSet.set(PLANAR_CONFIGURATION, 'US', [after.planarConfiguration]);
  dataSet.remove(MAC_PARAMETERS);
  removeCompressedIcons(dataSet);
  const before = lossyMethod(pixel.transferSyntaxUid);
  // Nothing else tells any more that it was compressed with loss before.
  if (before !== undefined && dataSet.text(LOSSY) !== '01')
    sayLossy(dataSet, before, nativeBytes / storedBytes);
  if (recoding.loss && encodedBytes !== undefined) {
    sayLossy(dataSet, lossyMethod(recoding.to)!, nativeBytes / encodedBytes);
    sayAnother(dataSet, recoded, recoding.loss);
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

function sayAnother(dataSet: EditableDataSet, { recoding, form }: Recoded, loss: Loss): void {
  const [measure, value] = Object.entries(loss)[0]!;
  sayDerived(dataSet, `Lossy compression: ${transferSyntax(recoding.to).name}, ${measure} ${value}`);
  dataSet.setItems(DERIVATION_CODES, [
    ...dataSet.items(DERIVATION_CODES),
    dicomCode(dataSet, '113040', 'Lossy Compression'),
  ]);
  const uid = dataSet.text(SOP_UID);
  saySource(dataSet, uid, ['121320', 'Uncompressed predecessor']);
  const how = createHash('sha256')
    .update(JSON.stringify([form, recoding.to, loss]))
    .digest('hex');
  dataSet.set(SOP_UID, 'UI', [replacedUid(how, uid)]);
}

/** Icons in a compression that the transfer syntax does not say any more (PS3.5 A.4). */
function removeCompressedIcons(dataSet: EditableDataSet): void {
  for (const [tag, { items = [] }] of [...dataSet.elements]) {
    if (items.some((item) => [...item.elements.values()].some(({ fragments }) => fragments)))
      dataSet.remove(tag);
    else for (const item of items) removeCompressedIcons(item);
  }
}
