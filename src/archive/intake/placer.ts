/**
 * The way of indexed records into the object store, one for each kind: file-placer.ts writes and syncs batches while
 * nothing more pressing is to do, s3-placer.ts uploads in parallel. Chosen here for settler.ts.
 */
import type { FileStore } from '../object-store/file-store.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { createFilePlacer } from './file-placer.ts';
import type { Placer, PlacerParts } from './placement.ts';
import { createS3Placer } from './s3-placer.ts';

export function createPlacer(parts: PlacerParts): Placer {
  const { store } = parts;
  return isFileStore(store) ? createFilePlacer({ ...parts, store }) : createS3Placer(parts);
}

function isFileStore(store: ObjectStore): store is FileStore {
  return store.kind === 'files';
}
