/**
 * Takes the body of one object (File Meta and data set) into its segment, or into a file of its own once it has
 * outgrown the segment; object-writer.ts puts the bytes in as they come and gives the record's header at the end.
 * An object that fits the stage is written with its header in one call.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Failure } from '../../failure.ts';
import { isCode } from '../object-store/file-failure.ts';
import type { JournalBudget } from './budget.ts';
import { type Journal, type Segment, syncFolder } from './journal.ts';
import { contentHash, RECORD_HEADER_BYTES } from './record.ts';

/** An object in a file of its own asks the budget for room in steps of this size. */
const SPILL_STEP = 32 * 1024 * 1024;
const COPY_BYTES = 256 * 1024;
/** While a large object comes, what has come is on its way to the disk: the sync before its Success is short then. */
const SYNC_STEP = 8 * 1024 * 1024;

/** What an object of this size in a file of its own has claimed from the budget. */
export function spilledClaim(bodyLength: number): number {
  return Math.max(1, Math.ceil(bodyLength / SPILL_STEP)) * SPILL_STEP;
}

interface Spill {
  fd: number | undefined;
  path: string;
  claimed: number;
  /** Another opening of the file, for the syncs on the way. */
  behind: number;
  syncing: boolean;
  /** So much was written when the last of them began. */
  syncedTo: number;
}

export class BodyWriter {
  readonly #journal: Journal;
  readonly #budget: JournalBudget;
  readonly #segment: Segment;
  readonly #hash: ReturnType<typeof contentHash>;
  /** Bytes of the body in the stage, behind room for the record's header. */
  #staged = 0;
  /** Bytes of the body already written to the segment or to a file of its own. */
  #written = 0;
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
    this.#stage(fileMeta);
  }

  /** Copies bytes of the data set. @throws Failure 'no-space' */
  put(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#stage(bytes);
  }

  #stage(bytes: Uint8Array): void {
    const { stage } = this.#segment;
    for (let at = 0; at < bytes.length; ) {
      const end = RECORD_HEADER_BYTES + this.#staged;
      const step = Math.min(bytes.length - at, stage.length - end);
      stage.set(bytes.subarray(at, at + step), end);
      this.#staged += step;
      at += step;
      if (end + step === stage.length) this.#flush();
    }
  }

  /** All bytes have come; a file of its own is durable then. @throws Failure 'no-space' */
  end(): { bodyLength: number; contentHash: Buffer; external?: string } {
    const bodyLength = this.#written + this.#staged;
    // What is whole in the stage waits there for its header, unless it needs a file of its own.
    if (this.#written > 0 || !this.#fits(bodyLength)) this.#flush();
    const whole = { bodyLength, contentHash: this.#hash.digest() };
    if (!this.#spill) return whole;
    fs.fdatasyncSync(openSpill(this.#spill));
    closeSpill(this.#spill);
    syncFolder(this.#journal.folder);
    return { ...whole, external: path.basename(this.#spill.path) };
  }

  /** Writes the record's header, and with it the body that is still in the stage. Durable after a sync. */
  writeWithHeader(header: Buffer): void {
    const { stage, fd, end } = this.#segment;
    header.copy(stage);
    writeAll(fd, stage.subarray(0, RECORD_HEADER_BYTES + this.#staged), end);
  }

  #fits(bodyLength: number): boolean {
    return this.#segment.end + RECORD_HEADER_BYTES + bodyLength <= this.#journal.segmentBytes;
  }

  /** The record that names it is durable. */
  keep(): void {
    if (this.#spill) this.#journal.spilling(this.#spill.path, 0);
  }

  /** Nothing of a file of its own remains. */
  drop(): void {
    if (!this.#spill) return;
    closeSpill(this.#spill);
    removeSpill(this.#spill);
    this.#budget.free(this.#spill.claimed);
    this.#journal.spilling(this.#spill.path, 0);
  }

  #flush(): void {
    const length = this.#staged;
    if (length === 0) return;
    const { stage, fd, end } = this.#segment;
    const bytes = stage.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + length);
    try {
      if (!this.#spill && !this.#fits(this.#written + length)) this.#startSpill();
      if (this.#spill) {
        while (this.#written + length > this.#spill.claimed) {
          this.#budget.reserve(SPILL_STEP);
          this.#spill.claimed += SPILL_STEP;
          this.#journal.spilling(this.#spill.path, this.#spill.claimed);
        }
        writeAll(openSpill(this.#spill), bytes, this.#written);
      } else writeAll(fd, bytes, end + RECORD_HEADER_BYTES + this.#written);
    } catch (thrown) {
      if (thrown instanceof Failure) throw thrown;
      throw new Failure('no-space', 'the object could not be written to the journal', { cause: thrown });
    }
    this.#written += length;
    this.#staged = 0;
    if (this.#spill && this.#written - this.#spill.syncedTo >= SYNC_STEP)
      syncBehind(this.#spill, this.#written);
  }

  /** The object outgrew its segment: what is written so far moves to a file of its own, and the rest follows it. */
  #startSpill(): void {
    this.#budget.reserve(SPILL_STEP);
    const file = path.join(this.#journal.folder, `${randomUUID()}.obj`);
    const spill: Spill = {
      fd: undefined,
      path: file,
      claimed: SPILL_STEP,
      behind: -1,
      syncing: false,
      syncedTo: 0,
    };
    this.#spill = spill;
    this.#journal.spilling(file, SPILL_STEP);
    const fd = fs.openSync(file, 'wx+', 0o600);
    spill.fd = fd;
    spill.behind = fs.openSync(file, 'r+');
    const copy = Buffer.allocUnsafe(COPY_BYTES);
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

/**
 * One sync at a time, beside the receiving. Its fault is not asked for: the kernel tells a write that failed to each
 * opening of the file, so the sync that counts, on the other one, fails too.
 */
function syncBehind(spill: Spill, written: number): void {
  if (spill.syncing) return;
  spill.syncing = true;
  spill.syncedTo = written;
  fs.fdatasync(spill.behind, () => {
    spill.syncing = false;
    if (spill.fd === undefined) fs.closeSync(spill.behind);
  });
}

/** Closes once: a descriptor closed twice may by then be another file's. */
function closeSpill(spill: Spill): void {
  const { fd } = spill;
  if (fd === undefined) return;
  spill.fd = undefined;
  fs.closeSync(fd);
  if (spill.behind >= 0 && !spill.syncing) fs.closeSync(spill.behind);
}

function openSpill(spill: Spill): number {
  if (spill.fd === undefined) throw new Failure('internal', 'the spill file of the object is not open');
  return spill.fd;
}
