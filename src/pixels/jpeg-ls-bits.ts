/**
 * The bits of a JPEG-LS scan without the zeros that were stuffed between them (ITU-T T.87 9.1 and A.1).
 * Made for jpeg-ls-scan.ts before it decodes, once a scan or restart interval: what remains is words to shift, and no
 * byte has to be looked at twice.
 */

export interface ScanBits {
  /** Big endian, the first bit highest; zeros follow the last, so that a word ahead can always be read. */
  readonly words: Int32Array;
  /** How many of the bits are real. */
  readonly length: number;
  /** Where the marker stands that ends them, or the end of the bytes. */
  readonly end: number;
}

/** Words read beyond the last bit before its end is noticed: a run and what ends it take four. */
const SPARE_WORDS = 4;

/** From `from` to the next marker. */
export function scanBits(bytes: Uint8Array, from: number): ScanBits {
  const end = nextMarker(bytes, from);
  const words = new Int32Array(((end - from) >> 2) + SPARE_WORDS);
  let word = 0;
  let filled = 0;
  let to = 0;
  let width = 8;
  for (let at = from; at < end; at++) {
    const byte = bytes[at]!;
    const free = 32 - filled;
    if (width < free) {
      word |= byte << (free - width);
      filled += width;
    } else {
      filled = width - free;
      words[to++] = word | (byte >>> filled);
      word = filled === 0 ? 0 : byte << (32 - filled);
    }
    // After 0xFF the first bit of the next byte is stuffed: seven are left, and it is 0 here, or this were a marker.
    width = byte === 0xff ? 7 : 8;
  }
  words[to] = word;
  return { words, length: to * 32 + filled, end };
}

/** A marker is 0xFF and a byte of 0x80 or more. One that is missing at the end harms nobody when all samples are there. */
function nextMarker(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1))
    if (bytes[at + 1]! >= 0x80) return at;
  return bytes.length;
}
