/**
 * Takes the body of one object (File Meta and data set) into its segment, or into a file of its own once it has
 * outgrown the segment; object-writer.ts puts the bytes in as they come and writes the record's header behind them.
 *
 * A checksum guards the bytes on their way to the disk. The content hash, which only the index needs, is made of the
 * bytes while they are still in memory: after the sender has its answer, when the object fits the stage.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { Failure } from '../../failure.ts';
import { isCode } from '../object-store/file-failure.ts';
import type { JournalBudget } from './budget.ts';
import { type Journal, type Segment, syncFolder } from './journal.ts';
import { contentHash, RECORD_HEADER_BYTES } from './record.ts';

/** An object in a file of its own asks the budget for room in steps of this size. */
const SPILL_STEP = 32 * 1024 * 1024;
/** One write call takes at least this much. */
const WRITE_BYTES = 256 * 1024;

/** What an object of this size in a file of its own has claimed from the budget. */
export function spilledClaim(bodyLength: number): number {
  return Math.max(1, Math.ceil(bodyLength / SPILL_STEP)) * SPILL_STEP;
}

interface Spill {
  fd: number | undefined;
  path: string;
  claimed: number;
}

export class BodyWriter {
  readonly #journal: Journal;
  readonly #budget: JournalBudget;
  readonly #segment: Segment;
  readonly #hash: ReturnType<typeof contentHash>;
  /** The stage holds the last bytes of the body: so many, of which so many are written. */
  #staged = 0;
  #flushed = 0;
  /** Where in the stage the data set's bytes begin that are not hashed yet. */
  #unhashed: number;
  #written = 0;
  #checksum = 0;
  #spill: Spill | undefined;

  constructor(
    journal: Journal,
    budget: JournalBudget,
    segment: Segment,
    transferSyntaxUid: string,
    fileMeta: Uint8Array,
  ) {
    this.#journal = journal;
    this.#budget = budget;
    this.#segment = segment;
    this.#hash = contentHash(transferSyntaxUid);
    this.#unhashed = fileMeta.length;
    this.put(fileMeta);
  }

  /** Copies the bytes. @throws Failure 'no-space' */
  put(bytes: Uint8Array): void {
    const { stage } = this.#segment;
    for (let at = 0; at < bytes.length; ) {
      const step = Math.min(bytes.length - at, stage.length - this.#staged);
      const piece = bytes.subarray(at, at + step);
      stage.set(piece, this.#staged);
      this.#checksum = crc32(piece, this.#checksum);
      this.#staged += step;
      at += step;
      if (this.#staged - this.#flushed >= WRITE_BYTES || this.#staged === stage.length) this.#flush();
      if (this.#staged < stage.length) continue;
      this.#hashStage();
      this.#staged = 0;
      this.#flushed = 0;
    }
  }

  /** Writes what is left; a file of its own is durable then. @throws Failure 'no-space' */
  end(): { bodyLength: number; checksum: number; external?: string } {
    this.#flush();
    const whole = { bodyLength: this.#written, checksum: this.#checksum };
    if (!this.#spill) return whole;
    fs.fdatasyncSync(openSpill(this.#spill));
    closeSpill(this.#spill);
    syncFolder(this.#journal.folder);
    return { ...whole, external: path.basename(this.#spill.path) };
  }

  /** The record that names it is durable. */
  keep(): void {
    if (this.#spill) this.#journal.spilling(this.#spill.path, 0);
  }

  /** Of the data set. Called once, before the segment is another object's. */
  contentHash(): Buffer {
    this.#hashStage();
    return this.#hash.digest();
  }

  /** Nothing of a file of its own remains. */
  drop(): void {
    if (!this.#spill) return;
    closeSpill(this.#spill);
    removeSpill(this.#spill);
    this.#budget.free(this.#spill.claimed);
    this.#journal.spilling(this.#spill.path, 0);
  }

  #hashStage(): void {
    this.#hash.update(this.#segment.stage.subarray(this.#unhashed, this.#staged));
    this.#unhashed = 0;
  }

  #flush(): void {
    const length = this.#staged - this.#flushed;
    if (length === 0) return;
    const { stage, fd, end } = this.#segment;
    const bytes = stage.subarray(this.#flushed, this.#staged);
    const at = end + RECORD_HEADER_BYTES + this.#written;
    try {
      if (!this.#spill && at + length > this.#journal.segmentBytes) this.#startSpill();
      if (this.#spill) {
        while (this.#written + length > this.#spill.claimed) {
          this.#budget.reserve(SPILL_STEP);
          this.#spill.claimed += SPILL_STEP;
          this.#journal.spilling(this.#spill.path, this.#spill.claimed);
        }
        writeAll(openSpill(this.#spill), bytes, this.#written);
      } else writeAll(fd, bytes, at);
    } catch (thrown) {
      if (thrown instanceof Failure) throw thrown;
      throw new Failure('no-space', 'the object could not be written to the journal', { cause: thrown });
    }
    this.#written += length;
    this.#flushed = this.#staged;
  }

  /** The object outgrew its segment: what is written so far moves to a file of its own, and the rest follows it. */
  #startSpill(): void {
    this.#budget.reserve(SPILL_STEP);
    const file = path.join(this.#journal.folder, `${randomUUID()}.obj`);
    const spill: Spill = { fd: undefined, path: file, claimed: SPILL_STEP };
    this.#spill = spill;
    this.#journal.spilling(file, SPILL_STEP);
    const fd = fs.openSync(file, 'wx+', 0o600);
    spill.fd = fd;
    const copy = Buffer.allocUnsafe(WRITE_BYTES);
    const from = this.#segment.end + RECORD_HEADER_BYTES;
    for (let at = 0; at < this.#written; ) {
      const most = Math.min(copy.length, this.#written - at);
      const read = fs.readSync(this.#segment.fd, copy, 0, most, from + at);
      if (read === 0)
        throw new Failure('internal', 'the journal segment is shorter than what was written to it');
      writeAll(fd, copy.subarray(0, read), at);
      at += read;
    }
  }
}

/** A disk that is only full takes bytes again later, at the same place. */
export function isDiskFault(thrown: unknown): boolean {
  const fault = thrown instanceof Failure ? thrown.cause : thrown;
  return fault instanceof Error && 'syscall' in fault && !isCode(fault, 'ENOSPC', 'EDQUOT', 'EFBIG');
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; )
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
}

/** A file that a disk turned read-only keeps is removed at the next start: no record names it. */
function removeSpill(spill: Spill): void {
  try {
    fs.rmSync(spill.path, { force: true });
  } catch (thrown) {
    if (!isDiskFault(thrown)) throw thrown;
  }
}

/** Closes once: a descriptor closed twice may by then be another file's. */
function closeSpill(spill: Spill): void {
  const fd = spill.fd;
  spill.fd = undefined;
  if (fd !== undefined) fs.closeSync(fd);
}

function openSpill(spill: Spill): number {
  if (spill.fd === undefined) throw new Failure('internal', 'the spill file of the object is not open');
  return spill.fd;
}
