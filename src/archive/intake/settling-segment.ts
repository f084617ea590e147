/**
 * One segment on its way through the settler: how far it is read, indexed and placed, and what may be said of it.
 * Made by settler.ts for each segment a journal tells of, and for each that an earlier run left.
 */
import fs from 'node:fs';
import { spilledClaim } from './body-writer.ts';
import type { JournalBudget } from './budget.ts';
import type { FromSettler, JournalPoint, Verdict } from './messages.ts';
import { recordSpan } from './record.ts';
import {
  bodyIsWhole,
  type Finding,
  type JournalGap,
  type JournalRecord,
  type RecordBody,
  type SegmentReader,
} from './segment-reader.ts';

export interface SegmentOwner {
  name: string;
  tell(message: FromSettler): void;
}

export interface SettlingSegmentParts {
  reader: SegmentReader;
  /** undefined for a segment an earlier run left: nobody waits for it */
  owner: SegmentOwner | undefined;
  budget: JournalBudget;
  segmentBytes: number;
}

/**
 * A record or a gap that is to be settled; `damaged` was acknowledged, and its bytes no longer hold. What lies behind
 * the last whole record an earlier run left is a gap only if the index has an object there (`unproven`).
 */
export type Work = { segment: SettlingSegment } & (
  | { record: JournalRecord; damaged: boolean }
  | { gap: JournalGap; unproven: boolean }
);

export class SettlingSegment {
  readonly #reader: SegmentReader;
  readonly #budget: JournalBudget;
  readonly #segmentBytes: number;
  readonly #found: boolean;
  #owner: SegmentOwner | undefined;
  /** Durable up to here, as its journal says; a found one is read to its end. */
  #end = 0;
  #sealed = false;
  #exhausted = false;
  #indexedTo: number;
  /** Records that are read and not yet durable in the store: their starts, with the time of receipt. */
  readonly #outstanding = new Map<number, string | undefined>();
  /** Records a living journal told of that are not read yet. */
  #unread = 0;
  /** Read, and not given out yet. */
  #ahead: { work: Work; start: number } | undefined;
  #placedTold = 0;
  #released = false;
  /** Spill files whose objects are in the store. */
  readonly #spent: RecordBody[] = [];

  constructor({ reader, owner, budget, segmentBytes }: SettlingSegmentParts) {
    this.#reader = reader;
    this.#owner = owner;
    this.#found = owner === undefined;
    this.#budget = budget;
    this.#segmentBytes = segmentBytes;
    this.#indexedTo = reader.at;
  }

  get found(): boolean {
    return this.#found;
  }

  isOf(journal: string): boolean {
    return this.#owner?.name === journal;
  }

  get path(): string {
    return this.#reader.path;
  }

  get nonce(): string {
    return this.#reader.nonce;
  }

  is(nonce: string): boolean {
    return this.#reader.nonce === nonce;
  }

  /** Everything before the point is in the index. */
  hasPassed({ nonce, end }: JournalPoint): boolean {
    return this.#reader.nonce !== nonce || this.#indexedTo >= end;
  }

  /** Objects that are not durable in the store. */
  get held(): number {
    return this.#outstanding.size + this.#unread;
  }

