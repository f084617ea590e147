/**
 * Sends one object to S3: in one signed request when it is small, in parts when it is large.
 * MinIO's own putObject is not used: it resumes other people's partial uploads, hangs when the source fails, and holds
 * 64 MB. Here length and SHA-256 go ahead of the bytes, the server checks them, and nothing shows under the key before
 * it did. Called by s3-store.ts, which looks at the object afterwards.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { ObjectSource } from './object-store.ts';
import type { S3Client } from './s3-client.ts';
import { verifiedBytes } from './verified-bytes.ts';

/** Above it an object goes in parts, so that a cut connection costs one part and not the whole. */
export const multipartAbove = 64 * 1024 * 1024;
const partLength = 16 * 1024 * 1024;
/** S3's own limit. */
const maximumParts = 10_000;
/** Uploads in parts at once; each holds one part in memory. */
const multipartsAtOnce = 2;

/** The hash travels with the object, so that a later put of the same bytes can tell. */
export const hashHeader = 'x-amz-meta-sha256';

export interface S3Upload {
  /** Throws what the source throws, Failure 'mismatch' for a source that is not what it says, or the client's error. */
  upload(key: string, source: ObjectSource): Promise<void>;
}

export function createS3Upload(s3: S3Client, log: Log): S3Upload {
  const { client, bucket, region } = s3;
  const gate = createGate(multipartsAtOnce);

  const headersOf = (source: ObjectSource) => ({
    'content-type': 'application/dicom',
    [hashHeader]: source.sha256.toString('hex'),
  });

  async function uploadWhole(key: string, source: ObjectSource): Promise<void> {
    let fault: { thrown: unknown } | undefined;
    const bytes = async function* () {
      try {
        yield* verifiedBytes(key, source);
      } catch (thrown) {
        fault = { thrown };
        throw thrown;
      }
    };
    const body = Readable.from(bytes());
    try {
      const response = await client.makeRequestStreamAsync(
        {
          method: 'PUT',
          bucketName: bucket,
          objectName: key,
          headers: { ...headersOf(source), 'content-length': String(source.length) },
        },
        body,
        source.sha256.toString('hex'),
        [200],
        region,
      );
      await drain(response);
    } catch (thrown) {
      // The source's own words rather than those of the connection it broke.
      throw fault ? fault.thrown : thrown;
    } finally {
      body.destroy();
    }
  }

  async function uploadInParts(key: string, source: ObjectSource): Promise<void> {
    const uploadId = await client.initiateNewMultipartUpload(bucket, key, headersOf(source));
    try {
      const etags: { part: number; etag: string }[] = [];
      for await (const bytes of partsOf(verifiedBytes(key, source))) {
        const part = etags.length + 1;
        etags.push({ part, etag: await uploadPart(key, uploadId, part, bytes) });
      }
      await client.completeMultipartUpload(bucket, key, uploadId, etags);
    } catch (thrown) {
      await client.abortMultipartUpload(bucket, key, uploadId).catch((why: unknown) => {
        // The bucket's lifecycle rule clears it; what matters to the caller is why the upload failed.
        log.warn({ key, err: why }, 'an unfinished upload could not be aborted');
      });
      throw thrown;
    }
  }

  async function uploadPart(key: string, uploadId: string, part: number, bytes: Buffer): Promise<string> {
    const response = await client.makeRequestStreamAsync(
      {
        method: 'PUT',
        bucketName: bucket,
        objectName: key,
        query: `partNumber=${part}&uploadId=${encodeURIComponent(uploadId)}`,
        headers: { 'content-length': String(bytes.length) },
      },
      bytes,
      createHash('sha256').update(bytes).digest('hex'),
      [200],
      region,
    );
    await drain(response);
    const { etag } = response.headers;
    if (!etag)
      throw new Failure(
        'unavailable',
        `The S3 server took part ${part} of the object ${key} without an ETag.`,
      );
    return etag;
  }

  return {
    async upload(key, source) {
      if (source.length <= multipartAbove) return uploadWhole(key, source);
      if (source.length > partLength * maximumParts) {
        throw new Failure(
          'too-large',
          `The object ${key} of ${source.length} bytes has more than 10,000 parts for S3.`,
        );
      }
      return gate(() => uploadInParts(key, source));
    },
  };
}

/**
 * The ETag a server gives that has these bytes: their MD5, or in parts the MD5 of the parts' MD5s and their number.
 * Servers that encrypt with keys of their own give others; s3-store.ts then reads the object back.
 */
export async function expectedEtag(source: ObjectSource): Promise<string> {
  const md5 = (): ReturnType<typeof createHash> => createHash('md5');
  if (source.length <= multipartAbove) {
    const whole = md5();
    for await (const chunk of source.open()) whole.update(chunk);
    return whole.digest('hex');
  }
  const all = md5();
  let parts = 0;
  for await (const part of partsOf(source.open())) {
    all.update(md5().update(part).digest());
    parts++;
  }
  return `${all.digest('hex')}-${parts}`;
}

/** Gathers chunks into parts. Each part is the same memory again: send it before asking for the next. */
async function* partsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const part = Buffer.allocUnsafeSlow(partLength);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let taken = 0; taken < chunk.length; ) {
      if (filled === partLength) {
        yield part;
        filled = 0;
      }
      const count = Math.min(partLength - filled, chunk.length - taken);
      part.set(chunk.subarray(taken, taken + count), filled);
      filled += count;
      taken += count;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
}

async function drain(response: IncomingMessage): Promise<void> {
  for await (const _ of response);
}

/** Lets so many run at once; the others wait in line. */
function createGate(places: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let free = places;
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((enter) => waiting.push(enter));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
