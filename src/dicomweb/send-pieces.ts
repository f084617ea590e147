/**
 * Hands an answer's bytes to its connection piece by piece: the next is read while the socket takes the last, and a
 * client that does not read holds up the reading. Each piece goes back to its buffers once the kernel has it.
 * Called by answer.ts, after status and headers are set.
 */
import type { ServerResponse } from 'node:http';
import type { PieceBuffers } from '../archive/object-store/piece-buffers.ts';
import { Failure } from '../failure.ts';

/** Pieces that the socket holds before the next is waited for: one that it sends and one behind it. */
const PIECES_IN_SOCKET = 2;

/**
 * Resolves when the last piece is handed over, or the client is gone.
 * @throws what `rest` throws: the answer is not whole then, and the connection is to be cut
 */
export async function sendPieces(
  res: ServerResponse,
  buffers: PieceBuffers,
  answer: {
    readonly begun: IteratorResult<Uint8Array>;
    readonly rest: AsyncIterator<Uint8Array>;
    /** Of all pieces, where it is known. */
    readonly length: number | undefined;
  },
): Promise<void> {
  let inSocket = 0;
  let wake = (): void => undefined;
  const moved = (): void => wake();
  res.once('close', moved);

  const write = (piece: Uint8Array, isLast: boolean): void => {
    inSocket += piece.length;
    const taken = (): void => {
      buffers.giveBack(piece);
      inSocket -= piece.length;
      wake();
    };
    if (isLast) res.end(piece, taken);
    else res.write(piece, taken);
  };

  let left = answer.length ?? Number.POSITIVE_INFINITY;
  let next: Promise<IteratorResult<Uint8Array>> = Promise.resolve(answer.begun);
  try {
    for (;;) {
      const { done, value: piece } = await next;
      if (done) {
        // Its head has promised more; the client would wait for it.
        if (left > 0 && answer.length !== undefined)
          throw new Failure('internal', `${left} of the ${answer.length} bytes of an answer did not come`);
        res.end();
        return;
      }
      if (res.destroyed) {
        buffers.giveBack(piece);
        return;
      }
      left -= piece.length;
      write(piece, left === 0);
      if (left === 0) return;
      next = answer.rest.next();
      // Heard when its turn comes.
      next.catch(() => undefined);
      while (inSocket >= PIECES_IN_SOCKET * buffers.pieceBytes && !res.destroyed)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    res.off('close', moved);
    await answer.rest.return?.();
  }
}