  /** When the oldest of them came, as far as they are read. */
  get oldest(): string | undefined {
    for (const receivedAt of this.#outstanding.values()) if (receivedAt !== undefined) return receivedAt;
    return undefined;
  }

  /** The last durable point. */
  get point(): JournalPoint {
    return { path: this.#reader.path, nonce: this.#reader.nonce, end: this.#end };
  }

  grow(end: number, sealed: boolean): void {
    // The first news of a segment comes before any record.
    if (this.#end > 0 && end > this.#end) this.#unread++;
    this.#end = end;
    this.#sealed = sealed;
  }

  /** The journal is gone: nothing more comes, and nobody is told. */
  orphan(): void {
    this.#owner = undefined;
    this.#sealed = true;
  }

  /** When the next record came (ISO), '' for a gap; undefined when there is nothing to settle now. */
  get nextReceivedAt(): string | undefined {
    this.#ahead ??= this.#read();
    if (!this.#ahead) return undefined;
    const { work } = this.#ahead;
    return 'record' in work ? work.record.header.meta.receivedAt : '';
  }

  /** What is to be settled next; undefined when there is nothing now. */
  next(): Work | undefined {
    const ahead = this.#ahead ?? this.#read();
    this.#ahead = undefined;
    if (!ahead) return undefined;
    const { work, start } = ahead;
    if (this.#unread > 0) this.#unread--;
    this.#outstanding.set(start, 'record' in work ? work.record.header.meta.receivedAt : undefined);
    return work;
  }

  /** Everything before is given out. */
  get #at(): number {
    return this.#ahead?.start ?? this.#reader.at;
  }

  #read(): { work: Work; start: number } | undefined {
    if (this.#exhausted || (!this.#found && this.#reader.at >= this.#end)) return undefined;
    const start = this.#reader.at;
    const finding = this.#reader.next(this.#found ? undefined : this.#end);
    const work = finding && this.#judge(finding);
    if (work) return { work, start };
    this.#reader.at = start;
    this.#exhausted = true;
    if (!this.#found) return undefined;
    const gap = { path: this.#reader.path, start, end: start };
    return { work: { segment: this, gap, unproven: true }, start };
  }

  /**
   * What a crash left of a record. Bytes that do not hold are a write that was never acknowledged, when nothing
   * follows in the segment (undefined: the segment ends here, unless the index knows better); otherwise the disk has damaged what was acknowledged.
   * A spill file was synced before its record was written, so there it is always damage.
   */
  #judge(finding: Finding): Work | undefined {
    if ('gap' in finding) return { segment: this, gap: finding.gap, unproven: false };
    const { record } = finding;
    const whole: Work = { segment: this, record, damaged: false };
    if (!this.#found || isSettledSpill(record)) return whole;
    if (record.body.external) this.#budget.count(spilledClaim(record.body.length));
    if (bodyIsWhole(record)) return whole;
    const damaged = record.body.external || this.#reader.hasNext();
    return damaged ? { segment: this, record, damaged } : undefined;
  }

  /** Everything read so far is in the index, or set aside. */
  indexed(): void {
    this.#indexedTo = this.#at;
    const { path, nonce } = this.#reader;
    this.#owner?.tell({ type: 'indexed', path, nonce, to: this.#indexedTo });
  }

  /** Whether the record's object is kept, for a sender that waits to hear it. */
  judge({ record }: Extract<Work, { record: unknown }>, verdict: Verdict): void {
    const { path, nonce } = this.#reader;
    this.#owner?.tell({
      type: 'verdict',
      path,
      nonce,
      end: record.start + recordSpan(record.header),
      verdict,
    });
  }

  /** The record or gap is durable elsewhere. */
  placed(work: Work): void {
    if ('gap' in work) {
      this.#outstanding.delete(work.gap.start);
      return;
    }
    const { record } = work;
    this.#outstanding.delete(record.start);
    if (!record.body.external || isSettledSpill(record)) return;
    this.#spent.push(record.body);
  }

  /**
   * Tells the owner how far it is placed; releases the file when all of it is.
   * @returns whether it was released
   * @throws what the file system says when it does not let go of a file: call it again later
   */
  advance(): boolean {
    for (let body = this.#spent[0]; body; body = this.#spent[0]) {
      fs.rmSync(body.path, { force: true });
      this.#budget.free(spilledClaim(body.length));
      this.#spent.shift();
    }
    const { path, nonce } = this.#reader;
    // They come in the order of the segment: the first is the lowest.
    const [to = this.#indexedTo] = this.#outstanding.keys();
    if (to > this.#placedTold && to <= this.#indexedTo) {
      this.#placedTold = to;
      this.#owner?.tell({ type: 'placed', path, nonce, to });
    }
    const readToItsEnd = this.#found ? this.#exhausted : this.#sealed && this.#at >= this.#end;
    if (!readToItsEnd || this.#outstanding.size > 0 || this.#indexedTo < this.#at) return false;
    if (!this.#released) {
      this.#reader.release();
      this.#released = true;
      // Here, not by the owner: it may have gone without our knowing yet.
      this.#budget.free(this.#segmentBytes);
    }
    if (this.#owner) this.#owner.tell({ type: 'released', path });
    else fs.rmSync(path, { force: true });
    return true;
  }

  close(): void {
    if (!this.#released) this.#reader.close();
  }
}

/** A spill file that has gone was settled before the crash: it is removed only after its store copy is synced. */
export function isSettledSpill({ body }: JournalRecord): boolean {
  return body.external && !fs.existsSync(body.path);
}
