/**
 * Takes what the journals made durable to the store and the index, behind the acknowledgement.
 * Runs in a thread of its own (settler-thread.ts); the journals tell it how far each segment is durable.
 * Live settling and the replay after a crash are one path: records are read back from the segments,
 * and settling a record twice changes nothing.
 *
 *   files:  record → placed in the store → indexed (row says store) → file and folder synced → segment released
 *   S3:     record → indexed (row says journal@node) → uploaded and verified (row says store) → segment released
 */
import fs from 'node:fs';
import { asFailure, Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { indexObjects } from '../study-index.ts';
import type { JournalBudget } from './budget.ts';
import type { FromSettler, JournalPoint, ToSettler } from './messages.ts';
import { type Away, createPatience, mayPass } from './patience.ts';
import { createPlacer, type Placed } from './placer.ts';
import { type Quarantine, quarantineFile, quarantineGap, quarantineRecord } from './quarantine.ts';
import { closeLostReceptions, closeReception, createReceptionBook } from './reception-log.ts';
import { SegmentReader } from './segment-reader.ts';
import { isSettledSpill, type SegmentOwner, SettlingSegment, type Work } from './settling-segment.ts';

/** One transaction takes at most this much, so that a release waits for a small one. */
const BATCH_OBJECTS = 64;
const BATCH_BYTES = 64 * 1024 * 1024;
/** Placed files wait for their sync at most this long, so that one sync serves many. */
const SYNC_EVERY_MS = 500;
const SYNC_OBJECTS = 512;

export interface SettlerParts {
  database: Database;
  store: ObjectStore;
  budget: JournalBudget;
  nodeName: string;
  dataFolder: string;
  quarantine: Quarantine;
  segmentBytes: number;
  ackAfter: 'journal' | 'store';
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

interface Placing {
  work: Extract<Work, { record: unknown }>;
  placed: Placed;
}

export function createSettler(parts: SettlerParts): Settler {
  const { database, log, budget, nodeName, segmentBytes } = parts;
  const segments = new Map<string, SettlingSegment>();
  const journals = new Set<string>();
  const receptions = createReceptionBook();
  const placer = createPlacer(parts);
  const patience = createPatience(log);
  const { persistently } = patience;
  let stopping = false;
  let deadline = Number.POSITIVE_INFINITY;
  let running: Promise<void> | undefined;
  let wakeUp: (() => void) | undefined;
  let woken = false;
  let replayDone: (() => void) | undefined;
  let oldest: string | undefined;
  /** An earlier run's segments were damaged: a spill file no record names may be what one of them named. */
  let replayDamaged = false;

  const wake = (): void => {
    woken = true;
    wakeUp?.();
  };
  const passed = (point: JournalPoint): boolean => segments.get(point.path)?.hasPassed(point) ?? true;

  const collect = (): Work[] => {
    const batch: Work[] = [];
    let bytes = 0;
    if (placer.full()) return batch;
    for (const segment of segments.values()) {
      while (batch.length < BATCH_OBJECTS && bytes < BATCH_BYTES) {
        const work = segment.next();
        if (!work) break;
        batch.push(work);
        if ('record' in work) {
          bytes += work.record.body.length;
          oldest ??= work.record.header.meta.receivedAt;
        }
      }
    }
    return batch;
  };

  const settle = async (batch: Work[]): Promise<void> => {
    const placings: Placing[] = [];
    for (const work of batch) {
      const placing = await prepare(work);
      if (placing) placings.push(placing);
    }
    const indexed = await indexAll(placings);
    for (const segment of new Set(batch.map((work) => work.segment))) segment.indexed();
    for (const { work, placed } of indexed) placer.follow(placed, () => synced(work));
    if (parts.ackAfter === 'store') await persistently('the object store', () => placer.flush());
  };

  /** Undefined when nothing is left to index: set aside, or settled before a crash. */
  const prepare = async (work: Work): Promise<Placing | undefined> => {
    if ('gap' in work) {
      replayDamaged ||= work.segment.found;
      log.error({ ...work.gap }, 'a stretch of the journal is damaged and goes to quarantine');
      await persistently('the quarantine', () => quarantineGap(parts.quarantine, work.gap));
      synced(work);
      return undefined;
    }
    if (work.segment.found && isSettledSpill(work.record)) {
      synced(work);
      return undefined;
    }
    if (work.damaged) {
      await setAside(work, new Failure('internal', 'the bytes in the journal are no longer those that came'));
      return undefined;
    }
    try {
      const { record, segment } = work;
      return {
        work,
        placed: await persistently('the object store', () => placer.place(record, segment.found)),
      };
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (mayPass(failure)) throw failure;
      await setAside(work, failure);
      return undefined;
    }
  };

  const setAside = async (work: Placing['work'], failure: Failure): Promise<void> => {
    log.error({ err: failure, sop: work.record.header.meta.sopInstanceUid }, 'an object goes to quarantine');
    // Another program's words could quote a patient; the log names such an error without them.
    const foreign = failure.kind === 'internal' && failure.cause !== undefined;
    const reason = foreign ? 'the object could not be indexed; the log has the cause' : failure.message;
    await persistently('the quarantine', () => quarantineRecord(parts.quarantine, work.record, reason));
    synced(work);
  };

  /**
   * One transaction; when something in it is poison, each object has its own and the poisoned one is set aside.
   * @returns those that are in the index
   */
  const indexAll = async (placings: Placing[]): Promise<Placing[]> => {
    if (placings.length === 0) return [];
    try {
      await persistently('the index', () =>
        indexObjects(
          database,
          nodeName,
          placings.map(({ placed }) => placed.object),
        ),
      );
      return placings;
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (mayPass(failure)) throw failure;
      const [only, ...others] = placings;
      if (others.length > 0) {
        const indexed: Placing[] = [];
        for (const placing of placings) indexed.push(...(await indexAll([placing])));
        return indexed;
      }
      await setAside(only!.work, failure);
      return [];
    }
  };

  const awayNow = (): Away[] => {
    const store = placer.away();
    const known = patience.away;
    return store && !known.some(({ what }) => what === store.what) ? [...known, store] : [...known];
  };

  const synced = (work: Work): void => {
    work.segment.placed(work);
    wake();
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

  const run = async (): Promise<void> => {
    let lastSync = Date.now();
    for (;;) {
      woken = false;
      oldest = undefined;
      const batch = collect();
      try {
        if (batch.length > 0) await settle(batch);
        await closeReceptions();
        const due = Date.now() - lastSync >= SYNC_EVERY_MS || placer.pending() >= SYNC_OBJECTS || stopping;
        if (placer.pending() > 0 && due) {
          await persistently('the object store', () => placer.flush());
          lastSync = Date.now();
        }
      } catch (err) {
        if (!stopping) throw err;
        log.warn({ err }, 'the settler stopped before all was settled; the next start replays the rest');
        return;
      }
      for (const [file, segment] of segments) if (segment.advance()) segments.delete(file);
      if (![...segments.values()].some((segment) => segment.found)) replayDone?.();
      // With the store away what is left waits for the next start.
      const placed = placer.pending() === 0 || placer.away() !== undefined;
      const settled = batch.length === 0 && placed && receptions.empty && journals.size === 0;
      if ((stopping && settled) || Date.now() >= deadline) return;
      if (batch.length === 0 && !woken)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, placer.pending() > 0 || stopping ? SYNC_EVERY_MS / 5 : 1000);
          wakeUp = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      wakeUp = undefined;
    }
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
        else {
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
      journals.delete(name);
      wake();
    },
    async replay(files, spills) {
      const damaged: string[] = [];
      for (const file of files) {
        const segment = openSegment(file, undefined);
        if (segment === 'free') fs.rmSync(file, { force: true });
        else if (segment === 'damaged') damaged.push(file);
        else budget.count(segmentBytes);
      }
      await new Promise<void>((resolve) => {
        replayDone = resolve;
        wake();
      });
      replayDamaged ||= damaged.length > 0;
      const setFileAside = (file: string, reason: string): Promise<void> =>
        persistently('the quarantine', () => quarantineFile(parts.quarantine, file, reason));
      for (const file of damaged)
        await setFileAside(file, 'the header of a journal segment is damaged; the file may hold objects');
      for (const file of spills.filter((spill) => fs.existsSync(spill)))
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
