/**
 * Passes one object's bytes into the journal as they come: header scan, content hash, segment.
 * Called by scp/storage.ts (DIMSE) and web-thread.ts (STOW), on the thread that owns the journal.
 * finish() returns once the bytes are durable; from there the settler takes them to the store and the index.
 */
import { type createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { HeaderScan, type PixelLocation, type Scan } from '../../dicom/header-scan.ts';
import { buildFileMeta } from '../../dicom/part10.ts';
import { transferSyntax } from '../../dicom/transfer-syntax.ts';
import { Failure } from '../../failure.ts';
import { isCode } from '../object-store/file-failure.ts';
import type { JournalBudget } from './budget.ts';
import { checkObject, type DeclaredObject, type ObjectIdentity } from './check-object.ts';
import { type Journal, type Segment, syncFolder } from './journal.ts';
import {
  aligned,
  contentHash,
  encodeRecordHeader,
  type Provenance,
  RECORD_HEADER_BYTES,
  type RecordHeader,
} from './record.ts';

/** A spilled object asks the budget for room in steps of this size. */
const SPILL_STEP = 32 * 1024 * 1024;

/** What an object of this size in a file of its own has claimed from the budget. */
export function spilledClaim(bodyLength: number): number {
  return Math.max(1, Math.ceil(bodyLength / SPILL_STEP)) * SPILL_STEP;
}

export interface DurableObject extends ObjectIdentity {
  /** Where the record ends: the object is settled once the settler is past it. */
  segment: string;
  nonce: string;
  end: number;
}

export interface ObjectWriter {
  /** Takes the next bytes of the data set; they are copied or written before it returns. @throws Failure 'no-space' */
  write(chunk: Uint8Array): void;
  /** @throws Failure 'invalid' | 'mismatch' when the object cannot be kept; nothing of it remains then */
  finish(): DurableObject;
  /** Nothing of the object is kept. */
  abort(): void;
}

/**
 * @param declared what the C-STORE command or the File Meta says
 * @throws Failure 'no-space'
 */
export function beginObject(
  journal: Journal,
  budget: JournalBudget,
  declared: DeclaredObject,
  from: Provenance,
): ObjectWriter {
  return new JournalObjectWriter(journal, budget, declared, from);
}

interface Spill {
  fd: number | undefined;
  path: string;
  claimed: number;
}

class JournalObjectWriter implements ObjectWriter {
  readonly #journal: Journal;
  readonly #budget: JournalBudget;
  readonly #declared: DeclaredObject;
  readonly #from: Provenance;
  readonly #segment: Segment;
  readonly #fileMeta: Buffer;
  readonly #scan: HeaderScan;
  readonly #hash: ReturnType<typeof createHash>;
  #staged = 0;
  /** Bytes of the body already written to the segment or the spill file. */
  #written = 0;
  #spill: Spill | undefined;
  #open = true;
  /** A write that failed has left a hole: nothing after it may make the object whole. */
  #fault: unknown;

  constructor(journal: Journal, budget: JournalBudget, declared: DeclaredObject, from: Provenance) {
    this.#journal = journal;
    this.#budget = budget;
    this.#declared = declared;
    this.#from = from;
    // A function of the object alone, never of who sent it: the store's key is made of the same (object-key.ts), so
    // the same object from another sender is the same file, and the row's length and offsets stay true of it.
    this.#fileMeta = buildFileMeta({
      sopClassUid: declared.sopClassUid,
      sopInstanceUid: declared.sopInstanceUid,
      transferSyntaxUid: declared.transferSyntaxUid,
    });
    this.#scan = new HeaderScan(declared.transferSyntaxUid);
    this.#hash = contentHash(declared.transferSyntaxUid);
    this.#segment = journal.take();
    this.#put(this.#fileMeta);
  }

  write(chunk: Uint8Array): void {
    this.#refuseWhenOver();
    try {
      this.#scan.push(chunk);
      this.#hash.update(chunk);
      this.#put(chunk);
    } catch (thrown) {
      this.#fault = thrown;
      throw thrown;
    }
  }

  finish(): DurableObject {
    try {
      this.#refuseWhenOver();
      const scan = this.#scan.end();
      const identity = checkObject(this.#declared, scan);
      this.#flush();
      const bodyLength = this.#written;
      if (this.#spill?.fd !== undefined) {
        fs.fdatasyncSync(this.#spill.fd);
        closeSpill(this.#spill);
        syncFolder(this.#journal.folder);
      }
      const header: RecordHeader = {
        bodyLength,
        contentHash: this.#hash.digest(),
        meta: {
          ...identity,
          transferSyntaxUid: this.#declared.transferSyntaxUid,
          dataSetOffset: this.#fileMeta.length,
          receivedAt: new Date().toISOString(),
          from: this.#from,
          ...nativePixels(this.#declared.transferSyntaxUid, scan),
          ...(this.#spill ? { external: path.basename(this.#spill.path) } : {}),
        },
      };
      const segment = this.#segment;
      const block = encodeRecordHeader(segment.nonce, header);
      fs.writeSync(segment.fd, block, 0, block.length, segment.end);
      fs.fdatasyncSync(segment.fd);
      segment.end += aligned(RECORD_HEADER_BYTES + (this.#spill ? 0 : bodyLength));
      this.#open = false;
      this.#journal.expect(bodyLength);
      if (this.#spill) this.#journal.spilling(this.#spill.path, 0);
      this.#journal.advance(segment);
      const durable = {
        ...identity,
        segment: segment.path,
        nonce: segment.nonce.toString('hex'),
        end: segment.end,
      };
      this.#journal.giveBack(segment);
      return durable;
    } catch (thrown) {
      this.#fault ??= thrown;
      this.abort();
      if (thrown instanceof Failure) throw thrown;
      throw new Failure('no-space', 'the object could not be written to the journal', { cause: thrown });
    }
  }

  abort(): void {
    if (!this.#open) return;
    this.#open = false;
    if (this.#spill) {
      closeSpill(this.#spill);
      removeSpill(this.#spill);
      this.#budget.free(this.#spill.claimed);
      this.#journal.spilling(this.#spill.path, 0);
    }
    // segment.end has not moved: the next record overwrites what lies behind it. After a fault of the disk there is
    // none: what a sync that failed has left behind, no later sync tells.
    if (isDiskFault(this.#fault)) this.#journal.abandon(this.#segment);
    else this.#journal.giveBack(this.#segment);
  }

  /** The segment may by then be another object's. */
  #refuseWhenOver(): void {
    if (!this.#open) throw new Failure('internal', 'the object is finished or dropped already');
    if (this.#fault !== undefined) throw this.#fault;
  }

  #put(bytes: Uint8Array): void {
    const { stage } = this.#segment;
    for (let at = 0; at < bytes.length; ) {
      const step = Math.min(bytes.length - at, stage.length - this.#staged);
      stage.set(bytes.subarray(at, at + step), this.#staged);
      this.#staged += step;
      at += step;
      if (this.#staged === stage.length) this.#flush();
    }
  }

  #flush(): void {
    if (this.#staged === 0) return;
    const segment = this.#segment;
    const at = segment.end + RECORD_HEADER_BYTES + this.#written;
    try {
      if (!this.#spill && at + this.#staged > this.#journal.segmentBytes) this.#startSpill();
      if (this.#spill) {
        while (this.#written + this.#staged > this.#spill.claimed) {
          this.#budget.reserve(SPILL_STEP);
          this.#spill.claimed += SPILL_STEP;
          this.#journal.spilling(this.#spill.path, this.#spill.claimed);
        }
        writeAll(openSpill(this.#spill), segment.stage, this.#staged, this.#written);
      } else writeAll(segment.fd, segment.stage, this.#staged, at);
    } catch (thrown) {
      if (thrown instanceof Failure) throw thrown;
      throw new Failure('no-space', 'the object could not be written to the journal', { cause: thrown });
    }
    this.#written += this.#staged;
    this.#staged = 0;
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
    const copy = Buffer.allocUnsafe(this.#segment.stage.length);
    const from = this.#segment.end + RECORD_HEADER_BYTES;
    for (let at = 0; at < this.#written; ) {
      const read = fs.readSync(
        this.#segment.fd,
        copy,
        0,
        Math.min(copy.length, this.#written - at),
        from + at,
      );
      if (read === 0)
        throw new Failure('internal', 'the journal segment is shorter than what was written to it');
      writeAll(fd, copy, read, at);
      at += read;
    }
  }
}

/** Only what the settler can use without a scan of its own, and what fits a record's header. */
function nativePixels(transferSyntaxUid: string, { pixelData }: Scan): { pixel?: PixelLocation } {
  const usable = pixelData && !pixelData.encapsulated && !transferSyntax(transferSyntaxUid).deflated;
  return usable ? { pixel: pixelData } : {};
}

function writeAll(fd: number, bytes: Buffer, length: number, position: number): void {
  for (let done = 0; done < length; ) done += fs.writeSync(fd, bytes, done, length - done, position + done);
}

/** A disk that is only full takes bytes again later, at the same place. */
function isDiskFault(thrown: unknown): boolean {
  const fault = thrown instanceof Failure ? thrown.cause : thrown;
  return fault instanceof Error && 'syscall' in fault && !isCode(fault, 'ENOSPC', 'EDQUOT', 'EFBIG');
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
