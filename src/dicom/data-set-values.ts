/**
 * Values out of a parsed data set: texts in their character set, numbers in their byte order.
 * Called through data-set.ts by everyone who reads a header, and by dicom-json.
 */

import { decodeText } from './charset.ts';
import type { DataSet, Element } from './element.ts';
import { trimSpaces } from './padding.ts';

/** VRs whose value is one text even when it holds backslashes (PS3.5 6.2). */
const SINGLE_TEXTS = new Set(['ST', 'LT', 'UT', 'UR']);
const NUMBER_SIZES: Record<string, number> = { US: 2, SS: 2, UL: 4, SL: 4, FL: 4, FD: 8, SV: 8, UV: 8 };

/** The first value as text, '' when it is empty; undefined when the element is absent. */
export function text(dataSet: DataSet, tag: string): string | undefined {
  const element = dataSet.elements.get(tag);
  return element && (textValues(dataSet, element)[0] ?? '');
}

/** All values as texts; empty when the element is absent or empty. */
export function texts(dataSet: DataSet, tag: string): string[] {
  const element = dataSet.elements.get(tag);
  return element ? textValues(dataSet, element) : [];
}

/** The first value as a whole number, from binary VRs and from IS or DS; undefined when there is none. */
export function int(dataSet: DataSet, tag: string): number | undefined {
  const value = number(dataSet, tag);
  return value !== undefined && Number.isSafeInteger(value) ? value : undefined;
}

/** The first value as a finite number, from binary VRs and from IS or DS; undefined when there is none. */
export function number(dataSet: DataSet, tag: string): number | undefined {
  const element = dataSet.elements.get(tag);
  if (!element) return undefined;
  if (element.vr in NUMBER_SIZES) {
    const [first] = numberValues(dataSet, element);
    return first === undefined || !Number.isFinite(Number(first)) ? undefined : Number(first);
  }
  return decimal(textValues(dataSet, element)[0] ?? '');
}

/**
 * The element at a path of tags and item indexes ("00081140/0/00081155", items counted from 0), with the data set
 * it stands in; undefined when there is none. The paths are those toDicomJson gives to its bulkDataUri.
 */
export function elementAt(dataSet: DataSet, path: string): { element: Element; within: DataSet } | undefined {
  const steps = path.split('/');
  let within = dataSet;
  for (let step = 0; step + 2 < steps.length; step += 2) {
    const item = within.elements.get(steps[step]!)?.items?.[Number(steps[step + 1])];
    if (!item) return undefined;
    within = item;
  }
  const element = steps.length % 2 === 1 ? within.elements.get(steps.at(-1)!) : undefined;
  return element && { element, within };
}

/** The texts of an element, split at backslashes where its VR has several, each without its padding. */
export function textValues(
  dataSet: Pick<DataSet, 'characterSet'>,
  element: Pick<Element, 'value' | 'vr'>,
): string[] {
  if (element.value.length === 0) return [];
  const whole = decodeText(element.value, dataSet.characterSet, element.vr);
  if (SINGLE_TEXTS.has(element.vr)) return [whole];
  return whole.includes('\\') ? whole.split('\\').map(trimSpaces) : [trimSpaces(whole)];
}

/** The numbers of an element of a binary VR; bigint for SV and UV. An odd rest of bytes is left out. */
export function numberValues(dataSet: DataSet, element: Element): (number | bigint)[] {
  const size = NUMBER_SIZES[element.vr];
  if (size === undefined) return [];
  const { buffer, byteOffset, length } = element.value;
  const view = new DataView(buffer, byteOffset, length);
  const values: (number | bigint)[] = [];
  for (let at = 0; at + size <= length; at += size) {
    values.push(numberAt(view, at, element.vr, !dataSet.bigEndian));
  }
  return values;
}

/** The finite number an IS or DS value writes (PS3.5 6.2); undefined for anything else. */
export function decimal(value: string): number | undefined {
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(value)) return undefined;
  const result = Number(value);
  return Number.isFinite(result) ? result : undefined;
}

function numberAt(view: DataView, at: number, vr: string, littleEndian: boolean): number | bigint {
  switch (vr) {
    case 'US':
      return view.getUint16(at, littleEndian);
    case 'SS':
      return view.getInt16(at, littleEndian);
    case 'UL':
      return view.getUint32(at, littleEndian);
    case 'SL':
      return view.getInt32(at, littleEndian);
    case 'FL':
      return view.getFloat32(at, littleEndian);
    case 'FD':
      return view.getFloat64(at, littleEndian);
    case 'SV':
      return view.getBigInt64(at, littleEndian);
    default:
      return view.getBigUint64(at, littleEndian);
  }
}
