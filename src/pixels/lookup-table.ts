/**
 * Lookup tables of a header as plain values: modality, VOI and palette (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5), the
 * palettes also in segments (C.7.9.2). Called by presentation.ts; used by grayscale.ts and colour.ts in a worker.
 */
import type { DataSet, Element } from '../dicom/data-set.ts';
import { Failure } from '../failure.ts';

/** Values below `first` take the first entry, those from `first + entries.length` on the last. */
export interface LookupTable {
  readonly first: number;
  readonly bits: number;
  readonly entries: Uint16Array;
}

export interface TableTags {
  readonly descriptor: string;
  readonly data: string;
  /** The same in segments; palettes only. */
  readonly segments?: string;
}

const MAX_ENTRIES = 65_536;

/**
 * undefined when the data set has no such table.
 * @param signed whether the values that are looked up can be negative: then the first one mapped may be, too
 * @throws Failure 'invalid' for segments that are broken
 */
export function lookupTable(dataSet: DataSet, tags: TableTags, signed: boolean): LookupTable | undefined {
  const descriptor = dataSet.elements.get(tags.descriptor);
  const data = dataSet.elements.get(tags.data);
  const segments = tags.segments === undefined ? undefined : dataSet.elements.get(tags.segments);
  if (!descriptor || descriptor.value.length < 6) return undefined;
  const { value } = descriptor;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const little = !dataSet.bigEndian;
  // Number of entries (0 is 65,536), first stored value mapped, bits an entry.
  const count = view.getUint16(0, little) || MAX_ENTRIES;
  const first = signed || descriptor.vr === 'SS' ? view.getInt16(2, little) : view.getUint16(2, little);
  const said = view.getUint16(4, little);
  const bits = said >= 8 && said <= 16 ? said : 16;
  if (data && data.value.length > 0) return { first, bits, entries: entriesOf(dataSet, data, count, bits) };
  if (segments && segments.value.length > 0)
    return { first, bits, entries: expanded(segmentWords(dataSet, segments, bits), bits, count) };
  return undefined;
}

export function lookedUp({ first, entries }: LookupTable, value: number): number {
  const index = value - first;
  return entries[index <= 0 ? 0 : index >= entries.length ? entries.length - 1 : index]!;
}

/** What is missing at the end repeats the last entry there is. */
function entriesOf(dataSet: DataSet, data: Element, count: number, bits: number): Uint16Array {
  const { length } = data.value;
  // Eight-bit entries may be packed one a byte, whatever the VR; some writers do so and say 16.
  const packed = length < count * 2 && (bits <= 8 || length === count || length === count + 1);
  const words = packed ? bytesInOrder(dataSet, data) : wordsOf(dataSet, data);
  const entries = new Uint16Array(count);
  const present = Math.max(1, Math.min(count, words.length));
  for (let index = 0; index < count; index++) entries[index] = words[Math.min(index, present - 1)] ?? 0;
  return entries;
}

const segmentWords = (dataSet: DataSet, data: Element, bits: number): ArrayLike<number> =>
  bits <= 8 ? bytesInOrder(dataSet, data) : wordsOf(dataSet, data);

function wordsOf({ bigEndian }: DataSet, { value }: Element): Uint16Array {
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return Uint16Array.from({ length: value.length >> 1 }, (_, index) => view.getUint16(index * 2, !bigEndian));
}

/** Bytes packed into words that came big endian stand the other way round in each (PS3.5 7.3). */
function bytesInOrder({ bigEndian }: DataSet, { value, vr }: Element): Uint8Array {
  if (!bigEndian || vr === 'OB') return value;
  return Uint8Array.from({ length: value.length }, (_, index) => value[index ^ 1] ?? 0);
}

const SEGMENTS = '(0028,1221) SegmentedRedPaletteColorLookupTableData or its siblings';

/** Discrete, linear and indirect segments (C.7.9.2.2) to as many entries as the descriptor says. */
function expanded(words: ArrayLike<number>, bits: number, count: number): Uint16Array {
  const entries = new Uint16Array(count);
  let done = 0;
  const broken = (what: string): Failure => new Failure('invalid', `${SEGMENTS}: ${what}`);
  const put = (value: number): void => {
    if (done >= count) throw broken(`its segments make more than ${count} entries`);
    entries[done++] = value;
  };
  /** Reads `limit` segments, or all there are, from word `at`. */
  const read = (from: number, limit: number, isCopy: boolean): void => {
    let at = from;
    const next = (): number => {
      const word = words[at++];
      if (word === undefined) throw broken('a segment is cut short');
      return word;
    };
    for (let segment = 0; segment < limit && done < count && at < words.length; segment++) {
      const kind = next();
      const length = next();
      if (kind === 0) for (let index = 0; index < length; index++) put(next());
      else if (kind === 1) {
        if (done === 0) throw broken('it begins with a line that has no beginning');
        const [start, end] = [entries[done - 1]!, next()];
        for (let step = 1; step <= length; step++) put(Math.round(start + ((end - start) * step) / length));
      } else if (kind === 2 && !isCopy) {
        // Four bytes as two words, or as four of one byte, the lowest first; in bytes from the first segment.
        const offset =
          bits <= 8
            ? next() + next() * 0x100 + next() * 0x1_0000 + next() * 0x100_0000
            : (next() + next() * 0x1_0000) / 2;
        if (!Number.isInteger(offset)) throw broken('a copy points between two words');
        read(offset, length, true);
      } else throw broken('a segment is of no known kind');
    }
  };
  read(0, Number.POSITIVE_INFINITY, false);
  if (done < count) throw broken(`its segments make ${done} entries where ${count} are described`);
  return entries;
}
