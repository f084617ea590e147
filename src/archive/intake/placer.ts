/**
 * The settler's way into the object store, one for each kind: file-placer.ts writes before the index and syncs behind
 * it, s3-placer.ts uploads behind the index. Chosen here, used by settler.ts.
 */
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import type { IncomingObject } from '../incoming-object.ts';
import type { FileStore } from '../object-store/file-store.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { createFilePlacer } from './file-placer.ts';
import type { Away } from './patience.ts';
import { createS3Placer } from './s3-placer.ts';
import type { JournalRecord } from './segment-reader.ts';

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
  /** The store takes nothing now: what was followed waits by itself. */
  away(): Away | undefined;
  /** Syncs what was followed; uploads finish by themselves. @throws Failure 'unavailable' | 'no-space': call it again */
  flush(): Promise<void>;
  stop(): Promise<void>;
}

export interface PlacerParts {
  database: Database;
  store: ObjectStore;
  nodeName: string;
  dataFolder: string;
  /** Uploads to S3 at once. */
  uploads?: number;
  log: Log;
}

export function createPlacer(parts: PlacerParts): Placer {
  return isFileStore(parts.store) ? createFilePlacer(parts.store) : createS3Placer(parts);
}

function isFileStore(store: ObjectStore): store is FileStore {
  return store.kind === 'files';
}
