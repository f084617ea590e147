/**
 * A data set held in memory as a light tree: views on the bytes, nothing decoded until asked.
 * For headers (the part before Pixel Data, bounded by the caller): metadata, transforms, the study index's details.
 * Like the header scan it never throws on bad bytes: what was read stays, `fault` says where reading stumbled.
 */

import { attribute, label } from './attributes.ts';
import { characterSetOf } from './charset.ts';
import { inflateHead } from './deflated.ts';
import type { DataSet, Element } from './element.ts';
import {
  DOUBLE_FLOAT_PIXEL_DATA,
  FLOAT_PIXEL_DATA,
  ITEM,
  ITEM_DELIMITATION,
  isKnownVr,
  isLongForm,
  isVrShaped,
  MAX_DEPTH,
  mayBeFragments,
  PIXEL_DATA,
  readTag,
  readUint16,
  readUint32,
  SEQUENCE_DELIMITATION,
  tagNumber,
  tagText,
  UNDEFINED_LENGTH,
  vrCode,
  vrName,
} from './element-header.ts';
import { transferSyntax } from './transfer-syntax.ts';

export { elementAt, int, number, text, texts } from './data-set-values.ts';
export type { DataSet, Element } from './element.ts';

export interface ParseOptions {
  /** End before (Float, Double Float) Pixel Data at the root; it is not in the tree then. */
  stopAtPixelData?: boolean;
  /** Of the data set that these bytes are a later part of. */
  characterSet?: string[] | undefined;
  /** Of the root's elements others are stepped over where their length is given; the tree may hold some all the same. */
  only?: ReadonlySet<string>;
}

/** Elements and items together: a tree of so many costs some hundred MB, and no clinical header comes near. */
const MAX_ELEMENTS = 2_000_000;
const NO_BYTES = new Uint8Array(0);
const SPECIFIC_CHARACTER_SET = '00080005';
/** They tell how others are to be read. */
const ALWAYS_READ = [SPECIFIC_CHARACTER_SET, '00280103'];
const SQ = vrCode('SQ');
const UN = vrCode('UN');

interface Reading {
  readonly bytes: Uint8Array;
  readonly stopAtPixelData: boolean;
  readonly only: ReadonlySet<number> | undefined;
  at: number;
  count: number;
  /** The first thing found wrong. */
  fault: string | undefined;
  /** The place in the bytes is lost; whoever knows where the container ends goes on from there. */
  lost: boolean;
}

/** How the elements of one data set are written, and what they inherit from the one around. */
interface Manner {
  readonly implicit: boolean;
  readonly bigEndian: boolean;
  readonly signed: boolean;
  readonly characterSet: string[] | undefined;
}

/** Parses a data set, or its beginning, that starts at bytes[0] (no File Meta). A deflated one is inflated, 64 MB at most. */
export function parseDataSet(
  bytes: Uint8Array,
  transferSyntaxUid: string,
  options: ParseOptions = {},
): DataSet {
  const syntax = transferSyntax(transferSyntaxUid);
  const inflated = syntax.deflated ? inflateHead(bytes, true) : undefined;
  const reading: Reading = {
    bytes: inflated?.bytes ?? bytes,
    stopAtPixelData: options.stopAtPixelData ?? false,
    only: options.only && new Set([...ALWAYS_READ, ...options.only].map(tagNumber)),
    at: 0,
    count: 0,
    fault: inflated?.fault,
    lost: false,
  };
  const manner = {
    implicit: !syntax.explicit,
    bigEndian: syntax.bigEndian,
    signed: false,
    characterSet: options.characterSet,
  };
  const root = readDataSet(reading, reading.bytes.length, manner, 0, false);
  return reading.fault === undefined ? root : { ...root, fault: reading.fault };
}

