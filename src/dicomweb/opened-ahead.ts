/**
 * Opens the parts of a multipart answer a few before their turn: while one goes to the client, the next ones come from
 * the disk or from S3. Called by retrieve.ts for whole instances; the parts go on to multipart-writer.ts.
 */
import { type PieceBuffers, WHOLE_PIECE_BYTES } from '../archive/object-store/piece-buffers.ts';
import { continued, type OutgoingPart } from './multipart-writer.ts';

/**
 * Beside the one that is sent; each has its first piece read and no more. Only parts that leave as they lie, whose length
 * is known: one that is decoded on its way holds frames that the one before it may be waiting for.
 */
const PARTS_AHEAD = 4;

interface Opened {
  readonly part: OutgoingPart;
  /** Lets go of the body when its turn never comes. */
  close(buffers: PieceBuffers): Promise<void>;
}

export async function* openedAhead(
  parts: AsyncIterable<OutgoingPart>,
  buffers: PieceBuffers,
): AsyncGenerator<OutgoingPart> {
  const opened: Opened[] = [];
  const source = parts[Symbol.asyncIterator]();
  let isOver = false;
  const open = async (): Promise<void> => {
    const next = await source.next();
    isOver = next.done === true;
    if (!next.done) opened.push(openPart(next.value));
  };
  try {
    await open();
    for (let turn = opened.shift(); turn; turn = opened.shift()) {
      yield turn.part;
      // Where much is on its way already, one after the other will do.
      const ahead = buffers.pieceBytes < WHOLE_PIECE_BYTES ? 1 : PARTS_AHEAD;
      while (!isOver && opened.length < ahead) await open();
    }
  } finally {
    await source.return?.();
    await Promise.all(opened.map((one) => one.close(buffers)));
  }
}

function openPart(part: OutgoingPart): Opened {
  if (part.length === undefined) return { part, close: async () => undefined };
  const rest = part.body[Symbol.asyncIterator]();
  const first = rest.next();
  // Heard when its turn comes.
  first.catch(() => undefined);
  return {
    part: { ...part, body: continued(first, rest) },
    async close(buffers) {
      const opened = await first.catch(() => undefined);
      if (opened && !opened.done) buffers.giveBack(opened.value);
      await rest.return?.();
    },
  };
}
