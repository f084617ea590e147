/**
 * The segments that are on their way through the settler, by path: opened when a journal tells of one or when an
 * earlier run left it, given out record by record in the order of receipt, let go when all of it is settled.
 * Kept by settler.ts.
 */
import { asFailure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { fileFailure } from '../object-store/file-failure.ts';
import type { JournalBudget } from './budget.ts';
import type { JournalPoint } from './messages.ts';
import { type Away, mayPass } from './patience.ts';
import { SegmentReader } from './segment-reader.ts';
import { type SegmentOwner, SettlingSegment, type Work } from './settling-segment.ts';

/** A disk that did not let go of a segment is asked again after this. */
const REST_MS = 1000;

export interface SegmentShelf {
  /** @param owner undefined for a segment an earlier run left */
  open(file: string, owner: SegmentOwner | undefined): SettlingSegment | 'free' | 'damaged';
  get(path: string): SettlingSegment | undefined;
  of(journal: string): SettlingSegment[];
  /** What is to be settled next, the oldest first, at most so much. */
  take(most: number): Work[];
  /** Everything before the point is in the index. */
  passed(point: JournalPoint): boolean;
  /** Tells the journals how far all is placed, and lets go of what is settled whole. @param atOnce without a rest */
  letGo(atOnce: boolean): void;
  /** The disk does not let go of a segment. */
  readonly away: Away | undefined;
  readonly size: number;
  readonly nonces: string[];
  /** Segments of an earlier run that are not settled. */
  readonly found: number;
  /** Objects that are not durable in the store, and when the oldest of them came (ISO). */
  readonly held: number;
  readonly oldest: string | undefined;
  close(): void;
}

export function createSegmentShelf(parts: {
  budget: JournalBudget;
  segmentBytes: number;
  log: Log;
}): SegmentShelf {
  const { budget, segmentBytes, log } = parts;
  const segments = new Map<string, SettlingSegment>();
  /** The last segment whose file the disk did not let go of. */
  let stuck: SettlingSegment | undefined;
  let away: Away | undefined;
  let restUntil = 0;

  /** Associations that send side by side take turns in the segments: their objects are indexed as they came. */
  const oldestSegment = (): SettlingSegment | undefined => {
    let first: SettlingSegment | undefined;
    for (const segment of segments.values()) {
      const at = segment.nextReceivedAt;
      if (at !== undefined && (first === undefined || at < first.nextReceivedAt!)) first = segment;
    }
    return first;
  };

  /** What a disk does not let go of now (read-only, faulty) is let go of later; a new start would replay it. */
  const advance = (segment: SettlingSegment, atOnce: boolean): boolean => {
    if (!atOnce && Date.now() < restUntil) return false;
    try {
      const released = segment.advance();
      if (segment === stuck) stuck = away = undefined;
      return released;
    } catch (thrown) {
      const failure = asFailure(fileFailure('let go of a journal segment', thrown));
      if (!mayPass(failure)) throw failure;
      if (!away) log.error({ err: failure }, 'the journal must wait');
      stuck = segment;
      away = { what: 'the journal', since: away?.since ?? new Date().toISOString(), why: failure.message };
      restUntil = Date.now() + REST_MS;
      return false;
    }
  };

  return {
    open(file, owner) {
      const reader = SegmentReader.open(file);
      if (!(reader instanceof SegmentReader)) return reader;
      const segment = new SettlingSegment({ reader, owner, budget, segmentBytes });
      segments.set(file, segment);
      return segment;
    },
    get: (path) => segments.get(path),
    of: (journal) => [...segments.values()].filter((segment) => segment.isOf(journal)),
    take(most) {
      const batch: Work[] = [];
      while (batch.length < most) {
        const work = oldestSegment()?.next();
        if (!work) break;
        batch.push(work);
      }
      return batch;
    },
    passed: (point) => segments.get(point.path)?.hasPassed(point) ?? true,
    letGo(atOnce) {
      for (const [file, segment] of segments) if (advance(segment, atOnce)) segments.delete(file);
    },
    get away() {
      return away;
    },
    get size() {
      return segments.size;
    },
    get nonces() {
      return [...segments.values()].map(({ nonce }) => nonce);
    },
    get found() {
      let found = 0;
      for (const segment of segments.values()) if (segment.found) found++;
      return found;
    },
    get held() {
      let held = 0;
      for (const segment of segments.values()) held += segment.held;
      return held;
    },
    get oldest() {
      let first: string | undefined;
      for (const { oldest } of segments.values())
        if (oldest !== undefined && (first === undefined || oldest < first)) first = oldest;
      return first;
    },
    close() {
      for (const segment of segments.values()) segment.close();
    },
  };
}