/** Reads elements up to `end`, or to an Item Delimitation Item when the item is `delimited`. */
function readDataSet(
  reading: Reading,
  end: number,
  around: Manner,
  depth: number,
  delimited: boolean,
): DataSet {
  const elements = new Map<string, Element>();
  let manner = around;
  while (reading.at < end && !reading.lost) {
    if (end - reading.at < 8) {
      if (depth > 0 || !isZero(reading.bytes, reading.at, end))
        lose(reading, `truncated at byte ${reading.at}`);
      reading.at = end;
      break;
    }
    const tag = readTag(reading.bytes, reading.at, manner.bigEndian);
    if (tag >> 16 === ITEM >> 16) {
      const length = readUint32(reading.bytes, reading.at + 4, manner.bigEndian);
      if (tag === ITEM_DELIMITATION && delimited) {
        reading.at += 8;
        return { elements, bigEndian: manner.bigEndian, characterSet: manner.characterSet };
      }
      if (depth > 0 || length !== 0)
        lose(reading, `${label(tagText(tag))} stands among the elements at byte ${reading.at}`);
      else reading.at += 8;
      continue;
    }
    if (depth === 0 && tag === 0 && isZero(reading.bytes, reading.at, end)) break;
    if (depth === 0 && reading.stopAtPixelData && isPixelData(tag)) break;
    if (depth === 0 && reading.only && !reading.only.has(tag) && stepOver(reading, end, manner)) continue;
    const element = readElement(reading, tag, end, manner, depth);
    if (!element) break;
    if (elements.has(element.tag)) continue;
    elements.set(element.tag, element);
    if (element.tag === SPECIFIC_CHARACTER_SET) {
      manner = { ...manner, characterSet: characterSetOf(element.value) };
    } else if (element.tag === '00280103' && element.value.length >= 2) {
      manner = { ...manner, signed: readUint16(element.value, 0, manner.bigEndian) === 1 };
    }
  }
  if (delimited && !reading.lost)
    lose(reading, `truncated at byte ${reading.at}: an item delimitation is missing`);
  return { elements, bigEndian: manner.bigEndian, characterSet: manner.characterSet };
}

/** @returns whether the element is one of a given length that lies within; any other is readElement's to judge */
function stepOver(reading: Reading, end: number, { implicit, bigEndian }: Manner): boolean {
  const { bytes, at } = reading;
  let next = at + 8;
  if (implicit) next += readUint32(bytes, at + 4, bigEndian);
  else {
    const vrBytes = readUint16(bytes, at + 4, true);
    if (!isVrShaped(vrBytes)) return false;
    if (!isLongForm(vrBytes, readUint16(bytes, at + 6, true))) next += readUint16(bytes, at + 6, bigEndian);
    else if (at + 12 > end) return false;
    else next += 4 + readUint32(bytes, at + 8, bigEndian);
  }
  if (next > end || ++reading.count > MAX_ELEMENTS) return false;
  reading.at = next;
  return true;
}

function readElement(
  reading: Reading,
  tag: number,
  end: number,
  manner: Manner,
  depth: number,
): Element | undefined {
  const { bytes, at: start } = reading;
  const { bigEndian } = manner;
  const name = tagText(tag);
  if (++reading.count > MAX_ELEMENTS) return lose(reading, `more than ${MAX_ELEMENTS} elements`);
  const vrBytes = (bytes[start + 4]! << 8) | bytes[start + 5]!;
  let offset = start + 8;
  let length: number;
  if (manner.implicit) length = readUint32(bytes, start + 4, bigEndian);
  else if (!isVrShaped(vrBytes)) {
    return lose(reading, `${label(name)} has no value representation where Explicit VR needs one`);
  } else if (isLongForm(vrBytes, (bytes[start + 6]! << 8) | bytes[start + 7]!)) {
    if (start + 12 > end) return lose(reading, `truncated inside the header of ${label(name)}`);
    length = readUint32(bytes, start + 8, bigEndian);
    offset = start + 12;
  } else length = readUint16(bytes, start + 6, bigEndian);
  const vr = manner.implicit ? implicitVr(name, manner.signed) : explicitVr(vrBytes, name, manner);

  reading.at = offset;
  if (length === UNDEFINED_LENGTH) {
    if (tag === PIXEL_DATA || (!manner.implicit && mayBeFragments(vrBytes))) {
      const fragments = readFragments(reading, name, end, bigEndian);
      return { tag: name, vr, value: NO_BYTES, fragments, start, offset, length: reading.at - offset };
    }
    if (!manner.implicit && vrBytes !== SQ && vrBytes !== UN) {
      return lose(reading, `${label(name)} has an undefined length, which VR ${vr} cannot have`);
    }
    // CP-246 (PS3.5 6.2.2): what stands in a UN of undefined length is Implicit VR Little Endian.
    const within =
      !manner.implicit && vrBytes === UN ? { ...manner, implicit: true, bigEndian: false } : manner;
    const items = readItems(reading, name, end, within, depth, true);
    return { tag: name, vr: 'SQ', value: NO_BYTES, items, start, offset, length: reading.at - offset };
  }
  if (offset + length > end) {
    return lose(reading, `truncated inside ${label(name)}: ${end - offset} bytes of ${length} present`);
  }
  if (vr === 'SQ') {
    const items = readItems(reading, name, offset + length, manner, depth, false);
    // The sequence's own length says where the next element begins, whatever stands inside.
    reading.lost = false;
    reading.at = offset + length;
    return { tag: name, vr, value: NO_BYTES, items, start, offset, length };
  }
  reading.at = offset + length;
  return { tag: name, vr, value: bytes.subarray(offset, offset + length), start, offset, length };
}

