/**
 * Takes what the journals made durable to the store and the index, behind the acknowledgement.
 * Runs in a thread of its own (settler-thread.ts); the journals tell it how far each segment is durable.
 * Live settling and the replay after a crash are one path: records are read back from the segments,
 * and settling a record twice changes nothing.
 *
 *   record → indexed (row: journal@node) → in the store, synced or verified → row: store → segment released
 *
 * The index comes first, because a release waits for it; files are placed when nothing waits for the index, or when
 * the journal holds much. Objects are gathered for a moment, so that a transaction serves many; who waits says so.
 */
import fs from 'node:fs';
import { asFailure, Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import type { ConflictPolicy, Decision } from '../decide-indexing.ts';
import type { IncomingObject } from '../incoming-object.ts';
import { fileFailure } from '../object-store/file-failure.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { indexObjects } from '../study-index.ts';
import type { JournalBudget } from './budget.ts';
import type { FromSettler, JournalPoint, ToSettler } from './messages.ts';
import { type Away, createPatience, mayPass } from './patience.ts';
import { createPlacer } from './placer.ts';
import { type Quarantine, quarantineFile, quarantineGap, quarantineRecord } from './quarantine.ts';
import { readIncoming } from './read-record.ts';
import { closeLostReceptions, closeReception, createReceptionBook } from './reception-log.ts';
import { SegmentReader } from './segment-reader.ts';
import { isSettledSpill, type SegmentOwner, SettlingSegment, type Work } from './settling-segment.ts';
import { createSpillClaims } from './spill-claims.ts';
import { createVerdicts } from './verdict.ts';

/** One transaction takes at most this much, so that a release waits for a small one. */
const BATCH_OBJECTS = 128;
/** Objects are gathered at most this long while nobody waits for them. */
const GATHER_MS = 100;
/** No object came for so long: time to place. */
const QUIET_MS = 250;
/** The journals hold this part of their limit: placing can wait no longer. */
const PRESSING_PART = 1 / 4;
/** The store was away: it is asked again after this. */
const STORE_RETRY_MS = 2000;
const IDLE_MS = 1000;

export interface SettlerParts {
  database: Database;
  store: ObjectStore;
  budget: JournalBudget;
  nodeName: string;
  dataFolder: string;
  quarantine: Quarantine;
  segmentBytes: number;
  ackAfter: 'journal' | 'store';
  conflictPolicy?: ConflictPolicy;
  /** Uploads to S3 at once. */
  uploads?: number;
  log: Log;
}

export interface SettlerState {
  segments: number;
  /** Durable, and not in the store; those of segments that are still to be replayed are not counted yet. */
  objects: number;
  /** ISO time of the oldest of them. */
  oldest: string | undefined;
  /** ISO time of the oldest record that is not indexed yet */
  oldestUnindexed: string | undefined;
  replaying: number;
  /** Parts that are away, since when and why. */
  away: Away[];
}

export interface Settler {
  /** A journal's messages; `tell` answers it. */
  attach(name: string, tell: (message: FromSettler) => void): (message: ToSettler) => void;
  /** The journal's thread is gone, and its last message was taken: what it left is settled, nobody is told. */
  detach(name: string): void;
  /**
   * Settles what an earlier run left: segments, then the spill files no record names, then its open receptions.
   * Resolves when all of it is done, however long the database is away.
   */
  replay(segments: string[], spills: string[]): Promise<void>;
  state(): SettlerState;
  /** Runs until stop(). @throws what it cannot go on after: the process must not go on without a settler */
  run(): Promise<void>;
  /** Settles what is durable within `limitMs`, then stops; the rest is replayed at the next start. */
  stop(limitMs: number): Promise<void>;
}

/** A record with what the index is to know of it. */
interface Reading {
  work: Extract<Work, { record: unknown }>;
  object: IncomingObject;
  /** What the index made of it. */
  outcome?: Decision['outcome'];
  /** Its sender waits for the comparison. */
  awaits?: boolean;
}

export function createSettler(parts: SettlerParts): Settler {
  const { database, log, budget, nodeName, segmentBytes } = parts;
  const segments = new Map<string, SettlingSegment>();
  const journals = new Set<string>();
  const receptions = createReceptionBook();
  const placer = createPlacer(parts);
  const spills = createSpillClaims(budget, log);
  const patience = createPatience(log);
  const { persistently } = patience;
  const verdicts = createVerdicts(database);
  let stopping = false;
  let deadline = Number.POSITIVE_INFINITY;
  let running: Promise<void> | undefined;
  let wakeUp: (() => void) | undefined;
  let woken = false;
  let replayDone: (() => void) | undefined;
  let oldest: string | undefined;
  /** News of objects since the last look, and since when. */
  let told = 0;
  let toldSince = 0;
  let lastToldAt = 0;
  /** Somebody waits for the index. */
  let wanted = false;
  /** When the placer had its last step. */
  let steppedAt = 0;
  /** Tries that a store which is away still gets once we stop. */
  let lastSteps = 2;
  /** The last segment whose file the disk did not let go of. */
  let stuck: SettlingSegment | undefined;
  let journalAway: Away | undefined;
  let journalRestUntil = 0;
  /** An earlier run's segments were damaged: a spill file no record names may be what one of them named. */
  let replayDamaged = false;

  const wake = (): void => {
    woken = true;
    wakeUp?.();
  };
  const passed = (point: JournalPoint): boolean => segments.get(point.path)?.hasPassed(point) ?? true;

  const collect = (): Work[] => {
    const batch: Work[] = [];
    while (batch.length < BATCH_OBJECTS) {
      const work = oldestSegment()?.next();
      if (!work) break;
      batch.push(work);
      if ('record' in work) oldest ??= work.record.header.meta.receivedAt;
    }
    return batch;
  };
  /** Associations that send side by side take turns in the segments: their objects are indexed as they came. */
  const oldestSegment = (): SettlingSegment | undefined => {
    let first: SettlingSegment | undefined;
    for (const segment of segments.values()) {
      const at = segment.nextReceivedAt;
      if (at !== undefined && (first === undefined || at < first.nextReceivedAt!)) first = segment;
    }
    return first;
  };

  const settle = async (batch: Work[]): Promise<void> => {
    const readings: Reading[] = [];
    for (const work of batch) {
      const reading = await read(work);
      if (reading) readings.push(reading);
    }
    const indexed = await indexAll(readings);
    judge(indexed);
    for (const segment of new Set(batch.map((work) => work.segment))) segment.indexed();
    for (const { work, outcome } of indexed)
      if (outcome === 'refused') placed(work);
      else placer.add({ record: work.record, done: () => placed(work) });
  };

  /** Senders that wait for the verdict are told before they hear that all is indexed. */
  const judge = (indexed: Reading[]): void => {
    for (const { work, object, outcome, awaits } of indexed) {
      if (outcome === 'refused') work.segment.judge(work, 'refused');
      if (!awaits) continue;
      verdicts.await(work, object);
      work.segment.judge(work, 'awaited');
    }
  };

  /** Undefined when nothing is left to index: set aside, or settled before a crash. */
  const read = async (work: Work): Promise<Reading | undefined> => {
    if ('gap' in work) {
      replayDamaged ||= work.segment.found;
      log.error({ ...work.gap }, 'a stretch of the journal is damaged and goes to quarantine');
      await persistently('the quarantine', () => quarantineGap(parts.quarantine, work.gap));
      placed(work);
      return undefined;
    }
    if (work.segment.found && isSettledSpill(work.record)) {
      placed(work);
      return undefined;
    }
    if (work.damaged) {
      await setAside(work, new Failure('internal', 'the bytes in the journal are no longer those that came'));
      return undefined;
    }
    try {
      return { work, object: { ...readIncoming(work.record, parts), replayed: work.segment.found } };
    } catch (thrown) {
      await setAside(work, asFailure(thrown));
      return undefined;
    }
  };

  const setAside = async (work: Reading['work'], failure: Failure): Promise<void> => {
    log.error({ err: failure, sop: work.record.header.meta.sopInstanceUid }, 'an object goes to quarantine');
    // Another program's words could quote a patient; the log names such an error without them.
    const foreign = failure.kind === 'internal' && failure.cause !== undefined;
    const reason = foreign ? 'the object could not be indexed; the log has the cause' : failure.message;
    await persistently('the quarantine', () => quarantineRecord(parts.quarantine, work.record, reason));
    placed(work);
  };

  /**
   * One transaction; when something in it is poison, each object has its own and the poisoned one is set aside.
   * @returns those that are in the index
   */
  const indexAll = async (readings: Reading[]): Promise<Reading[]> => {
    if (readings.length === 0) return [];
    try {
      const { outcomes, awaits } = await persistently('the index', () =>
        indexObjects(
          database,
          nodeName,
          readings.map(({ object }) => object),
          { policy: parts.conflictPolicy ?? 'keep-first' },
        ),
      );
      return readings.map((reading, n) => ({ ...reading, outcome: outcomes[n]!, awaits: awaits[n]! }));
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (mayPass(failure)) throw failure;
      const [only, ...others] = readings;
      if (others.length > 0) {
        const indexed: Reading[] = [];
        for (const reading of readings) indexed.push(...(await indexAll([reading])));
        return indexed;
      }
      await setAside(only!.work, failure);
      return [];
    }
  };

  const placed = (work: Work): void => {
    work.segment.placed(work);
    wake();
  };

  const replaying = (): boolean => [...segments.values()].some((segment) => segment.found);
  /** When the objects told of are to be indexed, in ms from now. */
  const indexDueIn = (): number => {
    if (told === 0 || placer.full()) return Number.POSITIVE_INFINITY;
    if (wanted || told >= BATCH_OBJECTS || stopping || parts.ackAfter === 'store') return 0;
    return Math.max(0, toldSince + GATHER_MS - Date.now());
  };
  /** When what is indexed is to be placed, in ms from now. */
  const placingDueIn = (): number => {
    if (placer.pending() === 0) return Number.POSITIVE_INFINITY;
    const restMs = stopping ? STORE_RETRY_MS / 10 : STORE_RETRY_MS;
    const rest = placer.away() ? Math.max(0, steppedAt + restMs - Date.now()) : 0;
    const pressing = budget.held() > budget.limit * PRESSING_PART || placer.full();
    if (stopping || pressing || parts.ackAfter === 'store' || replaying()) return rest;
    return Math.max(rest, lastToldAt + QUIET_MS - Date.now());
  };

  const awayNow = (): Away[] => {
    const store = placer.away();
    const known = [...patience.away, ...(journalAway ? [journalAway] : [])];
    return store && !known.some(({ what }) => what === store.what) ? [...known, store] : known;
  };

  const closeReceptions = async (): Promise<void> => {
    for (const closing of receptions.due(passed)) {
      try {
        await persistently('the index', () => closeReception(database, closing));
      } catch (thrown) {
        const failure = asFailure(thrown);
        if (mayPass(failure)) throw failure;
        log.error({ err: failure, reception: closing.from.reception }, 'a reception could not be closed');
      }
      receptions.done(closing);
    }
  };

  /** What a disk does not let go of now (read-only, faulty) is let go of later; a new start would replay it. */
  const advance = (segment: SettlingSegment): boolean => {
    if (!stopping && Date.now() < journalRestUntil) return false;
    try {
      const released = segment.advance();
      if (segment === stuck) stuck = journalAway = undefined;
      return released;
    } catch (thrown) {
      const failure = asFailure(fileFailure('let go of a journal segment', thrown));
      if (!mayPass(failure)) throw failure;
      if (!journalAway) log.error({ err: failure }, 'the journal must wait');
      stuck = segment;
      journalAway = {
        what: 'the journal',
        since: journalAway?.since ?? new Date().toISOString(),
        why: failure.message,
      };
      journalRestUntil = Date.now() + IDLE_MS;
      return false;
    }
  };

  const run = async (): Promise<void> => {
    for (;;) {
      woken = false;
      oldest = undefined;
      let batch: Work[] = [];
      try {
        if (indexDueIn() === 0) {
          batch = collect();
          // What comes while the batch is settled is told of anew; a full batch may have left some behind.
          wanted &&= batch.length === BATCH_OBJECTS;
          told = batch.length === BATCH_OBJECTS ? BATCH_OBJECTS : 0;
          if (batch.length > 0) await settle(batch);
        }
        await verdicts.look();
        await closeReceptions();
        if (batch.length < BATCH_OBJECTS && placingDueIn() === 0) {
          await placer.step();
          steppedAt = Date.now();
          if (stopping) lastSteps--;
        }
      } catch (err) {
        if (!stopping) throw err;
        log.warn({ err }, 'the settler stopped before all was settled; the next start replays the rest');
        return;
      }
      for (const [file, segment] of segments) if (advance(segment)) segments.delete(file);
      if (!replaying()) replayDone?.();
      // With the store away what is left, after a few more tries, waits for the next start.
      const placed = placer.pending() === 0 || (placer.away() !== undefined && lastSteps <= 0);
      const settled = batch.length === 0 && placed && receptions.empty && journals.size === 0;
      if ((stopping && settled) || Date.now() >= deadline) return;
      const soon = stopping || verdicts.pending > 0;
      const pause = Math.min(soon ? IDLE_MS / 10 : IDLE_MS, indexDueIn(), placingDueIn());
      if (batch.length === 0 && !woken) await sleepUntilWoken(pause);
    }
  };

  const sleepUntilWoken = async (ms: number): Promise<void> => {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    wakeUp = undefined;
  };

  const openSegment = (
    file: string,
    owner: SegmentOwner | undefined,
  ): SettlingSegment | 'free' | 'damaged' => {
    const reader = SegmentReader.open(file);
    if (!(reader instanceof SegmentReader)) return reader;
    const segment = new SettlingSegment({ reader, owner, budget, segmentBytes });
    segments.set(file, segment);
    return segment;
  };

  return {
    attach(name, tell) {
      journals.add(name);
      const take = (message: ToSettler): void => {
        if (message.type === 'reception-opened') receptions.opened(name, message.from);
        else if (message.type === 'reception-closed') receptions.closed(name, message);
        else if (message.type === 'wanted') wanted = true;
        else if (message.type === 'hash') {
          const segment = segments.get(message.path);
          if (segment?.is(message.nonce)) segment.know(message.start, Buffer.from(message.hash));
        } else if (message.type === 'spilling') spills.note(name, message.path, message.claimed);
        else {
          lastToldAt = Date.now();
          if (told++ === 0) toldSince = lastToldAt;
          const known = segments.get(message.path);
          const segment = known?.is(message.nonce) ? known : openSegment(message.path, { name, tell });
          if (segment instanceof SettlingSegment) segment.grow(message.end, message.sealed);
          else
            log.error({ segment: message.path }, 'a journal segment cannot be read back; kept for a person');
        }
      };
      return (message) => {
        take(message);
        wake();
      };
    },
    detach(name) {
      const left = [...segments.values()].filter((segment) => segment.isOf(name));
      receptions.lost(
        name,
        left.map((segment) => segment.point),
      );
      for (const segment of left) segment.orphan();
      spills.drop(name);
      journals.delete(name);
      wake();
    },
    async replay(files, spillFiles) {
      const damaged: string[] = [];
      for (const file of files) {
        const segment = openSegment(file, undefined);
        if (segment === 'free') fs.rmSync(file, { force: true });
        else if (segment === 'damaged') damaged.push(file);
        else budget.count(segmentBytes);
      }
      told++;
      wanted = true;
      await new Promise<void>((resolve) => {
        replayDone = resolve;
        wake();
      });
      replayDamaged ||= damaged.length > 0;
      const setFileAside = (file: string, reason: string): Promise<void> =>
        persistently('the quarantine', () => quarantineFile(parts.quarantine, file, reason));
      for (const file of damaged)
        await setFileAside(file, 'the header of a journal segment is damaged; the file may hold objects');
      for (const file of spillFiles.filter((spill) => fs.existsSync(spill)))
        if (replayDamaged)
          await setFileAside(file, 'a large object of the journal that no record names; some were damaged');
        else fs.rmSync(file, { force: true }); // never finished, so never acknowledged
      await persistently('the index', () => closeLostReceptions(database, nodeName, receptions.known()));
    },
    state: () => ({
      segments: segments.size,
      objects: [...segments.values()].reduce((sum, segment) => sum + segment.held, 0),
      oldest: [...segments.values()]
        .map((segment) => segment.oldest)
        .filter((time) => time !== undefined)
        .sort()[0],
      oldestUnindexed: oldest,
      replaying: [...segments.values()].filter((segment) => segment.found).length,
      away: awayNow(),
    }),
    run() {
      running = run();
      return running;
    },
    async stop(limitMs) {
      deadline = Date.now() + limitMs;
      patience.end();
      stopping = true;
      wake();
      await running;
      for (const segment of segments.values()) segment.close();
      await placer.stop();
    },
  };
}
