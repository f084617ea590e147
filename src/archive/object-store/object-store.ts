/**
 * What an object store is: immutable objects under keys, kept as files (file-store.ts) or in a bucket (s3-store.ts).
 * The archive's settler puts objects here out of the journal; the doors read them back, whole or by range.
 * Both stores pass one suite, test/contracts/object-store.contract.ts.
 * Every error thrown on purpose is a Failure: 'invalid' for a bad key or range, 'mismatch' for a source that is not
 * what it was announced to be, 'not-found', 'no-space', and 'unavailable' for whatever may work later.
 */
import type { PieceBuffers } from './piece-buffers.ts';

/** The bytes of one object, known before they are written. */
export interface ObjectSource {
  /** Number of bytes that `open` yields. */
  readonly length: number;
  /** SHA-256 over those bytes, 32 bytes. */
  readonly sha256: Buffer;
  /** Yields the bytes from the start; may be called more than once, each chunk is left alone after it was yielded. */
  open(): AsyncIterable<Uint8Array>;
  /**
   * A complete, synced file with exactly these bytes that nobody will write to again. A file store on the same disk
   * links it instead of copying (only its length is checked then).
   */
  readonly linkFrom?: string;
}

/** Part of an object, in bytes; it has to lie inside the object. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface StoredObject {
  readonly key: string;
  readonly length: number;
}

export interface ObjectStore {
  readonly kind: 'files' | 's3';

  /** Makes the folder or bucket ready; says in a sentence why it cannot be used. May be called again after a Failure. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Resolves when the store can be reached and written now (for /health/ready). */
  check(): Promise<void>;

  /**
   * Places an object. Equal bytes under the key are success; other bytes (a file torn by a power cut) are replaced
   * in one step. The source is verified while it is written, and nothing half-written is ever readable under the key.
   * Files are durable only after `sync`.
   */
  put(key: string, source: ObjectSource): Promise<void>;
  /** Makes objects put before durable: files and their folders are synced; S3 has nothing left to do. */
  sync(keys: readonly string[]): Promise<void>;

  /**
   * Bytes of an object in chunks, opened at the first pull; memory does not depend on the object's size.
   * @param buffers where chunks may lie; whoever pulls them gives them back
   */
  read(key: string, range?: ByteRange, buffers?: PieceBuffers): AsyncIterable<Uint8Array>;
  /** One small range as a Buffer, out of `buffers` as above; 'too-large' above `maximumRangeLength`. */
  readRange(key: string, offset: number, length: number, buffers?: PieceBuffers): Promise<Buffer>;
  stat(key: string): Promise<{ length: number } | undefined>;
  /** All objects whose key begins with `prefix`, in no promised order (for reindex). */
  list(prefix?: string): AsyncIterable<StoredObject>;
  /** Removes an object; an unknown key is success. Only the sweep calls this. */
  remove(key: string): Promise<void>;
}

/** `readRange` holds its answer in memory, so it has a bound; larger ranges go through `read`. */
export const maximumRangeLength = 256 * 1024 * 1024;
