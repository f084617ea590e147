/**
 * The settler's way into the object store. A file store is written before the index (a row points at a file that is
 * there) and synced in batches behind it; S3 is uploaded behind the index (the row points at this node's journal
 * until the upload is verified).
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { asFailure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import { objectKey } from '../object-key.ts';
import type { FileStore } from '../object-store/file-store.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import type { IncomingObject, ObjectPlace } from '../study-index.ts';
import { HeaderReading } from './prepare-object.ts';
import { type JournalRecord, type RecordBody, readBody } from './segment-reader.ts';

export interface Placed {
  object: IncomingObject;
  /** finishes the placing; undefined where only a sync is missing */
  upload: (() => Promise<void>) | undefined;
}

export interface Placer {
  /** @throws Failure 'invalid' when the header cannot be read; 'unavailable' | 'no-space' when the store must be waited for */
  place(record: JournalRecord): Promise<Placed>;
  /** After indexing: `done` is called once the object is durable in the store. */
  follow(placed: Placed, done: () => void): void;
  /** Objects followed and not done. */
  pending(): number;
  flush(): Promise<void>;
  stop(): Promise<void>;
}

export interface PlacerParts {
  database: Database;
  store: ObjectStore;
  nodeName: string;
  dataFolder: string;
  log: Log;
}

/** Up to here an object is read in one piece and written from it. */
const ONE_PIECE = 4 * 1024 * 1024;
const PARALLEL_UPLOADS = 8;
const UPLOAD_RETRY_MS = 2000;

export function createPlacer(parts: PlacerParts): Placer {
  return isFileStore(parts.store) ? createFilePlacer(parts.store) : createUploadPlacer(parts);
}

function isFileStore(store: ObjectStore): store is FileStore {
  return store.kind === 'files';
}

function createFilePlacer(store: FileStore): Placer {
  let unsynced: { key: string; done: () => void }[] = [];
  return {
    async place(record) {
      const { body } = record;
      const key = keyOf(record);
      const read = readRecord(record);
      if (body.external)
        await store.put(key, {
          length: body.length,
          sha256: read.sha256(),
          open: () => pieces(body),
          linkFrom: body.path,
        });
      else if (read.whole) store.putSync(key, [read.whole]);
      else putFromSegment(store, key, body);
      return { object: incoming(record, key, read, { in: 'store' }), upload: undefined };
    },
    follow(placed, done) {
      unsynced.push({ key: placed.object.key, done });
    },
    pending: () => unsynced.length,
    async flush() {
      const batch = unsynced;
      unsynced = [];
      try {
        store.syncSync(batch.map(({ key }) => key));
      } catch (thrown) {
        unsynced = [...batch, ...unsynced];
        throw thrown;
      }
      for (const { done } of batch) done();
    },
    stop: async () => {},
  };
}

function createUploadPlacer(parts: PlacerParts): Placer {
  const { store, database, log } = parts;
  const waiting: { placed: Placed; done: () => void }[] = [];
  let active = 0;
  let stopped = false;
  const idle: (() => void)[] = [];

  const finish = async (item: { placed: Placed; done: () => void }): Promise<void> => {
    const { object, upload } = item.placed;
    await upload?.();
    await database.query(
      `update object set location = 'store', node = null, journal = null
       where sop_uid = $1 and content_hash = $2 and location = 'journal' and node = $3`,
      [object.sopInstanceUid, object.contentHash, parts.nodeName],
    );
    item.done();
  };
  const pump = (): void => {
    while (!stopped && active < PARALLEL_UPLOADS && waiting.length > 0) {
      const item = waiting.shift()!;
      active++;
      finish(item)
        .catch((thrown: unknown) => {
          log.warn({ err: asFailure(thrown) }, 'an object could not be put into the store, trying again');
          waiting.push(item);
          return new Promise<void>((resolve) => setTimeout(resolve, stopped ? 0 : UPLOAD_RETRY_MS));
        })
        .finally(() => {
          active--;
          pump();
          if (active + waiting.length === 0 || stopped) for (const resolve of idle.splice(0)) resolve();
        });
    }
  };
  const emptied = (): Promise<void> =>
    active + waiting.length === 0 || stopped
      ? Promise.resolve()
      : new Promise((resolve) => idle.push(resolve));

  return {
    async place(record) {
      const { body } = record;
      const read = readRecord(record);
      const key = keyOf(record);
      const sha256 = read.sha256();
      const place: ObjectPlace = {
        in: 'journal',
        node: parts.nodeName,
        path: path.relative(parts.dataFolder, body.path),
        nonce: body.nonce,
        offset: body.offset,
      };
      return {
        object: incoming(record, key, read, place),
        upload: () => store.put(key, { length: body.length, sha256, open: () => pieces(body) }),
      };
    },
    follow(placed, done) {
      waiting.push({ placed, done });
      pump();
    },
    pending: () => active + waiting.length,
    flush: emptied,
    async stop() {
      stopped = true;
      for (const resolve of idle.splice(0)) resolve();
    },
  };
}

function putFromSegment(store: FileStore, key: string, body: RecordBody): void {
  const fd = fs.openSync(body.path, 'r');
  try {
    store.putSync(key, { fd, offset: body.offset, length: body.length });
  } finally {
    fs.closeSync(fd);
  }
}

interface RecordReading {
  header: ReturnType<HeaderReading['end']>;
  /** the body, when it is small enough to be held */
  whole: Buffer | undefined;
  /** of the whole Part 10 file */
  sha256(): Buffer;
}

function readRecord(record: JournalRecord): RecordReading {
  const { header, body } = record;
  const reading = new HeaderReading(header.meta.transferSyntaxUid);
  const onePiece = body.length <= ONE_PIECE;
  const hash = onePiece ? undefined : createHash('sha256');
  let skip = header.meta.dataSetOffset;
  let whole: Buffer | undefined;
  for (const piece of readBody(body, onePiece ? ONE_PIECE : undefined)) {
    if (onePiece) whole = piece;
    hash?.update(piece);
    const step = Math.min(skip, piece.length);
    skip -= step;
    reading.push(piece.subarray(step));
  }
  const held = whole;
  return {
    header: reading.end(),
    whole,
    sha256: () => hash?.digest() ?? createHash('sha256').update(held!).digest(),
  };
}

function keyOf({ header }: JournalRecord): string {
  return objectKey({ ...header.meta, contentHash: header.contentHash });
}

function incoming(
  record: JournalRecord,
  key: string,
  read: RecordReading,
  place: ObjectPlace,
): IncomingObject {
  const { meta, contentHash } = record.header;
  return {
    sopClassUid: meta.sopClassUid,
    sopInstanceUid: meta.sopInstanceUid,
    studyInstanceUid: meta.studyInstanceUid,
    seriesInstanceUid: meta.seriesInstanceUid,
    transferSyntaxUid: meta.transferSyntaxUid,
    contentHash,
    length: record.body.length,
    dataSetOffset: meta.dataSetOffset,
    pixel: read.header.scan.pixelData,
    key,
    place,
    receivedAt: meta.receivedAt,
    from: meta.from,
    header: read.header.header,
  };
}

/** Each piece its own buffer: an upload holds on to what it was given. */
async function* pieces(body: RecordBody): AsyncGenerator<Uint8Array> {
  for (const piece of readBody(body, 256 * 1024)) yield Buffer.from(piece);
}
