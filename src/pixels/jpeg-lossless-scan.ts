/**
 * The scan of a JPEG Lossless frame (ITU-T T.81 Annex H): differences to predictions to samples.
 * Called by jpeg-lossless.ts. The zeros stuffed behind 0xFF are taken out first, so that the bits ahead are two words.
 */
import { difference, type HuffmanTable, IS_WHOLE, LOOK_BITS, MAX_CATEGORY } from './jpeg-huffman.ts';

export interface LosslessScan {
  readonly rows: number;
  readonly columns: number;
  /** 1 to 7, table H.1. */
  readonly predictor: number;
  readonly pointTransform: number;
  readonly precision: number;
  /** Lines after which prediction begins anew; 0 for never. */
  readonly restartLines: number;
  /** One for each component. */
  readonly tables: readonly HuffmanTable[];
  /** Samples by pixel. */
  readonly into: Uint8Array | Uint16Array;
}

/** Words read beyond the last bit before its end is noticed. */
const SPARE_WORDS = 4;

/** @returns whether all samples were there */
export function decodeLosslessScan(bytes: Uint8Array, from: number, of: LosslessScan): boolean {
  const { rows, columns, predictor, pointTransform, precision, restartLines, tables, into } = of;
  const components = tables.length;
  let { words, length, end } = interval(bytes, from);
  let position = 0;
  /** Set by a code that means nothing. */
  let isBroken = false;
  const middle = 1 << (precision - pointTransform - 1);
  let above = Array.from({ length: components }, () => new Int32Array(columns));
  let line = Array.from({ length: components }, () => new Int32Array(columns));

  /** A difference that is not found with one look: its code is long, or its bits are many. */
  function longDifference(table: HuffmanTable): number {
    const bits = ahead();
    const entry = table.look[bits >>> (32 - LOOK_BITS)]!;
    let size = entry & 63;
    let category = entry >> 8;
    if (entry === 0) {
      for (size = LOOK_BITS + 1; size <= 16 && bits >>> 16 >= table.ends[size]!; ) size++;
      const found = size > 16 ? undefined : table.values[table.starts[size]! + (bits >>> (32 - size))];
      if (found === undefined) isBroken = true;
      category = found ?? 0;
    }
    position += size;
    const more = category === MAX_CATEGORY ? 0 : category;
    const rest = more === 0 ? 0 : ahead() >>> (32 - more);
    position += more;
    return difference(category, rest);
  }

  function ahead(): number {
    const word = position >>> 5;
    return (words[word]! << (position & 31)) | ((words[word + 1]! >>> 1) >>> (31 - (position & 31)));
  }

  /** The loop that takes the time: what it reads is in variables of its own. */
  function readDifferences(table: HuffmanTable, into: Int32Array, from: number, to: number): void {
    const { look } = table;
    const bits = words;
    let at = position;
    for (let x = from; x < to; x++) {
      const word = at >>> 5;
      const next = (bits[word]! << (at & 31)) | ((bits[word + 1]! >>> 1) >>> (31 - (at & 31)));
      const entry = look[next >>> (32 - LOOK_BITS)]!;
      if ((entry & IS_WHOLE) !== 0) {
        at += entry & 63;
        into[x] = entry >> 8;
      } else {
        position = at;
        into[x] = longDifference(table);
        at = position;
      }
    }
    position = at;
  }

  for (let y = 0; y < rows; y++) {
    const isFirst = y === 0 || (restartLines > 0 && y % restartLines === 0);
    if (isFirst && y > 0) {
      if ((bytes[end + 1]! & 0xf8) !== 0xd0) return false;
      ({ words, length, end } = interval(bytes, end + 2));
      position = 0;
    }
    if (components === 1) readDifferences(tables[0]!, line[0]!, 0, columns);
    else
      for (let x = 0; x < columns; x++)
        for (let c = 0; c < components; c++) readDifferences(tables[c]!, line[c]!, x, x + 1);
    if (isBroken || position > length) return false;
    for (let c = 0; c < components; c++) {
      if (isFirst) addUp(line[c]!, middle);
      else predict(predictor, line[c]!, above[c]!);
      place(line[c]!, into, y * columns * components + c, components, pointTransform);
    }
    [above, line] = [line, above];
  }
  return true;
}

/** The first line, and predictor 1: from the sample before, the first one from `start`. Modulo 2^16 (H.1.2.1). */
function addUp(line: Int32Array, start: number): void {
  let ra = start;
  for (let x = 0; x < line.length; x++) {
    ra = (ra + line[x]!) & 0xffff;
    line[x] = ra;
  }
}

/** Table H.1; the first sample of a line is predicted from the one above. */
function predict(predictor: number, line: Int32Array, above: Int32Array): void {
  if (predictor === 1) {
    addUp(line, above[0]!);
    return;
  }
  let ra = (above[0]! + line[0]!) & 0xffff;
  line[0] = ra;
  for (let x = 1; x < line.length; x++) {
    const rb = above[x]!;
    const rc = above[x - 1]!;
    let px: number;
    switch (predictor) {
      case 2:
        px = rb;
        break;
      case 3:
        px = rc;
        break;
      case 4:
        px = ra + rb - rc;
        break;
      case 5:
        px = ra + ((rb - rc) >> 1);
        break;
      case 6:
        px = rb + ((ra - rc) >> 1);
        break;
      default:
        px = (ra + rb) >> 1;
    }
    ra = (px + line[x]!) & 0xffff;
    line[x] = ra;
  }
}

/** By itself, as the loops above: each is compiled for one kind of array. */
function place(
  line: Int32Array,
  into: Uint8Array | Uint16Array,
  first: number,
  stride: number,
  pointTransform: number,
): void {
  for (let x = 0, to = first; x < line.length; x++, to += stride) into[to] = line[x]! << pointTransform;
}

/** The bits up to the next marker, the first one highest, without the bytes stuffed behind 0xFF (B.1.1.5). */
function interval(bytes: Uint8Array, from: number): { words: Int32Array; length: number; end: number } {
  const end = nextMarker(bytes, from);
  const words = new Int32Array(((end - from) >> 2) + SPARE_WORDS);
  let count = 0;
  let word = 0;
  for (let at = from; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 0xff) at++;
    word = (word << 8) | byte;
    if ((++count & 3) === 0) {
      words[(count >> 2) - 1] = word;
      word = 0;
    }
  }
  if ((count & 3) !== 0) words[count >> 2] = word << (32 - 8 * (count & 3));
  return { words, length: count * 8, end };
}

function nextMarker(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 2))
    if (bytes[at + 1] !== 0) return at;
  return bytes.length;
}
