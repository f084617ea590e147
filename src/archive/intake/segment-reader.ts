/**
 * Reads the records of one segment, in order, for the settler: live ones up to where the journal says they are
 * durable, found ones (replay after a crash) up to the first that is not whole.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  contentHash,
  decodeRecordHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  recordSpan,
  SEGMENT_HEADER_BYTES,
} from './record.ts';

/** The bytes of one record's body, wherever they lie. */
export interface RecordBody {
  path: string;
  /** empty for a spill file */
  nonce: string;
  offset: number;
  length: number;
  external: boolean;
}

export interface JournalRecord {
  header: RecordHeader;
  body: RecordBody;
  /** of the record in its segment */
  start: number;
  end: number;
}

export class SegmentReader {
  readonly path: string;
  readonly nonce: string;
  readonly #nonce: Buffer;
  readonly #fd: number;
  /** Where the next record begins. */
  at = SEGMENT_HEADER_BYTES;

  /** @returns undefined for a segment that is not in use */
  static open(file: string): SegmentReader | undefined {
    const fd = fs.openSync(file, 'r+');
    const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
    fs.readSync(fd, block, 0, block.length, 0);
    const nonce = decodeSegmentHeader(block);
    if (!nonce) {
      fs.closeSync(fd);
      return undefined;
    }
    return new SegmentReader(file, fd, nonce);
  }

  private constructor(file: string, fd: number, nonce: Buffer) {
    this.path = file;
    this.#fd = fd;
    this.#nonce = nonce;
    this.nonce = nonce.toString('hex');
  }

  /** The next record, or undefined: the segment ends here (for now, when it is live). */
  next(): JournalRecord | undefined {
    const header = this.#headerAt();
    if (!header) return undefined;
    const start = this.at;
    this.at += recordSpan(header);
    const { external } = header.meta;
    const body: RecordBody =
      external === undefined
        ? {
            path: this.path,
            nonce: this.nonce,
            offset: start + RECORD_HEADER_BYTES,
            length: header.bodyLength,
            external: false,
          }
        : {
            path: path.join(path.dirname(this.path), external),
            nonce: '',
            offset: 0,
            length: header.bodyLength,
            external: true,
          };
    return { header, body, start, end: this.at };
  }

  /** Whether another record follows: then the one before it was acknowledged. */
  hasNext(): boolean {
    return this.#headerAt() !== undefined;
  }

  #headerAt(): RecordHeader | undefined {
    const block = Buffer.allocUnsafe(RECORD_HEADER_BYTES);
    if (fs.readSync(this.#fd, block, 0, block.length, this.at) < block.length) return undefined;
    return decodeRecordHeader(block, this.#nonce);
  }

  /** Marks the segment as settled, so that a restart does not replay it. */
  release(): void {
    fs.writeSync(this.#fd, encodeSegmentHeader(Buffer.alloc(0)).fill(0), 0, SEGMENT_HEADER_BYTES, 0);
    fs.closeSync(this.#fd);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

/** The bytes of a body in pieces; each piece is valid until the next is asked for. */
export function* readBody(body: RecordBody, pieceBytes = 1024 * 1024): Generator<Buffer> {
  const fd = fs.openSync(body.path, 'r');
  try {
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, Math.max(1, body.length)));
    for (let done = 0; done < body.length; ) {
      const read = fs.readSync(fd, piece, 0, Math.min(piece.length, body.length - done), body.offset + done);
      if (read === 0) throw new Error('the journal ends inside an object');
      done += read;
      yield piece.subarray(0, read);
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** Whether a record found after a crash has the bytes that were acknowledged. */
export function bodyIsWhole(record: JournalRecord): boolean {
  const { header, body } = record;
  const hash = contentHash(header.meta.transferSyntaxUid);
  let skip = header.meta.dataSetOffset;
  try {
    for (const piece of readBody(body)) {
      const step = Math.min(skip, piece.length);
      skip -= step;
      hash.update(piece.subarray(step));
    }
  } catch {
    // A spill file that is not there, or ends early, is not whole; the caller decides what that means.
    return false;
  }
  return hash.digest().equals(header.contentHash);
}
