/** Buffers lent for pieces on their way out: used again, never by two at once, and small when much is on its way. */
import { describe, expect, it } from 'vitest';
import {
  createPieceBuffers,
  SMALL_PIECE_BYTES,
  WHOLE_PIECE_BYTES,
} from '../../../src/archive/object-store/piece-buffers.ts';

const MB = 1024 * 1024;

describe('piece buffers', () => {
  it('lend what was given back last, to any length of its size', () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const first = buffers.take(500_000);
    const second = buffers.take(500_000);
    expect(first).toHaveLength(500_000);
    expect(second.buffer).not.toBe(first.buffer);
    buffers.giveBack(first);
    buffers.giveBack(second);
    expect(buffers.takenBytes).toBe(0);
    expect(buffers.take(400_000).buffer).toBe(second.buffer);
    expect(buffers.take(300_000).buffer).toBe(first.buffer);
    expect(buffers.take(500_000).buffer).not.toBe(first.buffer);
    expect(buffers.take(100_000).buffer.byteLength).toBe(128 * 1024);
  });

  it('lend the same bytes to one only, also when they are given back twice', () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const piece = buffers.take(1000);
    buffers.giveBack(piece);
    buffers.giveBack(piece);
    expect(buffers.take(1000).buffer).not.toBe(buffers.take(1000).buffer);
  });

  it('leave alone what is not theirs, and parts of what is', () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const piece = buffers.take(1000);
    buffers.giveBack(Buffer.alloc(1000));
    buffers.giveBack(piece.subarray(0, 10));
    expect(buffers.takenBytes).toBe(SMALL_PIECE_BYTES);
    expect(buffers.take(1000).buffer).not.toBe(piece.buffer);
  });

  it('keep no more than they may', () => {
    const buffers = createPieceBuffers(2 * MB, 64 * MB);
    const pieces = Array.from({ length: 5 }, () => buffers.take(WHOLE_PIECE_BYTES));
    for (const piece of pieces) buffers.giveBack(piece);
    expect(buffers.takenBytes).toBe(0);
    const lent = new Set(Array.from({ length: 5 }, () => buffers.take(WHOLE_PIECE_BYTES).buffer));
    expect(pieces.filter((piece) => lent.has(piece.buffer))).toHaveLength(2);
  });

  it('ask for small pieces while much is on its way', () => {
    const buffers = createPieceBuffers(8 * MB, 3 * MB);
    const pieces = Array.from({ length: 3 }, () => buffers.take(buffers.pieceBytes));
    expect(buffers.pieceBytes).toBe(WHOLE_PIECE_BYTES);
    const last = buffers.take(1);
    expect(buffers.pieceBytes).toBe(SMALL_PIECE_BYTES);
    buffers.giveBack(last);
    expect(buffers.pieceBytes).toBe(WHOLE_PIECE_BYTES);
    for (const piece of pieces) buffers.giveBack(piece);
  });

  it('lend what is longer than a piece once only', () => {
    const buffers = createPieceBuffers(8 * MB, 64 * MB);
    const long = buffers.take(WHOLE_PIECE_BYTES + 1);
    expect(long).toHaveLength(WHOLE_PIECE_BYTES + 1);
    expect(buffers.takenBytes).toBe(0);
    buffers.giveBack(long);
    expect(buffers.take(WHOLE_PIECE_BYTES + 1).buffer).not.toBe(long.buffer);
    expect(buffers.take(0)).toHaveLength(0);
  });
});
