/**
 * Opens the object store the configuration names: a bucket where S3_ENDPOINT is set, files under the data folder
 * otherwise. Called once in the main thread and once in the settler's; the parts cross the thread boundary as a value.
 */
import type { Log } from '../log.ts';
import { createFileStore } from './object-store/file-store.ts';
import type { ObjectStore } from './object-store/object-store.ts';
import { createS3Store } from './object-store/s3-store.ts';

export interface StoreConfig {
  /** of the file store */
  folder: string;
  /** scratch space on the same disk */
  tmp: string;
  s3: { endpoint: string; bucket: string; accessKey: string; secretKey: string; region: string } | undefined;
}

export function openStore(config: StoreConfig, log: Log): ObjectStore {
  return config.s3 ? createS3Store({ ...config.s3, log }) : createFileStore({ folder: config.folder });
}
