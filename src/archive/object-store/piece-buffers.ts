/**
 * Buffers for bytes on their way from the store to a client, used again when the socket has taken them: new memory for
 * each piece costs more than reading it, and piles up until it is collected. Made by dicomweb/routes.ts; the store reads
 * into them, dicomweb/send-pieces.ts gives them back.
 * A piece that nobody gives back is only lost to reuse: the collector takes it, as any other, and it counts no more.
 */

export interface PieceBuffers {
  /** So many bytes, filled with anything; from the shelf when they are no more than a whole piece. */
  take(length: number): Buffer;
  /** When nobody reads or writes the piece any more. Bytes that are not from here are left alone. */
  giveBack(piece: Uint8Array): void;
  /** Bytes that a piece should have: few while much is on its way already, so that slow clients cost little each. */
  readonly pieceBytes: number;
  /** Bytes that were taken and not given back. */
  readonly takenBytes: number;
}

export const WHOLE_PIECE_BYTES = 1024 * 1024;
export const SMALL_PIECE_BYTES = 64 * 1024;

/**
 * @param keepBytes at most of each size lie on the shelf, unused; there are five sizes
 * @param plentyBytes may be on their way at once in whole pieces; beyond them pieces are small
 */
export function createPieceBuffers(keepBytes: number, plentyBytes: number): PieceBuffers {
  /** By size; what was given back last is taken first: it is still in the processor's cache. */
  const shelf = new Map<number, ArrayBuffer[]>();
  const taken = new WeakMap<Uint8Array, ArrayBuffer>();
  let shelved = 0;
  let alive = 0;
  const collected = new FinalizationRegistry<number>((size) => {
    alive -= size;
  });

  const make = (size: number): ArrayBuffer => {
    const memory = Buffer.allocUnsafeSlow(size).buffer;
    alive += size;
    collected.register(memory, size, memory);
    return memory;
  };

  return {
    take(length) {
      if (length > WHOLE_PIECE_BYTES || length === 0) return Buffer.allocUnsafeSlow(length);
      const size = sizeFor(length);
      let memory = shelf.get(size)?.pop();
      if (memory) shelved -= size;
      else memory = make(size);
      const piece = Buffer.from(memory, 0, length);
      taken.set(piece, memory);
      return piece;
    },
    giveBack(piece) {
      const memory = taken.get(piece);
      if (!memory) return;
      // Twice would lend the same bytes to two.
      taken.delete(piece);
      const size = memory.byteLength;
      const row = shelf.get(size) ?? [];
      if ((row.length + 1) * size > keepBytes) {
        collected.unregister(memory);
        alive -= size;
        return;
      }
      shelf.set(size, row);
      row.push(memory);
      shelved += size;
    },
    get pieceBytes() {
      return alive - shelved > plentyBytes ? SMALL_PIECE_BYTES : WHOLE_PIECE_BYTES;
    },
    get takenBytes() {
      return alive - shelved;
    },
  };
}

/** The next power of two, so that frames of any size share few sizes; what is not written to costs no memory. */
const sizeFor = (length: number): number => Math.max(SMALL_PIECE_BYTES, 2 ** Math.ceil(Math.log2(length)));
