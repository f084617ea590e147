/**
 * What an S3 server answered, or the network instead of it, as a Failure.
 * Called by the S3 store around every request.
 */
import { S3Error } from 'minio';
import { Failure } from '../../failure.ts';

const absent = new Set(['NoSuchKey', 'NotFound', 'NoSuchVersion']);
const full = new Set([
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'ServiceQuotaExceeded',
]);
const refused = new Set([
  'AccessDenied',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'AuthorizationHeaderMalformed',
]);

export function s3Code(thrown: unknown): string | undefined {
  return thrown instanceof S3Error ? thrown.code : undefined;
}

export function isAbsent(thrown: unknown): boolean {
  return absent.has(s3Code(thrown) ?? '');
}

/** `doing` completes "Cannot ...", e.g. "write the object 1.2.3/4 to S3"; a Failure stays as it is. */
export function s3Failure(doing: string, thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  const code = s3Code(thrown);
  const failure = (kind: 'not-found' | 'no-space' | 'invalid' | 'unavailable', why: string) =>
    new Failure(kind, `Cannot ${doing}: ${why}.`, { cause: thrown });
  if (code === undefined) {
    const why =
      thrown instanceof Error ? ('code' in thrown && String(thrown.code)) || thrown.message : 'no answer';
    return failure('unavailable', `the S3 server cannot be reached or gave up half-way (${why})`);
  }
  if (absent.has(code)) return failure('not-found', 'it is not in the bucket');
  if (code === 'NoSuchBucket')
    return failure('unavailable', 'the bucket of S3_BUCKET is not there (NoSuchBucket)');
  if (code === 'InvalidRange') return failure('invalid', 'the byte range does not lie inside it');
  if (full.has(code)) return failure('no-space', `the S3 server is full (${code})`);
  if (refused.has(code)) {
    return failure('unavailable', `the S3 server refused S3_ACCESS_KEY and S3_SECRET_KEY (${code})`);
  }
  return failure('unavailable', `the S3 server answered ${code}`);
}
