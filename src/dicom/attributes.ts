/**
 * The data dictionary (PS3.6), from dcmjs' table, by keyword and by tag.
 * Everything that names an attribute comes here: search parameters, rules, fault sentences, DICOM JSON.
 * Tags are eight upper-case hex digits, as in DICOM JSON.
 */

import { createRequire } from 'node:module';
import type dictionary from 'dcmjs/dictionary';

export interface Attribute {
  /** Eight hex digits, "0020000D". */
  readonly tag: string;
  readonly keyword: string;
  readonly vr: string;
  /** The other VRs the dictionary allows, where there is a choice ("US or SS"). */
  readonly orVr?: readonly string[];
  readonly vm: string;
}

/** dcmjs writes a choice of VRs in DCMTK's shorthand; the first is what Implicit VR is read as by default. */
const CHOICES: Record<string, readonly [string, ...string[]]> = {
  xs: ['US', 'SS'],
  ox: ['OW', 'OB'],
  lt: ['OW', 'US'],
  up: ['UL'],
};

const CURVE_DATA: readonly [string, ...string[]] = ['OB', 'OW'];

/** Repeating groups and elements (PS3.5 7.6), looked up after the plain tags. */
interface Range {
  readonly groupFrom: number;
  readonly groupTo: number;
  readonly elementFrom: number;
  readonly elementTo: number;
  readonly vr: string;
  readonly keyword: string;
  readonly vm: string;
}

const PLAIN_TAG = /^\(([0-9A-F]{4}),([0-9A-F]{4})\)$/;
const RANGE_TAG = /^\(([0-9A-F]{4})(?:-([0-9A-F]{4}))?,([0-9A-F]{4})(?:-([0-9A-F]{4}))?\)$/;
const HEX8 = /^[0-9A-Fa-f]{8}$/;
const RETIRED = 'RETIRED_';

interface Tables {
  readonly byTag: ReadonlyMap<string, Attribute>;
  readonly byKeyword: ReadonlyMap<string, Attribute>;
  readonly ranges: readonly Range[];
}

let tables: Tables | undefined;

/** Read when first asked for: a receiver's thread mostly never asks, and the dictionary weighs 15 MB. */
function known(): Tables {
  tables ??= read(createRequire(import.meta.url)('dcmjs/dictionary').default);
  return tables;
}

function read(entries: typeof dictionary): Tables {
  const byTag = new Map<string, Attribute>();
  const byKeyword = new Map<string, Attribute>();
  const ranges: Range[] = [];
  for (const [key, entry] of Object.entries(entries)) {
    if (entry.vr === undefined || entry.vr === 'na' || entry.name === undefined) continue;
    const keyword = entry.name.startsWith(RETIRED) ? entry.name.slice(RETIRED.length) : entry.name;
    const vm = entry.vm ?? '1';
    const plain = PLAIN_TAG.exec(key);
    if (plain) {
      const found = made(`${plain[1]}${plain[2]}`, keyword, entry.vr, vm);
      byTag.set(found.tag, found);
      // A retired attribute never takes the keyword of a living one.
      if (!byKeyword.has(keyword) || entry.name === keyword) byKeyword.set(keyword, found);
      continue;
    }
    const range = RANGE_TAG.exec(key);
    if (!range) continue;
    const [, groupFrom = '', groupTo = groupFrom, elementFrom = '', elementTo = elementFrom] = range;
    ranges.push({
      groupFrom: Number.parseInt(groupFrom, 16),
      groupTo: Number.parseInt(groupTo, 16),
      elementFrom: Number.parseInt(elementFrom, 16),
      elementTo: Number.parseInt(elementTo, 16),
      vr: entry.vr,
      keyword,
      vm,
    });
  }
  return { byTag, byKeyword, ranges };
}

/** The attribute by keyword ("StudyInstanceUID") or tag ("0020000D", any case); undefined when unknown or private. */
export function attribute(keywordOrTag: string): Attribute | undefined {
  const { byKeyword, byTag } = known();
  const found = byKeyword.get(keywordOrTag) ?? byTag.get(keywordOrTag);
  if (found) return found;
  if (!HEX8.test(keywordOrTag)) return undefined;
  const tag = keywordOrTag.toUpperCase();
  return byTag.get(tag) ?? structural(tag) ?? repeating(tag);
}

/** Every keyword of the dictionary. */
export function keywords(): IterableIterator<string> {
  return known().byKeyword.keys();
}

/** "(0020,000D) StudyInstanceUID" for messages; the bare tag where it has no keyword. */
export function label(tag: string): string {
  const upper = tag.toUpperCase();
  const bare = `(${upper.slice(0, 4)},${upper.slice(4)})`;
  const keyword = attribute(upper)?.keyword;
  return keyword ? `${bare} ${keyword}` : bare;
}

/**
 * A path of keywords or tags separated by dots, as in PS3.18 8.3.4 ("RequestAttributesSequence.ScheduledProcedureStepID",
 * "00400275.00400009"), as its tags; undefined when a part is unknown or a part before the last is no sequence.
 */
export function attributePath(text: string): string[] | undefined {
  const parts = text.split('.');
  const tags: string[] = [];
  for (const [index, part] of parts.entries()) {
    const found = attribute(part);
    const tag = found?.tag ?? (HEX8.test(part) ? part.toUpperCase() : undefined);
    if (tag === undefined) return undefined;
    const last = index === parts.length - 1;
    if (!last && found && found.vr !== 'SQ') return undefined;
    tags.push(tag);
  }
  return tags;
}

/** Group lengths, private creators and private data elements: known by their place alone (PS3.5 7.2, 7.8.1). */
function structural(tag: string): Attribute | undefined {
  const group = Number.parseInt(tag.slice(0, 4), 16);
  const element = Number.parseInt(tag.slice(4), 16);
  if (element === 0) return { tag, keyword: 'GenericGroupLength', vr: 'UL', vm: '1' };
  if (group % 2 === 1 && element >= 0x10 && element <= 0xff) {
    return { tag, keyword: 'PrivateCreator', vr: 'LO', vm: '1' };
  }
  return undefined;
}

function repeating(tag: string): Attribute | undefined {
  const group = Number.parseInt(tag.slice(0, 4), 16);
  if (group % 2 === 1) return undefined;
  const element = Number.parseInt(tag.slice(4), 16);
  for (const range of known().ranges) {
    if (group < range.groupFrom || group > range.groupTo) continue;
    if (element < range.elementFrom || element > range.elementTo) continue;
    return made(tag, range.keyword, range.vr, range.vm);
  }
  return undefined;
}

function made(tag: string, keyword: string, dictionaryVr: string, vm: string): Attribute {
  // Retired Curve Data is bytes in Implicit VR (PS3.5-2004 A.1), unlike all else that may be OB or OW.
  const choice = keyword === 'CurveData' ? CURVE_DATA : CHOICES[dictionaryVr];
  if (!choice) return { tag, keyword, vr: dictionaryVr, vm };
  const [vr, ...others] = choice;
  return others.length === 0 ? { tag, keyword, vr, vm } : { tag, keyword, vr, orVr: others, vm };
}
