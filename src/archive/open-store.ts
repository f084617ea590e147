/**
 * Opens the object store the configuration names: a bucket where S3_ENDPOINT is set, files under the data folder
 * otherwise. Called once in the main thread and once in the settler's; the parts cross the thread boundary as a value.
 */
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import { createFileStore } from './object-store/file-store.ts';
import type { ObjectStore } from './object-store/object-store.ts';
import { createS3Store } from './object-store/s3-store.ts';

export interface StoreConfig {
  /** of the file store */
  folder: string;
  /** scratch space on the same disk */
  tmp: string;
  s3: Config['s3'];
}

export function openStore(config: StoreConfig, log: Log): ObjectStore {
  if (!config.s3) return createFileStore({ folder: config.folder });
  const { uploads: _, ...s3 } = config.s3;
  return createS3Store({ ...s3, log });
}
