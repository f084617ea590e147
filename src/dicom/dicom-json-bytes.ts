/**
 * The DICOM JSON text (PS3.18 Annex F) of a parsed data set as UTF-8 bytes, without the objects that toDicomJson makes:
 * what most elements hold, plain ASCII and small numbers, is copied from the value to the text, several times as fast.
 * Every other element is written by dicom-json.ts, which says what stands in JSON. Called by archive/header-piece.ts.
 */
import type { DataSet, Element } from './data-set.ts';
import {
  ascending,
  type DicomJsonElement,
  type DicomJsonOptions,
  elementJson,
  isLeftOut,
} from './dicom-json.ts';
import { readUint16 } from './element-header.ts';
import { JsonBytes } from './json-bytes.ts';

/** VRs of texts that are split at backslashes, and of those that are one text (PS3.5 6.2). */
const STRINGS = new Set('AE AS CS DA DT LO SH TM UC UI'.split(' '));
const TEXTS = new Set('LT ST UR UT'.split(' '));

const SPACE = 0x20;
const QUOTE = 0x22;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const TILDE = 0x7e;
/** PS3.5 6.2: DS has no more. What is longer goes the other way, which looks at its size. */
const MAX_NUMBER_CHARACTERS = 16;

/**
 * @param others elements that are not in the data set, or stand for those that are, by tag
 * @returns what JSON.parse reads as dicomJson has it, but for decimals with their zeros ("1.50"); attributes in
 *   ascending order
 */
export function dicomJsonBytes(
  dataSet: DataSet,
  options: DicomJsonOptions,
  others: ReadonlyMap<string, DicomJsonElement> = new Map(),
): Buffer {
  const out = new JsonBytes();
  writeDataSet(out, dataSet, options, '', others);
  return out.bytes();
}

function writeDataSet(
  out: JsonBytes,
  dataSet: DataSet,
  options: DicomJsonOptions,
  path: string,
  others: ReadonlyMap<string, DicomJsonElement> | undefined,
): void {
  const tags = ascending(dataSet.elements.keys());
  for (const tag of others?.keys() ?? []) {
    const at = tags.findIndex((known) => known >= tag);
    if (at === -1) tags.push(tag);
    else if (tags[at] !== tag) tags.splice(at, 0, tag);
  }
  let opening = '{"';
  for (const tag of tags) {
    if (isLeftOut(tag)) continue;
    out.ascii(opening);
    out.ascii(tag);
    opening = ',"';
    const other = others?.get(tag);
    if (other) {
      out.ascii('":');
      out.text(JSON.stringify(other));
    } else writeElement(out, dataSet, dataSet.elements.get(tag)!, options, path);
  }
  out.ascii(opening === '{"' ? '{}' : '}');
}

/** What follows the quote that opens the name. */
function writeElement(
  out: JsonBytes,
  dataSet: DataSet,
  element: Element,
  options: DicomJsonOptions,
  path: string,
): void {
  const { vr, items, tag } = element;
  if (items) {
    out.ascii(items.length === 0 ? '":{"vr":"SQ"' : '":{"vr":"SQ","Value":[');
    for (const [index, item] of items.entries()) {
      if (index > 0) out.ascii(',');
      writeDataSet(out, item, options, `${path}${tag}/${index}/`, undefined);
    }
    out.ascii(items.length === 0 ? '}' : ']}');
    return;
  }
  const begun = out.at;
  out.ascii('":{"vr":"');
  out.ascii(vr);
  if (writePlain(out, dataSet, element)) return;
  out.at = begun;
  out.ascii('":');
  out.text(JSON.stringify(elementJson(dataSet, element, options, path + tag)));
}

/** What follows the VR. @returns false where the value is not plain; what was written is to be taken back then */
function writePlain(out: JsonBytes, dataSet: DataSet, { vr, value, fragments }: Element): boolean {
  if (fragments) return false;
  const end = unpadded(value);
  if (STRINGS.has(vr)) return writeStrings(out, value, end, BACKSLASH, '"', '"');
  if (TEXTS.has(vr)) return writeStrings(out, value, end, -1, '"', '"');
  if (vr === 'PN') return writeStrings(out, value, end, BACKSLASH, '{"Alphabetic":"', '"}');
  if (vr === 'DS' || vr === 'IS') return writeNumbers(out, value, end, vr === 'DS');
  if (vr === 'US') return writeUnsigned(out, dataSet, value);
  return false;
}

/** Where trailing spaces and NULs begin. */
function unpadded(value: Uint8Array): number {
  let end = value.length;
  while (end > 0 && (value[end - 1] === SPACE || value[end - 1] === 0)) end--;
  return end;
}

/** Of printable ASCII, each value between `open` and `close`; a text without separator keeps its leading spaces. */
function writeStrings(
  out: JsonBytes,
  value: Uint8Array,
  end: number,
  separator: number,
  open: string,
  close: string,
): boolean {
  if (end === 0) {
    out.ascii('"}');
    return true;
  }
  out.ascii('","Value":[');
  for (let n = 0; ; n++) {
    out.ascii(open);
    const bytes = out.room(end - n);
    const start = out.at;
    let at = start;
    for (; n < end; n++) {
      const byte = value[n]!;
      if (byte === separator) break;
      if (byte < SPACE || byte > TILDE || byte === QUOTE || byte === BACKSLASH) return false;
      // The groups of a name have keys of their own.
      if (byte === EQUALS && open !== '"') return false;
      if (byte === SPACE && at === start && separator === BACKSLASH) continue;
      bytes[at++] = byte;
    }
    while (at > start && bytes[at - 1] === SPACE) at--;
    if (at === start) return false;
    out.at = at;
    out.ascii(close);
    if (n === end) break;
    out.ascii(',');
  }
  out.ascii(']}');
  return true;
}

/** Of decimals that JSON writes the same way. */
function writeNumbers(out: JsonBytes, value: Uint8Array, end: number, isDecimal: boolean): boolean {
  if (end === 0) {
    out.ascii('"}');
    return true;
  }
  out.ascii('","Value":[');
  for (let n = 0; ; n++) {
    n = skipSpaces(value, n, end);
    const start = n;
    if (value[n] === MINUS) n++;
    const whole = n;
    n = skipDigits(value, n, end);
    if (n === whole || (value[whole] === ZERO && n - whole > 1)) return false;
    if (isDecimal && n < end && value[n] === POINT) {
      const fraction = n + 1;
      n = skipDigits(value, fraction, end);
      if (n === fraction) return false;
    }
    if (n - start > MAX_NUMBER_CHARACTERS) return false;
    const bytes = out.room(n - start);
    for (let from = start; from < n; from++) bytes[out.at++] = value[from]!;
    n = skipSpaces(value, n, end);
    if (n === end) break;
    if (value[n] !== BACKSLASH) return false;
    out.ascii(',');
  }
  out.ascii(']}');
  return true;
}

function skipSpaces(value: Uint8Array, from: number, end: number): number {
  let n = from;
  while (n < end && value[n] === SPACE) n++;
  return n;
}

function skipDigits(value: Uint8Array, from: number, end: number): number {
  let n = from;
  while (n < end && value[n]! >= ZERO && value[n]! <= NINE) n++;
  return n;
}

function writeUnsigned(out: JsonBytes, { bigEndian }: DataSet, value: Uint8Array): boolean {
  if (value.length < 2) return false;
  out.ascii('","Value":[');
  for (let at = 0; at + 2 <= value.length; at += 2) {
    if (at > 0) out.ascii(',');
    out.unsigned(readUint16(value, at, bigEndian));
  }
  out.ascii(']}');
  return true;
}
