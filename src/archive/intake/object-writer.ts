/**
 * Passes one object's bytes into the journal as they come: header scan and segment.
 * Called by scp/storage.ts (DIMSE) and web-thread.ts (STOW), on the thread that owns the journal.
 * finish() returns once the bytes are durable; from there the settler takes them to the store and the index.
 */
import fs from 'node:fs';
import { HeaderScan, type PixelLocation, type Scan } from '../../dicom/header-scan.ts';
import { buildFileMeta } from '../../dicom/part10.ts';
import { transferSyntax } from '../../dicom/transfer-syntax.ts';
import { Failure } from '../../failure.ts';
import { BodyWriter, isDiskFault } from './body-writer.ts';
import type { JournalBudget } from './budget.ts';
import { checkObject, type DeclaredObject, type ObjectIdentity } from './check-object.ts';
import { DeflatedObject } from './deflated-object.ts';
import type { Journal, Segment } from './journal.ts';
import { encodeRecordHeader, type Provenance, type RecordHeader, recordSpan } from './record.ts';

export interface DurableObject extends ObjectIdentity {
  /** Where the record ends: the object is settled once the settler is past it. */
  segment: string;
  nonce: string;
  end: number;
}

export interface ObjectWriter {
  /**
   * Takes the next bytes of the data set; they may be reused when it returns, or when its promise resolves (which only
   * those of a deflated object need). @throws Failure 'no-space'
   */
  write(chunk: Uint8Array): void | Promise<void>;
  /** To be awaited before finish() where there is something to await: how all of a deflated object was inflated. */
  inflated(): Promise<void> | undefined;
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

class JournalObjectWriter implements ObjectWriter {
  readonly #journal: Journal;
  readonly #declared: DeclaredObject;
  readonly #from: Provenance;
  readonly #segment: Segment;
  readonly #scan: HeaderScan;
  readonly #body: BodyWriter;
  readonly #dataSetOffset: number;
  readonly #deflated: DeflatedObject | undefined;
  #open = true;
  /** A write that failed has left a hole: nothing after it may make the object whole. */
  #fault: unknown;

  constructor(journal: Journal, budget: JournalBudget, declared: DeclaredObject, from: Provenance) {
    this.#journal = journal;
    this.#declared = declared;
    this.#from = from;
    // A function of the object alone, never of who sent it: the store's key is made of the same (object-key.ts), so
    // the same object from another sender is the same file, and the row's length and offsets stay true of it.
    const fileMeta = buildFileMeta({
      sopClassUid: declared.sopClassUid,
      sopInstanceUid: declared.sopInstanceUid,
      transferSyntaxUid: declared.transferSyntaxUid,
    });
    this.#dataSetOffset = fileMeta.length;
    this.#scan = new HeaderScan(declared.transferSyntaxUid);
    this.#segment = journal.take();
    this.#deflated = transferSyntax(declared.transferSyntaxUid).deflated ? new DeflatedObject() : undefined;
    this.#body = new BodyWriter(journal, budget, this.#segment, declared.transferSyntaxUid, fileMeta);
  }

  write(chunk: Uint8Array): void | Promise<void> {
    this.#refuseWhenOver();
    try {
      this.#scan.push(chunk);
      this.#body.put(chunk);
    } catch (thrown) {
      this.#fault = thrown;
      throw thrown;
    }
    return this.#deflated?.push(chunk);
  }

  inflated(): Promise<void> | undefined {
    return this.#deflated?.end();
  }

  finish(): DurableObject {
    try {
      this.#refuseWhenOver();
      const head = this.#scan.end();
      const fault = head.fault ?? this.#deflated?.fault;
      const scan = fault === undefined ? head : { ...head, fault };
      const identity = checkObject(this.#declared, scan);
      const { bodyLength, contentHash, external } = this.#body.end();
      const header: RecordHeader = {
        bodyLength,
        contentHash,
        meta: {
          ...identity,
          transferSyntaxUid: this.#declared.transferSyntaxUid,
          dataSetOffset: this.#dataSetOffset,
          receivedAt: new Date().toISOString(),
          from: this.#from,
          ...nativePixels(this.#declared.transferSyntaxUid, scan),
          ...(external === undefined ? {} : { external }),
        },
      };
      const segment = this.#segment;
      this.#body.writeWithHeader(encodeRecordHeader(segment.nonce, header));
      fs.fdatasyncSync(segment.fd);
      segment.end += recordSpan(header);
      this.#open = false;
      this.#journal.expect(bodyLength);
      this.#body.keep();
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
    this.#body.drop();
    this.#deflated?.drop();
    // segment.end has not moved: the next record overwrites what lies behind it. After a fault of the disk there is
    // none: what a sync that failed has left behind, no later sync tells.
    if (isDiskFault(this.#fault)) this.#journal.abandon(this.#segment);
    else this.#journal.giveBack(this.#segment);
    // Nothing is placed for it, which would bring back the room of what many at once have opened.
    this.#journal.trim();
  }

  /** The segment may by then be another object's. */
  #refuseWhenOver(): void {
    if (!this.#open) throw new Failure('internal', 'the object is finished or dropped already');
    if (this.#fault !== undefined) throw this.#fault;
  }
}

/** Only what the settler can use without a scan of its own, and what fits a record's header. */
function nativePixels(transferSyntaxUid: string, { pixelData }: Scan): { pixel?: PixelLocation } {
  const usable = pixelData && !pixelData.encapsulated && !transferSyntax(transferSyntaxUid).deflated;
  return usable ? { pixel: pixelData } : {};
}
