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

/** Room that is made at once; a batch is mostly a little more than it is taken at. */
const ROOM_BYTES = 320 * 1024;
const STORED_HEADER_BYTES = 5;

/** Gathers blocks until they are taken, and sums up what they hold. */
export class GzipStream {
  #room = Buffer.allocUnsafeSlow(ROOM_BYTES);
  #filled = 0;
  #crc = 0;
  #length = 0;

  /** What goes before the first block. */
  readonly header: Buffer = GZIP_HEADER;

  /** Bytes gathered and not taken. */
  get gathered(): number {
    return this.#filled;
  }

  /** Text as blocks that hold it as it is (RFC 1951 3.2.4): for little text, which deflating would hardly shorten. */
  text(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += STORED_LIMIT) {
      const length = Math.min(STORED_LIMIT, bytes.length - at);
      this.#makeRoom(STORED_HEADER_BYTES + length);
      this.#room[this.#filled] = 0;
      this.#room.writeUInt16LE(length, this.#filled + 1);
      this.#room.writeUInt16LE(length ^ 0xffff, this.#filled + 3);
      bytes.copy(this.#room, this.#filled + STORED_HEADER_BYTES, at, at + length);
      this.#filled += STORED_HEADER_BYTES + length;
    }
    this.#count(zlib.crc32(bytes), bytes.length);
  }

  /**
   * Text that was deflated before: whole blocks, none the last, that end at a byte and refer to nothing before them.
   * @param crc32 of the text, which has `length` bytes
   */
  deflated(source: Buffer, from: number, to: number, crc32: number, length: number): void {
    this.#makeRoom(to - from);
    source.copy(this.#room, this.#filled, from, to);
    this.#filled += to - from;
    this.#count(crc32, length);
  }

  /** The blocks since the last time. */
  take(): Buffer {
    const taken = this.#room.subarray(0, this.#filled);
    this.#room = Buffer.allocUnsafeSlow(ROOM_BYTES);
    this.#filled = 0;
    return taken;
  }

  /** The last block and the trailer. */
  end(): Buffer {
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#length % 2 ** 32, 4);
    return Buffer.concat([LAST_BLOCK, trailer]);
  }

  #makeRoom(bytes: number): void {
    const needed = this.#filled + bytes;
    if (needed <= this.#room.length) return;
    const room = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#room.length));
    this.#room.copy(room, 0, 0, this.#filled);
    this.#room = room;
  }

  #count(crc: number, length: number): void {
    this.#crc = crc32Combine(this.#crc, crc, length);
    this.#length += length;
  }
}

/** The text of blocks, inflated off this thread. */
export function inflateBlocks(blocks: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zlib.inflateRaw(Buffer.concat([blocks, LAST_BLOCK]), (fault, text) =>
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
