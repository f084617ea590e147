/**
 * The settler's way into the object store. A file store is written before the index (a row points at a file that is
 * there) and synced in batches behind it; S3 is uploaded behind the index (the row points at this node's journal
 * until the upload is verified).
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asFailure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import type { IncomingObject, ObjectPlace } from '../incoming-object.ts';
import { objectKey } from '../object-key.ts';
import type { FileStore } from '../object-store/file-store.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { HeaderReading } from './prepare-object.ts';
import { type JournalRecord, type RecordBody, readBody } from './segment-reader.ts';

export interface Placed {
  object: IncomingObject;
  /** Puts the bytes into the store: S3's upload; for files once more, when a sync has failed. */
  put: () => Promise<void>;
}

export interface Placer {
  /** @throws Failure 'invalid' when the header cannot be read; 'unavailable' | 'no-space' when the store must be waited for */
  place(record: JournalRecord, replayed: boolean): Promise<Placed>;
  /** After indexing: `done` is called once the object is durable in the store. */
  follow(placed: Placed, done: () => void): void;
  /** Objects followed and not done. */
  pending(): number;
  /** More than can be held in memory are not done: nothing further should be placed now. */
  full(): boolean;
  /** Syncs what was followed; uploads finish by themselves. @throws Failure 'unavailable' | 'no-space': call it again */
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
/** With S3 away this many objects wait for their upload (about 1 KB of memory each), the others for the index. */
const MOST_UPLOADS = 10_000;

export function createPlacer(parts: PlacerParts): Placer {
  return isFileStore(parts.store) ? createFilePlacer(parts.store) : createUploadPlacer(parts);
}

function isFileStore(store: ObjectStore): store is FileStore {
  return store.kind === 'files';
}

function createFilePlacer(store: FileStore): Placer {
  const buffer = Buffer.allocUnsafeSlow(ONE_PIECE);
  let unsynced: { key: string; put: () => Promise<void>; done: () => void }[] = [];
  /** A sync failed: the kernel may hold the files for clean now, so they are written again from the journal. */
  let doubtful = false;

  const write = async (key: string, { body }: JournalRecord, read: RecordReading): Promise<void> => {
    if (body.external)
      await store.put(key, {
        length: body.length,
        sha256: read.sha256(),
        open: () => pieces(body),
        linkFrom: body.path,
      });
    else if (read.whole) store.putSync(key, [read.whole]);
    else putFromSegment(store, key, body);
  };
  return {
    async place(record, replayed) {
      const key = keyOf(record);
      const read = readRecord(record, buffer);
      await write(key, record, read);
      return {
        object: { ...incoming(record, key, read, { in: 'store' }), replayed },
        put: () => write(key, record, readRecord(record, buffer)),
      };
    },
    follow({ object: { key }, put }, done) {
      unsynced.push({ key, put, done });
    },
    pending: () => unsynced.length,
    full: () => false,
    async flush() {
      const batch = unsynced;
      if (doubtful) for (const object of batch) await object.put();
      try {
        store.syncSync(batch.map(({ key }) => key));
      } catch (thrown) {
        doubtful = true;
        throw thrown;
      }
      doubtful = false;
      unsynced = [];
      for (const { done } of batch) done();
    },
    stop: async () => {},
  };
}

interface Upload {
  sopUid: string;
  contentHash: Buffer;
  put: () => Promise<void>;
  done: () => void;
}

function createUploadPlacer(parts: PlacerParts): Placer {
  const { store, database, log } = parts;
  const buffer = Buffer.allocUnsafeSlow(ONE_PIECE);
  const waiting: Upload[] = [];
  let active = 0;
  let stopped = false;

  const finish = async ({ sopUid, contentHash, put, done }: Upload): Promise<void> => {
    await put();
    await database.query(
      `update object set location = 'store', node = null, journal = null
       where sop_uid = $1 and content_hash = $2 and location = 'journal' and node = $3`,
      [sopUid, contentHash, parts.nodeName],
    );
    done();
  };
  const pump = (): void => {
    while (!stopped && active < PARALLEL_UPLOADS && waiting.length > 0) {
      const item = waiting.shift()!;
      active++;
      finish(item)
        .catch((thrown: unknown) => {
          log.warn({ err: asFailure(thrown) }, 'an object could not be put into the store, trying again');
          waiting.push(item);
          return sleep(stopped ? 0 : UPLOAD_RETRY_MS);
        })
        .finally(() => {
          active--;
          pump();
        });
    }
  };

  return {
    async place(record, replayed) {
      const { body } = record;
      const read = readRecord(record, buffer);
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
        object: { ...incoming(record, key, read, place), replayed },
        put: () => store.put(key, { length: body.length, sha256, open: () => pieces(body) }),
      };
    },
    follow({ object, put }, done) {
      // Only what the upload needs: the header would be held for as long as S3 is away.
      const { sopInstanceUid: sopUid, contentHash } = object;
      waiting.push({ sopUid, contentHash, put, done });
      pump();
    },
    pending: () => active + waiting.length,
    full: () => active + waiting.length >= MOST_UPLOADS,
    flush: async () => {},
    async stop() {
      stopped = true;
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

/** @param buffer reused from record to record: what is returned is used up before the next is read */
function readRecord(record: JournalRecord, buffer: Buffer): RecordReading {
  const { header, body } = record;
  const reading = new HeaderReading(header.meta.transferSyntaxUid);
  const onePiece = body.length <= buffer.length;
  const hash = onePiece ? undefined : createHash('sha256');
  let skip = header.meta.dataSetOffset;
  let whole: Buffer | undefined;
  for (const piece of readBody(body, buffer)) {
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
