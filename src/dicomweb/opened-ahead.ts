/**
 * Opens the parts of a multipart answer a few before their turn: while one goes to the client, the next ones come from
 * the disk or from S3. Called by retrieve.ts for whole instances; the parts go on to multipart-writer.ts.
 */
import { type PieceBuffers, WHOLE_PIECE_BYTES } from '../archive/object-store/piece-buffers.ts';
import { continued, type OutgoingPart } from './multipart-writer.ts';

/** Beside the one that is sent; each has its first piece read and no more. */
const PARTS_AHEAD = 4;

interface Opened {
  readonly part: OutgoingPart;
  readonly first: Promise<IteratorResult<Uint8Array>>;
  readonly rest: AsyncIterator<Uint8Array>;
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
      yield { ...turn.part, body: continued(turn.first, turn.rest) };
      // Where much is on its way already, one after the other will do.
      const ahead = buffers.pieceBytes < WHOLE_PIECE_BYTES ? 1 : PARTS_AHEAD;
      while (!isOver && opened.length < ahead) await open();
    }
  } finally {
    await source.return?.();
    await Promise.all(opened.map((one) => close(one, buffers)));
  }
}

function openPart(part: OutgoingPart): Opened {
  const rest = part.body[Symbol.asyncIterator]();
  const first = rest.next();
  // Heard when its turn comes.
  first.catch(() => undefined);
  return { part, first, rest };
}

/** One whose turn never came. */
async function close({ first, rest }: Opened, buffers: PieceBuffers): Promise<void> {
  const opened = await first.catch(() => undefined);
  if (opened && !opened.done) buffers.giveBack(opened.value);
  await rest.return?.();
}
