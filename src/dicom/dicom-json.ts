/**
 * The DICOM JSON Model (PS3.18 Annex F) of a parsed data set: WADO metadata, QIDO answers, the index's columns.
 * Text is UTF-8 and free of NULs, so that PostgreSQL's jsonb takes it; (0008,0005) SpecificCharacterSet is what the object
 * was written in (F.2.2, note 3). File Meta and group lengths are left out.
 */

import { swapWords, wordSize } from './byte-order.ts';
import type { DataSet, Element } from './data-set.ts';
import { decimal, numberValues, textValues } from './data-set-values.ts';

export interface DicomJsonElement {
  vr: string;
  Value?: unknown[];
  InlineBinary?: string;
  BulkDataURI?: string;
}

export type DicomJson = Record<string, DicomJsonElement>;

export interface DicomJsonOptions {
  /**
   * The address of a large binary value by its path ("54000100/0/54001010"; see elementAt). Undefined leaves the
   * value out. Without this function large values are given inline and Pixel Data is left out.
   */
  bulkDataUri?: (path: string) => string | undefined;
  /** Binary values longer than this go by BulkDataURI (default 1024 bytes). */
  inlineLimit?: number;
  /** Pixel Data that stands behind the parsed header, as the header scan found it. */
  pixelData?: { tag: string; vr: string };
  /** Of the root's elements only these. */
  only?: ReadonlySet<string>;
  /** Of the root's elements those with more value bytes are left out. */
  longest?: number;
}

const BINARY_VRS = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
const NUMBER_VRS = new Set(['US', 'SS', 'UL', 'SL', 'FL', 'FD', 'SV', 'UV']);
const PIXEL_DATA_TAGS = new Set(['7FE00008', '7FE00009', '7FE00010']);
const NAME_GROUPS = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;

/** PS3.18 F.2. Properties are in ascending order as far as JavaScript keeps one: see dicomJsonText. */
export function toDicomJson(dataSet: DataSet, options: DicomJsonOptions = {}): DicomJson {
  const json = jsonOf(dataSet, options, '');
  const { pixelData } = options;
  if (pixelData && !(pixelData.tag in json)) {
    json[pixelData.tag] = withBulkData({ vr: pixelData.vr }, options.bulkDataUri?.(pixelData.tag));
  }
  return json;
}

/**
 * The text of it with the properties of every object in ascending order (PS3.18 F.2.2): JSON.stringify puts tags
 * that look like array indexes ("30060020") before the others.
 */
export function dicomJsonText(json: DicomJson): string {
  const parts = Object.keys(json)
    .sort()
    .map((tag) => {
      const element = json[tag]!;
      if (element.vr !== 'SQ' || !element.Value) return `"${tag}":${JSON.stringify(element)}`;
      const items = element.Value.map((item) => dicomJsonText(item as DicomJson));
      return `"${tag}":{"vr":"SQ","Value":[${items.join(',')}]}`;
    });
  return `{${parts.join(',')}}`;
}

function jsonOf(dataSet: DataSet, options: DicomJsonOptions, path: string): DicomJson {
  const json: DicomJson = {};
  const { only, longest = Number.POSITIVE_INFINITY } = options;
  for (const tag of ascending(dataSet.elements.keys())) {
    if ((only && path === '' && !only.has(tag)) || isLeftOut(tag)) continue;
    const element = dataSet.elements.get(tag)!;
    if (path === '' && element.length > longest) continue;
    json[tag] = elementJson(dataSet, element, options, path + tag);
  }
  return json;
}

/** Mostly they are in order already. */
export function ascending(tags: Iterable<string>): string[] {
  const list = [...tags];
  for (let n = 1; n < list.length; n++) if (list[n]! < list[n - 1]!) return list.sort();
  return list;
}

