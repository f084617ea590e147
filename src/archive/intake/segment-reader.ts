/**
 * Reads the records of one segment, in order, for the settler: live ones up to where the journal says they are
 * durable, found ones (replay after a crash) to the end. Where a record should begin and none does, but a later one
 * holds, the disk has damaged what was acknowledged: that stretch is told as a gap, never passed over in silence.
 */
import fs from 'node:fs';
import path from 'node:path';
import { isCode } from '../object-store/file-failure.ts';
import {
  ALIGN,
  contentHash,
  decodeRecordHeader,
  encodeFreeHeader,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  recordSpan,
  SEGMENT_HEADER_BYTES,
  segmentUse,
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

/** A stretch of a segment that held records and no longer does. */
export interface JournalGap {
  path: string;
  start: number;
  end: number;
}

export type Finding = { record: JournalRecord } | { gap: JournalGap };

export class SegmentReader {
  readonly path: string;
  readonly nonce: string;
  readonly #nonce: Buffer;
  readonly #fd: number;
  /** Where the next record begins. */
  at = SEGMENT_HEADER_BYTES;

  /** @returns 'free' for a segment that is not in use, 'damaged' when its header does not hold */
  static open(file: string): SegmentReader | 'free' | 'damaged' {
    const fd = fs.openSync(file, 'r');
    let reader: SegmentReader | undefined;
    try {
      const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
      if (readUnlessBad(fd, block, 0) === 'bad') return 'damaged';
      const first = Buffer.alloc(RECORD_HEADER_BYTES);
      readUnlessBad(fd, first, SEGMENT_HEADER_BYTES);
      const use = segmentUse(block, first);
      if (typeof use === 'string') return use;
      reader = new SegmentReader(file, fd, use.nonce);
      return reader;
    } finally {
      if (!reader) fs.closeSync(fd);
    }
  }

  private constructor(file: string, fd: number, nonce: Buffer) {
    this.path = file;
    this.#fd = fd;
    this.#nonce = nonce;
    this.nonce = nonce.toString('hex');
  }

  /**
   * What comes next, or undefined: the segment ends here (for now, when it is live).
   * @param end how far records are known to be durable; undefined for a segment an earlier run left
   */
  next(end?: number): Finding | undefined {
    const header = this.#headerAt(this.at);
    if (typeof header === 'object') return { record: this.#record(header) };
    const start = this.at;
    const found = this.#findHeader(start + ALIGN, end);
    if (found !== undefined) this.at = found;
    else if (end !== undefined && end > start) this.at = end;
    // Whether a record stood where the disk gives nothing back, nobody can say: the rest of the file is kept.
    else if (header === 'bad') this.at = Math.max(fs.fstatSync(this.#fd).size, start + ALIGN);
    else return undefined;
    return { gap: { path: this.path, start, end: this.at } };
  }

  /** Whether another record follows: then the one before it was acknowledged. */
  hasNext(): boolean {
    return (
      this.#headerAt(this.at) !== undefined || this.#findHeader(this.at + ALIGN, undefined) !== undefined
    );
  }

  /** Marks the segment as settled, so that a restart does not replay it. */
  release(): void {
    const fd = fs.openSync(this.path, 'r+');
    try {
      fs.writeSync(fd, encodeFreeHeader(), 0, SEGMENT_HEADER_BYTES, 0);
    } finally {
      fs.closeSync(fd);
    }
    fs.closeSync(this.#fd);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  #record(header: RecordHeader): JournalRecord {
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

  /** 'bad' where the disk does not give its bytes back. */
  #headerAt(at: number): RecordHeader | 'bad' | undefined {
    const block = Buffer.allocUnsafe(RECORD_HEADER_BYTES);
    const read = readUnlessBad(this.#fd, block, at);
    if (read === 'bad') return read;
    return read < block.length ? undefined : decodeRecordHeader(block, this.#nonce);
  }

  /** The first place from `from` on where a record of this use of the segment begins. */
  #findHeader(from: number, end: number | undefined): number | undefined {
    const piece = Buffer.allocUnsafe(1024 * ALIGN);
    const limit = end ?? Number.POSITIVE_INFINITY;
    for (let base = from; base < limit; ) {
      const read = readUnlessBad(this.#fd, piece, base);
      if (read === 'bad') {
        // Around the bad blocks one at a time.
        if (typeof this.#headerAt(base) === 'object') return base;
        base += ALIGN;
        continue;
      }
      for (let at = 0; at + ALIGN <= read && base + at < limit; at += ALIGN)
        // The nonce is a record's second field; looking at it first spares reading each block again.
        if (piece.compare(this.#nonce, 0, this.#nonce.length, at + 8, at + 8 + this.#nonce.length) === 0)
          if (typeof this.#headerAt(base + at) === 'object') return base + at;
      if (read < piece.length) return undefined;
      base += piece.length;
    }
    return undefined;
  }
}

/** @returns how many bytes were read; 'bad' when the disk does not give them back (EIO) */
function readUnlessBad(fd: number, into: Buffer, at: number): number | 'bad' {
  try {
    return fs.readSync(fd, into, 0, into.length, at);
  } catch (thrown) {
    if (isCode(thrown, 'EIO')) return 'bad';
    throw thrown;
  }
}

/**
 * The bytes of a body in pieces; each piece is valid until the next is asked for.
 * @param into the size of a piece, or the buffer to read them into
 */
export function* readBody(body: RecordBody, into: number | Buffer = 1024 * 1024): Generator<Buffer> {
  const fd = fs.openSync(body.path, 'r');
  try {
    const piece =
      typeof into === 'number' ? Buffer.allocUnsafe(Math.min(into, Math.max(1, body.length))) : into;
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

/** Why the bytes of a body cannot be had from the disk, as it says; undefined when they can. */
export function bodyFault(body: RecordBody): unknown {
  try {
    for (const _ of readBody(body));
    return undefined;
  } catch (thrown) {
    return thrown;
  }
}

/** Whether a record found after a crash has the bytes that were acknowledged. */
export function bodyIsWhole({ header, body }: JournalRecord): boolean {
  const hash = contentHash(header.meta.transferSyntaxUid);
  let skip = header.meta.dataSetOffset;
  try {
    for (const piece of readBody(body)) {
      const step = Math.min(skip, piece.length);
      skip -= step;
      hash.update(piece.subarray(step));
    }
  } catch {
    // A spill file that ends early, or a disk that does not give the bytes back: not whole, as the caller will say.
    return false;
  }
  return hash.digest().equals(header.contentHash);
}
