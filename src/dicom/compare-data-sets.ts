/**
 * What differs between two data sets, value for value: how they are encoded (VR written or not, byte order, lengths of
 * sequences, padding) makes no difference. Pure; called by archive/version-difference.ts for two versions of an object.
 */
import { attribute } from './attributes.ts';
import { swapWords, wordSize } from './byte-order.ts';
import { type DataSet, type Element, parseDataSet } from './data-set.ts';
import { textValues } from './data-set-values.ts';
import { IMPLICIT_LE } from './transfer-syntax.ts';

export interface Difference {
  /** Eight hex digits. */
  tag: string;
  /** Empty for an attribute the dictionary does not know. */
  keyword: string;
  vr: string;
  /** From the first data set to the second. */
  what: 'added' | 'removed' | 'changed';
  /** The sequence items it stands in, as a path of tags and item numbers from 0: "00081140/0". Absent at the root. */
  within?: string;
  /** Of Pixel Data: the first frame that differs, counted from 1. */
  frame?: number;
}

const TEXT_VRS = new Set('AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT'.split(' '));
/**
 * Not attributes but ways of writing: Length to End (PS3.6, retired), Data Set Trailing Padding (PS3.10 7.2), and the
 * tables that say where encapsulated frames lie (PS3.3 C.7.6.3.1.8).
 */
const ENCODING = new Set(['00080001', 'FFFCFFFC', '7FE00001', '7FE00002', '7FE00003']);

/** @param most differences gathered; there may be more */
export function compareDataSets(a: DataSet, b: DataSet, most = 500): Difference[] {
  const found: Difference[] = [];
  compareInto(found, a, b, undefined, most);
  return found.slice(0, most);
}

function compareInto(
  found: Difference[],
  a: DataSet,
  b: DataSet,
  within: string | undefined,
  most: number,
): void {
  const tags = [...new Set([...a.elements.keys(), ...b.elements.keys()])]
    .filter((tag) => !isEncoding(tag))
    .sort();
  for (const tag of tags) {
    if (found.length >= most) return;
    const [one, other] = [a.elements.get(tag), b.elements.get(tag)];
    const note = (what: Difference['what']): void => {
      found.push(differenceOf(tag, (other ?? one)!.vr, what, within));
    };
    if (!one || !other) {
      note(one ? 'removed' : 'added');
      continue;
    }
    const [items, otherItems] =
      one.items || other.items ? [itemsOf(one), itemsOf(other)] : [undefined, undefined];
    if (items && otherItems) {
      if (items.length !== otherItems.length) note('changed');
      else
        for (const [index, item] of items.entries()) {
          const path = `${tag}/${index}`;
          compareInto(
            found,
            item,
            otherItems[index]!,
            within === undefined ? path : `${within}/${path}`,
            most,
          );
        }
    } else if (!sameValue(a, one, b, other)) note('changed');
  }
}

export function differenceOf(tag: string, vr: string, what: Difference['what'], within?: string): Difference {
  const keyword = attribute(tag)?.keyword ?? '';
  return { tag, keyword, vr, what, ...(within !== undefined && { within }) };
}

/** Group lengths count bytes; File Meta and command groups belong to the file and the wire. */
function isEncoding(tag: string): boolean {
  return ENCODING.has(tag) || tag.endsWith('0000') || tag.startsWith('0002') || tag.startsWith('0000');
}

/**
 * A sequence whose VR a writer did not know stands as UN; its items are Implicit VR Little Endian then (CP-246,
 * PS3.5 6.2.2). Undefined when what stands there is no sequence.
 */
function itemsOf(element: Element): DataSet[] | undefined {
  if (element.items) return element.items;
  if (element.fragments || element.vr !== 'UN') return undefined;
  if (element.value.length === 0) return [];
  const header = Buffer.alloc(8);
  // Any sequence the dictionary knows will do: (0008,1140).
  header.writeUInt16LE(0x0008, 0);
  header.writeUInt16LE(0x1140, 2);
  header.writeUInt32LE(element.value.length, 4);
  const parsed = parseDataSet(Buffer.concat([header, element.value]), IMPLICIT_LE);
  return parsed.fault === undefined ? parsed.elements.get('00081140')?.items : undefined;
}

function sameValue(a: DataSet, one: Element, b: DataSet, other: Element): boolean {
  if (one.items || other.items) return false;
  if (one.fragments || other.fragments) return sameFragments(one.fragments, other.fragments);
  if (littleEndian(a, one).equals(littleEndian(b, other))) return true;
  if (!TEXT_VRS.has(one.vr) || !TEXT_VRS.has(other.vr)) return false;
  const [texts, others] = [textValues(a, one), textValues(b, other)];
  return texts.length === others.length && texts.every((text, index) => text === others[index]);
}

function sameFragments(a: Uint8Array[] | undefined, b: Uint8Array[] | undefined): boolean {
  return (
    a?.length === b?.length &&
    (a ?? []).every((fragment, index) => Buffer.compare(fragment, b![index]!) === 0)
  );
}

function littleEndian({ bigEndian }: DataSet, { value, vr }: Element): Buffer {
  if (!bigEndian) return Buffer.from(value.buffer, value.byteOffset, value.length);
  return swapWords(Buffer.from(value), wordSize(vr));
}
