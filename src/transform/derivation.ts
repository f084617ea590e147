/**
 * What the header of an image says once its pixels are others than those that were made: DERIVED, how, and of which
 * image. Written by mask.ts and by forwarding/say-recoded.ts; who changes the pixels gives the instance its new UID.
 */
import type { EditableDataSet } from './editable-data-set.ts';

const IMAGE_TYPE = '00080008';
const FRAME_TYPE = '00089007';
const SOP_CLASS = '00080016';
const DESCRIPTION = '00082111';
const SOURCE_IMAGES = '00082112';
const DESCRIPTION_LENGTH = 1024;

/** PS3.3 C.7.6.1.1.2 and C.7.6.1.1.3. @param done in words, added to what was done before */
export function sayDerived(dataSet: EditableDataSet, done: string): void {
  const [, ...type] = dataSet.texts(IMAGE_TYPE) ?? [];
  dataSet.set(IMAGE_TYPE, 'CS', ['DERIVED', ...(type.length > 0 ? type : ['PRIMARY'])]);
  deriveFrames(dataSet);
  const before = dataSet.text(DESCRIPTION);
  const description = before === '' ? done : `${before}; ${done}`;
  dataSet.set(DESCRIPTION, 'ST', [description.length > DESCRIPTION_LENGTH ? done : description]);
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

/** PS3.3 C.7.6.1.1.4. @param purpose of CID 7202: code value of DCM, and meaning */
export function saySource(
  dataSet: EditableDataSet,
  sopUid: string,
  purpose: readonly [value: string, meaning: string],
): void {
  const source = dataSet.newItem();
  source.set('00081150', 'UI', [dataSet.text(SOP_CLASS)]);
  source.set('00081155', 'UI', [sopUid]);
  source.setItems('0040A170', [dicomCode(dataSet, ...purpose)]);
  dataSet.setItems(SOURCE_IMAGES, [...dataSet.items(SOURCE_IMAGES), source]);
}

/** An item that holds a code of the Standard's own scheme (PS3.3 8.8). */
export function dicomCode(dataSet: EditableDataSet, value: string, meaning: string): EditableDataSet {
  const item = dataSet.newItem();
  item.set('00080100', 'SH', [value]);
  item.set('00080102', 'SH', ['DCM']);
  item.set('00080104', 'LO', [meaning]);
  return item;
}
