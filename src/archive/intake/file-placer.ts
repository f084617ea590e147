/**
 * Places records in a file store: written before they are indexed (a row points at a file that is there) and synced
 * in batches behind it. Made by placer.ts for the settler; from the files, objects are read by read-object.ts.
 */
import fs from 'node:fs';
import type { FileStore } from '../object-store/file-store.ts';
import type { Placer } from './placer.ts';
import { incoming, keyOf, ONE_PIECE, pieces, type RecordReading, readRecord } from './read-record.ts';
import type { JournalRecord, RecordBody } from './segment-reader.ts';

export function createFilePlacer(store: FileStore): Placer {
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
    away: () => undefined, // files are written and synced while the settler waits
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

function putFromSegment(store: FileStore, key: string, body: RecordBody): void {
  const fd = fs.openSync(body.path, 'r');
  try {
    store.putSync(key, { fd, offset: body.offset, length: body.length });
  } finally {
    fs.closeSync(fd);
  }
}