function readItems(
  reading: Reading,
  sequence: string,
  end: number,
  manner: Manner,
  depth: number,
  delimited: boolean,
): DataSet[] {
  const items: DataSet[] = [];
  if (depth === MAX_DEPTH) lose(reading, `${label(sequence)} is nested deeper than ${MAX_DEPTH} levels`);
  while (!reading.lost && (delimited || reading.at < end)) {
    if (reading.at + 8 > end) {
      lose(reading, `truncated inside ${label(sequence)}: its delimitation item is missing`);
      break;
    }
    const tag = readTag(reading.bytes, reading.at, manner.bigEndian);
    const length = readUint32(reading.bytes, reading.at + 4, manner.bigEndian);
    if (tag === SEQUENCE_DELIMITATION) {
      reading.at += 8;
      break;
    }
    if (tag !== ITEM) {
      lose(reading, `${label(tagText(tag))} stands in ${label(sequence)} where an item was expected`);
      break;
    }
    // Items count as elements do: without any in them they are 8 bytes each, and some hundred in memory.
    if (++reading.count > MAX_ELEMENTS) {
      lose(reading, `more than ${MAX_ELEMENTS} elements`);
      break;
    }
    reading.at += 8;
    if (length === UNDEFINED_LENGTH) {
      items.push(readDataSet(reading, end, manner, depth + 1, true));
      continue;
    }
    const itemEnd = reading.at + length;
    if (itemEnd > end) {
      lose(
        reading,
        `truncated inside an item of ${label(sequence)}: ${end - reading.at} bytes of ${length} present`,
      );
      break;
    }
    items.push(readDataSet(reading, itemEnd, manner, depth + 1, false));
    reading.lost = false;
    reading.at = itemEnd;
  }
  return items;
}

function readFragments(reading: Reading, name: string, end: number, bigEndian: boolean): Uint8Array[] {
  const fragments: Uint8Array[] = [];
  while (reading.at + 8 <= end) {
    const tag = readTag(reading.bytes, reading.at, bigEndian);
    const length = readUint32(reading.bytes, reading.at + 4, bigEndian);
    if (tag === SEQUENCE_DELIMITATION) {
      reading.at += 8;
      return fragments;
    }
    if (tag !== ITEM || length === UNDEFINED_LENGTH || reading.at + 8 + length > end) break;
    if (++reading.count > MAX_ELEMENTS) break;
    fragments.push(reading.bytes.subarray(reading.at + 8, reading.at + 8 + length));
    reading.at += 8 + length;
  }
  lose(reading, `the fragments of ${label(name)} are cut short or broken at byte ${reading.at}`);
  return fragments;
}

/** PS3.5 A.1, and the dictionary: where it says "US or SS", PixelRepresentation decides. */
function implicitVr(tag: string, signed: boolean): string {
  const known = attribute(tag);
  if (!known) return 'UN';
  return signed && known.vr === 'US' && known.orVr?.includes('SS') ? 'SS' : known.vr;
}

/**
 * A gateway that did not know an attribute writes it as UN; the dictionary may know it (PS3.5 6.2.2), and a patient's
 * ID is that patient's however it is written. Sequences stay bytes: their inner encoding would be a guess.
 */
function explicitVr(vrBytes: number, tag: string, { bigEndian, signed }: Manner): string {
  const written = isKnownVr(vrBytes) ? vrBytes : UN;
  if (written !== UN || bigEndian) return vrName(written);
  const known = implicitVr(tag, signed);
  return known === 'SQ' ? 'UN' : known;
}

function isPixelData(tag: number): boolean {
  return tag === PIXEL_DATA || tag === FLOAT_PIXEL_DATA || tag === DOUBLE_FLOAT_PIXEL_DATA;
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}

function lose(reading: Reading, fault: string): undefined {
  reading.fault ??= fault;
  reading.lost = true;
  return undefined;
}
