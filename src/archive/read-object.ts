/**
 * Reads a stored object's bytes from wherever they lie: the store, or this node's journal before the settler is done.
 * Called by every door that lets bytes out. Memory does not depend on the object's size.
 *
 * A journal segment may be recycled while it is read. Its nonce is replaced before any new byte is written, so the
 * reader checks the nonce after each piece: a piece read under the old nonce is the object's. When the nonce has
 * changed the object is in the store by then, and reading goes on there at the same offset (same bytes, same hash).
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { Failure } from '../failure.ts';
import type { Queryable } from './database/database.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './intake/record.ts';
import type { ObjectStore } from './object-store/object-store.ts';
import type { PieceBuffers } from './object-store/piece-buffers.ts';
import {
  findPlace,
  isElsewhere,
  type JournalPlace,
  type ObjectQuery,
  type StoredObject,
} from './stored-object.ts';

export interface ByteRange {
  offset: number;
  length: number;
}

export interface ObjectReader {
  /**
   * Offsets count from the start of the Part 10 file.
   * @param buffers where pieces may lie; whoever pulls them gives them back
   * @throws Failure 'unavailable' | 'not-found' | 'invalid'
   */
  read(object: StoredObject, range?: ByteRange, buffers?: PieceBuffers): AsyncIterable<Uint8Array>;
  /** Before an answer of many objects begins. @throws Failure 'unavailable' when one of them is on another node only */
  hasAll(where: ObjectQuery): Promise<void>;
  /** One small range, held in memory, that of `buffers` where they are given. */
  readRange(object: StoredObject, offset: number, length: number, buffers?: PieceBuffers): Promise<Buffer>;
}

export interface ObjectReaderParts {
  store: ObjectStore;
  database: Queryable;
  nodeName: string;
  dataFolder: string;
}

const PIECE_BYTES = 256 * 1024;

export function createObjectReader(parts: ObjectReaderParts): ObjectReader {
  async function* read(
    object: StoredObject,
    range?: ByteRange,
    buffers?: PieceBuffers,
  ): AsyncGenerator<Uint8Array> {
    const offset = range?.offset ?? 0;
    const length = range?.length ?? object.length - offset;
    if (offset < 0 || length < 0 || offset + length > object.length)
      throw new Failure(
        'invalid',
        `bytes ${offset} to ${offset + length} lie outside the object of ${object.length}`,
      );
    if (object.location === 'store') {
      yield* parts.store.read(object.key, { offset, length }, buffers);
      return;
    }
    const place = ownPlace(object, parts.nodeName);
    const file = path.join(parts.dataFolder, place.path);
    const done = yield* readJournal(file, place, { offset, length }, buffers);
    if (done === length) return;
    const moved = await findPlace(parts.database, object.id);
    if (!moved) throw new Failure('not-found', `the object ${object.sopUid} is no longer in the archive`);
    if (isSamePlace(object, moved))
      throw new Failure('unavailable', `the journal no longer has the bytes of the object ${object.sopUid}`, {
        retryAfterS: 60,
      });
    yield* read({ ...object, ...moved }, { offset: offset + done, length: length - done }, buffers);
  }

  return {
    read,
    async hasAll(where) {
      if (await isElsewhere(parts.database, where, parts.nodeName)) throw elsewhere();
    },
    async readRange(object, offset, length, buffers) {
      if (object.location === 'store') return parts.store.readRange(object.key, offset, length, buffers);
      const pieces: Uint8Array[] = [];
      for await (const piece of read(object, { offset, length })) pieces.push(piece);
      return Buffer.concat(pieces, length);
    },
  };
}

/** Then asking again would go round for ever: the bytes were damaged and set aside (intake/quarantine.ts). */
function isSamePlace(object: StoredObject, moved: Pick<StoredObject, 'location' | 'journal'>): boolean {
  const { journal: was } = object;
  const { journal: is } = moved;
  return moved.location === 'journal' && was?.path === is?.path && was?.nonce === is?.nonce;
}

const elsewhere = (): Failure =>
  new Failure('unavailable', 'the object is still on the node that received it; it reaches the store soon', {
    retryAfterS: 2,
  });

function ownPlace(object: StoredObject, nodeName: string): JournalPlace {
  if (object.node !== nodeName || !object.journal) throw elsewhere();
  return object.journal;
}

/** @returns how many bytes were the object's; fewer than asked when the segment was recycled */
async function* readJournal(
  file: string,
  place: JournalPlace,
  { offset, length }: ByteRange,
  buffers: PieceBuffers | undefined,
): AsyncGenerator<Uint8Array, number> {
  const handle = await fs.open(file, 'r').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw new Failure('unavailable', 'the journal cannot be read', { cause, retryAfterS: 2 });
  });
  if (!handle) return 0;
  try {
    let done = 0;
    while (done < length) {
      const wanted = Math.min(buffers?.pieceBytes ?? PIECE_BYTES, length - done);
      const piece = buffers?.take(wanted) ?? Buffer.allocUnsafe(wanted);
      const { bytesRead } = await handle.read(piece, 0, piece.length, place.offset + offset + done);
      if (bytesRead === 0 || !(await stillTheSame(handle, place))) return done;
      done += bytesRead;
      yield bytesRead === piece.length ? piece : piece.subarray(0, bytesRead);
    }
    return done;
  } finally {
    await handle.close();
  }
}

async function stillTheSame(handle: fs.FileHandle, place: JournalPlace): Promise<boolean> {
  if (place.nonce === '') return true;
  const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
  await handle.read(block, 0, block.length, 0);
  return decodeSegmentHeader(block)?.toString('hex') === place.nonce;
}
