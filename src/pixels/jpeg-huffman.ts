/**
 * The Huffman tables of JPEG Lossless (ITU-T T.81 Annex C, H.1.2.2), laid out so that most differences are found with
 * one look at the bits ahead. Made by jpeg-lossless.ts, used by jpeg-lossless-scan.ts.
 */

/** Bits of a difference that follow its code; 16 stands for 32,768 and is followed by none. */
export const MAX_CATEGORY = 16;
/** As many bits as are looked at at once: more find more, and fill more of the processor's cache. */
export const LOOK_BITS = 12;
/** Of an entry: it holds the difference itself. */
export const IS_WHOLE = 64;

export interface HuffmanTable {
  /**
   * By the next LOOK_BITS: in the lowest six how many belong to it, then whether it IS_WHOLE, from the ninth on the
   * difference or its category. 0 where the code is longer.
   */
  readonly look: Int32Array;
  /** By length: the first code that is too large for it, its bits at the top of 16; 0 where no code is so long. */
  readonly ends: Int32Array;
  /** By length: what is added to a code to find its value. */
  readonly starts: Int32Array;
  readonly values: Uint8Array;
}

/** T.81 C.2. @returns undefined for counts that make no code */
export function huffmanTable(counts: Uint8Array, values: Uint8Array): HuffmanTable | undefined {
  const look = new Int32Array(1 << LOOK_BITS);
  const ends = new Int32Array(17);
  const starts = new Int32Array(17);
  let code = 0;
  let value = 0;
  for (let length = 1; length <= 16; length++) {
    const count = counts[length - 1]!;
    starts[length] = value - code;
    for (let n = 0; n < count; n++, code++, value++) {
      const category = values[value];
      if (category === undefined || code >= 1 << length) return undefined;
      if (length <= LOOK_BITS) fill(look, code, length, category);
    }
    if (count > 0) ends[length] = code << (16 - length);
    code <<= 1;
  }
  return { look, ends, starts, values: Uint8Array.from(values) };
}

/** All that can stand behind the code. */
function fill(look: Int32Array, code: number, length: number, category: number): void {
  const free = LOOK_BITS - length;
  const bits = category === MAX_CATEGORY ? 0 : category;
  for (let rest = 0; rest < 1 << free; rest++) {
    const at = (code << free) | rest;
    look[at] =
      bits <= free
        ? (difference(category, rest >> (free - bits)) << 8) | IS_WHOLE | (length + bits)
        : (category << 8) | length;
  }
}

/** T.81 F.2.2.1 (EXTEND), H.1.2.2: the lower half of the values of a category is below zero. */
export function difference(category: number, bits: number): number {
  if (category === 0) return 0;
  if (category === MAX_CATEGORY) return 32_768;
  return bits < 1 << (category - 1) ? bits - (1 << category) + 1 : bits;
}
