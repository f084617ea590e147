/**
 * Sources of objects for the tests of the object stores: bytes at hand, or as many as wanted without holding them.
 */
import { createHash } from 'node:crypto';
import type { ObjectSource } from '../../src/archive/object-store/object-store.ts';

export const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** A source of these bytes, handed over in pieces so that chunk borders are met. */
export function sourceOf(bytes: Uint8Array, pieceLength = 1000): ObjectSource {
  return {
    length: bytes.length,
    sha256: sha256(bytes),
    async *open() {
      for (let at = 0; at < bytes.length; at += pieceLength) yield bytes.subarray(at, at + pieceLength);
    },
  };
}

/** `length` bytes that differ from place to place, made piece by piece; `onPiece` is told how many were given so far. */
export function generatedSource(
  length: number,
  onPiece: (given: number) => void = () => undefined,
): ObjectSource {
  const pieces = function* () {
    const pieceLength = 64 * 1024;
    for (let at = 0, count = 0; at < length; at += pieceLength, count += 1) {
      const piece = Buffer.alloc(Math.min(pieceLength, length - at), count & 0xff);
      piece.writeUInt32LE(count, 0);
      yield piece;
    }
  };
  const hash = createHash('sha256');
  for (const piece of pieces()) hash.update(piece);
  return {
    length,
    sha256: hash.digest(),
    async *open() {
      let given = 0;
      for (const piece of pieces()) {
        yield piece;
        given += piece.length;
        onPiece(given);
      }
    },
  };
}

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await allOf(bytes));
}

/** Array.fromAsync, which TypeScript's es2024 library does not know yet. */
export async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
