/**
 * Makes one deflate stream (RFC 1951) of fragments that were deflated before, and of text put between them, without
 * deflating anything again; and of it a gzip member (RFC 1952). Pure but for zlib's own sums. Used by metadata.ts.
 */
import zlib from 'node:zlib';

const STORED_LIMIT = 0xffff;
/** RFC 1952 2.3: deflate, no flags, no time, unknown system. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
/** An empty block of fixed codes, marked as the last (RFC 1951 3.2.3). */
const LAST_BLOCK = Buffer.from([0x03, 0x00]);

export interface DeflatedFragment {
  /** bytes of the text */
  length: number;
  crc32: number;
  /** Whole blocks, none the last, that end at a byte and refer to nothing before them. */
  deflated: Uint8Array;
}

export class GzipStream {
  #crc = 0;
  #length = 0;

  /** What goes before the first block. */
  readonly header: Buffer = GZIP_HEADER;

  /** Text as stored blocks: for little text, which deflating would hardly shorten. */
  text(bytes: Buffer): Buffer {
    this.#count(zlib.crc32(bytes), bytes.length);
    return storedBlocks(bytes);
  }

  fragment({ length, crc32, deflated }: DeflatedFragment): Uint8Array {
    this.#count(crc32, length);
    return deflated;
  }

  /** The last block and the trailer. */
  end(): Buffer {
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#length % 2 ** 32, 4);
    return Buffer.concat([LAST_BLOCK, trailer]);
  }

  #count(crc: number, length: number): void {
    this.#crc = crc32Combine(this.#crc, crc, length);
    this.#length += length;
  }
}

/** Text as deflate blocks that hold it as it is (RFC 1951 3.2.4). */
export function storedBlocks(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += STORED_LIMIT) {
    const part = bytes.subarray(at, at + STORED_LIMIT);
    const head = Buffer.alloc(5);
    head.writeUInt16LE(part.length, 1);
    head.writeUInt16LE(part.length ^ 0xffff, 3);
    parts.push(head, part);
  }
  return Buffer.concat(parts);
}

/** Inflates what fragments and stored blocks make, off this thread. */
export function inflateBlocks(parts: readonly Uint8Array[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zlib.inflateRaw(Buffer.concat([...parts, LAST_BLOCK]), (fault, text) =>
      fault ? reject(fault) : resolve(text),
    );
  });
}

/** The polynomial of CRC-32, its bits reversed (RFC 1952 8); x^0 stands in the highest bit. */
const POLYNOMIAL = 0xedb88320;
/** x^(2^n) modulo the polynomial: x, x^2, x^4, … */
const POWERS: number[] = [0x40000000];
for (let n = 1; n < 32; n++) POWERS.push(product(POWERS[n - 1]!, POWERS[n - 1]!));
/** x^(8 × length) of lengths met before: most texts between pieces are of a few lengths. */
const shifts = new Map<number, number>();
const MAX_SHIFTS = 10_000;

/**
 * The CRC-32 of two texts one behind the other, from theirs: the first moved along by the length of the second, which
 * is a multiplication by a power of x modulo the polynomial, and the second added.
 */
export function crc32Combine(first: number, second: number, secondLength: number): number {
  if (first === 0) return second;
  return (product(shiftBy(secondLength), first) ^ second) >>> 0;
}

function shiftBy(bytes: number): number {
  const known = shifts.get(bytes);
  if (known !== undefined) return known;
  let power = 0x80000000;
  for (let n = 3, left = bytes; left > 0; n++, left = Math.floor(left / 2))
    if (left % 2 === 1) power = product(POWERS[n % 32]!, power);
  if (shifts.size === MAX_SHIFTS) shifts.clear();
  shifts.set(bytes, power);
  return power;
}

/** Of two polynomials over GF(2), modulo POLYNOMIAL. */
function product(a: number, b: number): number {
  let sum = 0;
  let shifted = b;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) sum ^= shifted;
    shifted = (shifted & 1) !== 0 ? (shifted >>> 1) ^ POLYNOMIAL : shifted >>> 1;
  }
  return sum >>> 0;
}
