/**
 * Passes a source's bytes on while counting and hashing them.
 * The last chunk is held back until length and SHA-256 are known to be right, so whoever writes the bytes on
 * (a temporary file, an S3 request with its length announced) never has a complete object that is a wrong one.
 * Called by file-store.ts and s3-upload.ts.
 */
import { createHash } from 'node:crypto';
import { asFailure, Failure } from '../../failure.ts';
import type { ObjectSource } from './object-store.ts';

/** Yields the source's bytes; Failure 'mismatch' when they are not the ones announced, what the source throws as a Failure. */
export async function* verifiedBytes(key: string, source: ObjectSource): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let count = 0;
  let held: Uint8Array | undefined;
  for await (const chunk of asFailures(source.open())) {
    if (chunk.length === 0) continue;
    if (held) yield held;
    held = chunk;
    count += chunk.length;
    if (count > source.length) throw wrongLength(key, source.length, `${count} or more`);
    hash.update(chunk);
  }
  if (count !== source.length) throw wrongLength(key, source.length, String(count));
  if (!hash.digest().equals(source.sha256)) {
    throw new Failure(
      'mismatch',
      `The bytes for the object ${key} do not have the SHA-256 they were announced with.`,
    );
  }
  if (held) yield held;
}

function wrongLength(key: string, announced: number, found: string): Failure {
  return new Failure(
    'mismatch',
    `The source of the object ${key} gave ${found} bytes where ${announced} were announced.`,
  );
}

async function* asFailures(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes;
  } catch (thrown) {
    throw asFailure(thrown);
  }
}
