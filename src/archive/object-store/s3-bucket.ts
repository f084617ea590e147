/**
 * Makes sure that the bucket is there. One that Isocenter creates gets the settings of storage/buckets/objects.json;
 * one that exists belongs to whoever made it and is left as it is.
 * Called by the S3 store at start.
 */
import settings from '../../../storage/buckets/objects.json' with { type: 'json' };
import type { Log } from '../../log.ts';
import type { S3Client } from './s3-client.ts';
import { s3Code } from './s3-failure.ts';

export async function ensureBucket({ client, bucket, region }: S3Client, log: Log): Promise<void> {
  if (await client.bucketExists(bucket)) return;
  try {
    await client.makeBucket(bucket, region);
  } catch (thrown) {
    // Another node of ours was faster, and gives it its settings.
    if (s3Code(thrown) === 'BucketAlreadyOwnedByYou') return;
    throw thrown;
  }
  log.info({ bucket }, 'created the bucket');
  try {
    await client.setBucketLifecycle(bucket, settings.lifecycle);
  } catch (thrown) {
    // MinIO refuses this rule (InvalidArgument) and clears unfinished uploads by itself after a day.
    log.info({ bucket, code: s3Code(thrown) }, 'unfinished uploads are left to the S3 server to clear');
  }
}
