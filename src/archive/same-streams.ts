/**
 * Two streams of bytes laid side by side, a piece at a time, whatever the pieces' lengths.
 * Called by version-difference.ts for values too long to be held.
 */
import { swapWords, wordSize } from '../dicom/byte-order.ts';

/** The longest word a value is made of. */
const WORD = 8;

/** The bytes of a value in little endian order; pieces may be cut anywhere. */
export async function* littleEndianWords(
  bytes: AsyncIterable<Uint8Array>,
  vr: string,
  bigEndian: boolean,
): AsyncGenerator<Buffer> {
  const size = wordSize(vr);
  if (!bigEndian || size === 1) {
    for await (const piece of bytes) yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    return;
  }
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of bytes) {
    const joined = Buffer.concat([rest, piece]);
    const whole = joined.length - (joined.length % WORD);
    rest = joined.subarray(whole);
    if (whole > 0) yield swapWords(joined.subarray(0, whole), size);
  }
  if (rest.length > 0) yield swapWords(Buffer.from(rest), size);
}

/** One stream may be a zero byte longer: values are padded to an even length (PS3.5 7.1.1). */
export async function sameStreams(
  a: AsyncIterable<Uint8Array>,
  b: AsyncIterable<Uint8Array>,
): Promise<boolean> {
  const [one, other] = [piecesOf(a), piecesOf(b)];
  try {
    for (;;) {
      const [left, right] = [await one.next(), await other.next()];
      if (left.length === 0 || right.length === 0) {
        const more = left.length > 0 ? left : right;
        const after = await (left.length > 0 ? one : other).after(more.length);
        return more.length + after === 0 || (more.length + after === 1 && more[0] === 0);
      }
      const length = Math.min(left.length, right.length);
      if (Buffer.compare(left.subarray(0, length), right.subarray(0, length)) !== 0) return false;
      one.take(length);
      other.take(length);
    }
  } finally {
    await one.close();
    await other.close();
  }
}

function piecesOf(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  const next = async (): Promise<Uint8Array> => {
    while (held.length === 0) {
      const result = await iterator.next();
      if (result.done) break;
      held = result.value;
    }
    return held;
  };
  return {
    /** What is not taken yet of the piece at hand; empty at the end. */
    next,
    take(length: number): void {
      held = held.subarray(length);
    },
    /** Bytes that follow the first `length` of the piece at hand, counted to one. */
    async after(length: number): Promise<number> {
      if (held.length > length) return 1;
      held = held.subarray(length);
      return (await next()).length > 0 ? 1 : 0;
    },
    async close(): Promise<void> {
      await iterator.return?.();
    },
  };
}