export function elementJson(
  dataSet: DataSet,
  element: Element,
  options: DicomJsonOptions,
  path: string,
): DicomJsonElement {
  const { vr } = element;
  if (element.items) {
    const items = element.items.map((item, index) => jsonOf(item, options, `${path}/${index}/`));
    return withValue(vr, items);
  }
  if (element.fragments || BINARY_VRS.has(vr)) return binaryJson(dataSet, element, options, path);
  if (NUMBER_VRS.has(vr)) return withValue(vr, numberValues(dataSet, element).map(jsonNumber));
  if (vr === 'AT') return withValue(vr, tagValues(dataSet, element));
  const values = textValues(dataSet, element);
  if (values.every((value) => value === '')) return { vr };
  if (vr === 'PN') return withValue(vr, values.map(personName));
  if (vr === 'DS' || vr === 'IS') {
    const numbers = values.map((value) => jsonDecimal(value, vr));
    // Nothing in it is a number: better no value than a list of nulls that looks like empty values.
    return numbers.every((value) => value === null) ? { vr } : withValue(vr, numbers);
  }
  return withValue(
    vr,
    values.map((value) => (value === '' ? null : value)),
  );
}

function binaryJson(
  dataSet: DataSet,
  element: Element,
  options: DicomJsonOptions,
  path: string,
): DicomJsonElement {
  const { vr, value } = element;
  // At the root only, where path and tag are the same: an icon in an item is a value like others.
  const isPixels = element.fragments !== undefined || PIXEL_DATA_TAGS.has(path);
  if (!isPixels && value.length === 0) return { vr };
  if (isPixels || (options.bulkDataUri && value.length > (options.inlineLimit ?? 1024))) {
    return withBulkData({ vr }, options.bulkDataUri?.(path));
  }
  return { vr, InlineBinary: littleEndian(dataSet, element).toString('base64') };
}

/** InlineBinary is little endian whatever the data set was (PS3.18 F.2.7). */
function littleEndian(dataSet: DataSet, element: Element): Buffer {
  const { value, vr } = element;
  if (!dataSet.bigEndian) return Buffer.from(value.buffer, value.byteOffset, value.length);
  return swapWords(Buffer.from(value), wordSize(vr));
}

function tagValues(dataSet: DataSet, element: Element): string[] {
  const { buffer, byteOffset, length } = element.value;
  const view = new DataView(buffer, byteOffset, length);
  const values: string[] = [];
  for (let at = 0; at + 4 <= length; at += 4) {
    const group = view.getUint16(at, !dataSet.bigEndian);
    const number = view.getUint16(at + 2, !dataSet.bigEndian);
    values.push((group * 0x10000 + number).toString(16).toUpperCase().padStart(8, '0'));
  }
  return values;
}

function personName(value: string): Record<string, string> | null {
  if (value === '') return null;
  const name: Record<string, string> = {};
  for (const [index, group] of value.split('=').slice(0, 3).entries()) {
    const trimmed = group.trim();
    if (trimmed !== '') name[NAME_GROUPS[index]!] = trimmed;
  }
  return name;
}

/** JSON has no NaN and no infinity; 64-bit integers beyond 2^53 are strings (PS3.18 F.2.3.1). */
function jsonNumber(value: number | bigint): number | string | null {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  return Number.isFinite(value) ? value : null;
}

function jsonDecimal(value: string, vr: 'DS' | 'IS'): number | null {
  const number = decimal(value);
  if (number === undefined || (vr === 'IS' && !Number.isInteger(number))) return null;
  return number;
}

function withValue(vr: string, values: unknown[]): DicomJsonElement {
  return values.length === 0 ? { vr } : { vr, Value: values };
}

function withBulkData(element: DicomJsonElement, uri: string | undefined): DicomJsonElement {
  return uri === undefined ? element : { ...element, BulkDataURI: uri };
}

/** Command and File Meta groups and group lengths are no attributes of the object. */
export function isLeftOut(tag: string): boolean {
  return tag.startsWith('0000') || tag.startsWith('0002') || tag.endsWith('0000');
}
