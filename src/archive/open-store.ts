/**
 * Opens the object store the configuration names: a bucket where S3_ENDPOINT is set, files under the data folder
 * otherwise. Called once in the main thread and once in the settler's; the parts cross the thread boundary as a value.
 */
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import { createFileStore } from './object-store/file-store.ts';
import type { ObjectStore } from './object-store/object-store.ts';

export interface StoreConfig {
  /** of the file store */
  folder: string;
  /** scratch space on the same disk */
  tmp: string;
  s3: Config['s3'];
}

export async function openStore(config: StoreConfig, log: Log): Promise<ObjectStore> {
  if (!config.s3) return createFileStore({ folder: config.folder });
  // MinIO's client weighs 20 MB in each thread; whoever keeps files never loads it.
  const { createS3Store } = await import('./object-store/s3-store.ts');
  const { uploads: _, ...s3 } = config.s3;
  return createS3Store({ ...s3, log });
}
