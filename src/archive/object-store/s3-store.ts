/**
 * The object store in an S3 bucket, by MinIO's client: the same promises as the folder of file-store.ts.
 * An object is in the bucket whole or not at all, and durable once the server answered, so `sync` has nothing to do.
 * Called by the settler and by everything that reads objects; network faults are Failure 'unavailable'.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { checkKey, checkPrefix, checkRange, checkSmallRange, isKey, rangeOutside } from './object-key.ts';
import type { ByteRange, ObjectSource, ObjectStore } from './object-store.ts';
import type { PieceBuffers } from './piece-buffers.ts';
import { ensureBucket } from './s3-bucket.ts';
import { createS3Client, type S3Connection } from './s3-client.ts';
import { isAbsent, s3Failure } from './s3-failure.ts';
import { createS3Upload, expectedEtag, hashHeader } from './s3-upload.ts';

export interface S3StoreParts extends S3Connection {
  readonly log: Log;
}

interface Head {
  readonly length: number;
  /** As we sent it along: what the bytes should be. */
  readonly sha256: string | undefined;
  /** What the server says of the bytes it has. */
  readonly etag: string;
}

/** @throws Failure 'invalid' for an endpoint that is not one; nothing is sent before start(). */
export function createS3Store(parts: S3StoreParts): ObjectStore {
  const { log, ...connection } = parts;
  const s3 = createS3Client(connection);
  const { client, bucket, region, timeoutMs } = s3;
  const { upload } = createS3Upload(s3, log);
  let readsBack = false;

  async function start(): Promise<void> {
    try {
      await ensureBucket(s3, log);
    } catch (thrown) {
      throw s3Failure(`use the bucket ${bucket}`, thrown);
    }
  }

  async function check(): Promise<void> {
    try {
      if (await client.bucketExists(bucket)) return;
    } catch (thrown) {
      throw s3Failure(`reach the bucket ${bucket}`, thrown);
    }
    throw new Failure('unavailable', `The bucket ${bucket} is not there.`);
  }

  async function put(key: string, source: ObjectSource): Promise<void> {
    checkKey(key);
    try {
      if (await holds(key, source)) return;
      await upload(key, source);
      if (await holds(key, source)) return;
    } catch (thrown) {
      throw s3Failure(`write the object ${key} to S3`, thrown);
    }
    throw new Failure('unavailable', `The S3 server took the object ${key} and then showed another or none.`);
  }

  /** A length and a hash that we sent ourselves prove little: the server's own word on its bytes decides. */
  async function holds(key: string, source: ObjectSource): Promise<boolean> {
    const found = await head(key);
    if (found?.length !== source.length || found.sha256 !== source.sha256.toString('hex')) return false;
    if (found.etag === (await expectedEtag(source))) return true;
    if (!readsBack)
      log.info('this S3 server gives ETags of its own kind: each upload is read back to verify it');
    readsBack = true;
    const hash = createHash('sha256');
    for await (const chunk of read(key)) hash.update(chunk);
    return hash.digest().equals(source.sha256);
  }

  async function head(key: string): Promise<Head | undefined> {
    try {
      const { size, metaData, etag } = await client.statObject(bucket, key);
      return { length: size, sha256: metaData[hashHeader.replace('x-amz-meta-', '')], etag };
    } catch (thrown) {
      if (isAbsent(thrown)) return undefined;
      throw thrown;
    }
  }

  async function* read(key: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    checkKey(key);
    if (range) checkRange(range);
    // S3 has no words for an empty range.
    if (range?.length === 0) return yield* readNothing(key, range);
    try {
      const response = await get(key, range);
      let left = range?.length ?? Number(response.headers['content-length']);
      if (Number(response.headers['content-length']) !== left) {
        response.destroy();
        throw range ? rangeOutside(key, range, totalOf(response)) : new Error('an answer without its length');
      }
      for await (const chunk of bodyOf(response, timeoutMs)) {
        left -= chunk.length;
        yield chunk;
      }
      if (left !== 0) throw new Error('the answer ended early');
    } catch (thrown) {
      throw s3Failure(`read the object ${key} from S3`, thrown);
    }
  }

  function get(key: string, range: ByteRange | undefined): Promise<IncomingMessage> {
    const headers = range ? { range: `bytes=${range.offset}-${range.offset + range.length - 1}` } : {};
    return client.makeRequestAsync(
      { method: 'GET', bucketName: bucket, objectName: key, headers },
      '',
      [range ? 206 : 200],
      region,
    );
  }

  /** The same refusals as for a range with bytes in it. */
  async function* readNothing(key: string, range: ByteRange): AsyncGenerator<Uint8Array> {
    const found = await statObject(key);
    if (!found) throw new Failure('not-found', `The object ${key} is not in the bucket.`);
    if (range.offset > found.length) throw rangeOutside(key, range, found.length);
    yield* [];
  }

  async function readRange(
    key: string,
    offset: number,
    length: number,
    buffers?: PieceBuffers,
  ): Promise<Buffer> {
    const range = checkSmallRange(key, { offset, length });
    const bytes = buffers?.take(length) ?? Buffer.allocUnsafeSlow(length);
    let done = 0;
    // A server that sends more than was asked for is refused by `read`, and writes nothing beyond these bytes.
    for await (const chunk of read(key, range)) {
      bytes.set(chunk.subarray(0, length - done), done);
      done += chunk.length;
    }
    return bytes;
  }

  async function statObject(key: string): Promise<{ length: number } | undefined> {
    checkKey(key);
    try {
      const found = await head(key);
      return found && { length: found.length };
    } catch (thrown) {
      throw s3Failure(`look at the object ${key} in S3`, thrown);
    }
  }

  async function* list(prefix = ''): AsyncGenerator<{ key: string; length: number }> {
    checkPrefix(prefix);
    let token = '';
    do {
      const page = await client
        .listObjectsV2Query(bucket, prefix, token, '', 1000, '')
        .catch((thrown: unknown) => {
          throw s3Failure(`list the bucket ${bucket}`, thrown);
        });
      for (const { name, size } of page.objects) {
        // A bucket may be shared; what is no key of ours is nothing of ours.
        if (name !== undefined && isKey(name)) yield { key: name, length: size };
      }
      token = page.isTruncated ? page.nextContinuationToken : '';
    } while (token !== '');
  }

  async function remove(key: string): Promise<void> {
    checkKey(key);
    try {
      await client.removeObject(bucket, key);
    } catch (thrown) {
      throw s3Failure(`remove the object ${key} from S3`, thrown);
    }
  }

  return {
    kind: 's3',
    start,
    stop: async () => s3.close(),
    check,
    put,
    sync: async () => undefined,
    read,
    readRange,
    stat: statObject,
    list,
    remove,
  };
}

/** The whole object's length out of `Content-Range: bytes 0-9/100`. */
function totalOf(response: IncomingMessage): number {
  return Number(response.headers['content-range']?.split('/')[1]);
}

/**
 * The bytes of an answer. The limit on silence counts only while we wait for the server: a reader that takes its time
 * (a browser whose viewport is full) is no fault.
 */
async function* bodyOf(response: IncomingMessage, timeoutMs: number): AsyncGenerator<Uint8Array> {
  response.socket.setTimeout(0);
  const chunks: AsyncIterator<Uint8Array> = response[Symbol.asyncIterator]();
  try {
    for (;;) {
      const silence = setTimeout(
        () => response.destroy(new Error(`nothing came for ${timeoutMs} ms`)),
        timeoutMs,
      );
      const next = await chunks.next().finally(() => clearTimeout(silence));
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // A reader that left early leaves a connection with bytes in it, which is of no more use.
    response.destroy();
  }
}
