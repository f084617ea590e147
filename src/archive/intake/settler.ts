/**
 * Takes what the journals made durable to the store and the index, behind the acknowledgement.
 * Runs in a thread of its own (settler-thread.ts); the journals tell it how far each segment is durable.
 * Live settling and the replay after a crash are one path: records are read back from the segments,
 * and settling a record twice changes nothing.
 *
 *   record → indexed (row: journal@node) → in the store, synced or verified → row: store → segment released
 *
 * The index comes first, because a release waits for it; pace.ts decides when it is its turn, and when the store's.
 */
import { asFailure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import type { ConflictPolicy } from '../decide-indexing.ts';
import { forgetReach } from '../journal-reach.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import type { JournalBudget } from './budget.ts';
import { type BatchParts, createBatchIndexing, type Indexed } from './index-batch.ts';
import type { FromSettler, ToSettler } from './messages.ts';
import { BATCH_OBJECTS, indexDueIn, type PaceState, placingDueIn } from './pace.ts';
import { type Away, createPatience, mayPass } from './patience.ts';
import { createPlacer } from './placer.ts';
import type { Quarantine } from './quarantine.ts';
import { closeReception, createReceptionBook } from './reception-log.ts';
import { clearLeftFiles, closeLeftReceptions, isIndexedSpill, openLeftSegments } from './replay.ts';
import { createSegmentShelf } from './segment-shelf.ts';
import { SettlingSegment, type Work } from './settling-segment.ts';
import { createSpillClaims } from './spill-claims.ts';
import { createVerdicts } from './verdict.ts';

const IDLE_MS = 1000;
const FORGET_EVERY_MS = 3_600_000;

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
  packed?: BatchParts['packed'] | undefined;
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

export function createSettler(parts: SettlerParts): Settler {
  const { database, log, budget, nodeName, segmentBytes } = parts;
  const shelf = createSegmentShelf(parts);
  const journals = new Map<string, (message: FromSettler) => void>();
  const receptions = createReceptionBook();
  const placer = createPlacer(parts);
  const spills = createSpillClaims(budget, log);
  const patience = createPatience(log, () => tellAway());
  const verdicts = createVerdicts(database);
  let stopping = false;
  let deadline = Number.POSITIVE_INFINITY;
  let running: Promise<void> | undefined;
  let wakeUp: (() => void) | undefined;
  let woken = false;
  let replayDone: (() => void) | undefined;
  let oldestUnindexed: string | undefined;
  const news = { told: 0, toldSince: 0, lastToldAt: 0, wanted: false };
  /** When the placer had its last step. */
  let steppedAt = 0;
  /** The journals know that something is away: their senders need not wait for it. */
  let toldAway = false;
  /** Undefined before the replay: what it will ask for is kept. */
  let forgotAt: number | undefined;
  /** Tries that a store which is away still gets once we stop. */
  let lastSteps = 2;

  const wake = (): void => {
    woken = true;
    wakeUp?.();
  };
  const done = (work: Work): void => {
    work.segment.placed(work);
    wake();
  };
  const indexing = createBatchIndexing({ ...parts, patience, done });

  const pace = (): PaceState => ({
    stopping,
    ackAfter: parts.ackAfter,
    ...news,
    replaying: shelf.found > 0,
    held: budget.held(),
    limit: budget.limit,
    placer: { pending: placer.pending(), full: placer.full(), away: placer.away() !== undefined, steppedAt },
  });

  const settle = async (batch: Work[]): Promise<void> => {
    const indexed = await indexing.index(batch);
    judge(indexed);
    for (const segment of new Set(batch.map((work) => work.segment))) segment.indexed();
    for (const { work, outcome, object } of indexed)
      if (outcome === 'refused' || outcome === 'gone') done(work);
      else
        placer.add({
          record: work.record,
          // One that came again may be of a time before pieces were kept.
          described: outcome !== 'same' && outcome !== 'reinstated' && object.piece !== undefined,
          done: () => done(work),
          setAside: (failure) => indexing.setAside(work, failure),
        });
  };

  /** Senders that wait for the verdict are told before they hear that all is indexed. */
  const judge = (indexed: readonly Indexed[]): void => {
    for (const { work, object, outcome, awaits } of indexed) {
      if (outcome === 'refused') work.segment.judge(work, 'refused');
      if (!awaits) continue;
      verdicts.await(work, object);
      work.segment.judge(work, 'awaited');
    }
  };

  const awayNow = (): Away[] => {
    const store = placer.away();
    const known = [...patience.away, ...(shelf.away ? [shelf.away] : [])];
    return store && !known.some(({ what }) => what === store.what) ? [...known, store] : known;
  };

  const tellAway = (): void => {
    const away = awayNow().length > 0;
    if (away === toldAway) return;
    toldAway = away;
    for (const tell of journals.values()) tell({ type: 'stores', away });
  };

  const closeReceptions = async (): Promise<void> => {
    for (const closing of receptions.due(shelf.passed)) {
      try {
        await patience.persistently('the index', () => closeReception(database, closing));
      } catch (thrown) {
        const failure = asFailure(thrown);
        if (mayPass(failure)) throw failure;
        log.error({ err: failure, reception: closing.from.reception }, 'a reception could not be closed');
      }
      receptions.done(closing);
    }
  };

  const forget = async (): Promise<void> => {
    forgotAt = Date.now();
    await patience.persistently('the index', () => forgetReach(database, nodeName, shelf.nonces));
  };

  /** @returns what was indexed */
  const round = async (): Promise<Work[]> => {
    let batch: Work[] = [];
    if (indexDueIn(pace(), Date.now()) === 0) {
      batch = shelf.take(BATCH_OBJECTS);
      const first = batch.find((work) => 'record' in work);
      oldestUnindexed = first?.record.header.meta.receivedAt;
      // What comes while the batch is settled is told of anew; a full batch may have left some behind.
      news.wanted &&= batch.length === BATCH_OBJECTS;
      news.told = batch.length === BATCH_OBJECTS ? BATCH_OBJECTS : 0;
      if (batch.length > 0) await settle(batch);
    }
    await verdicts.look();
    await closeReceptions();
    if (forgotAt !== undefined && Date.now() - forgotAt > FORGET_EVERY_MS) await forget();
    if (batch.length < BATCH_OBJECTS && placingDueIn(pace(), Date.now()) === 0) {
      await placer.step();
      steppedAt = Date.now();
      if (stopping) lastSteps--;
    }
    return batch;
  };

  const run = async (): Promise<void> => {
    for (;;) {
      woken = false;
      oldestUnindexed = undefined;
      let batch: Work[];
      try {
        batch = await round();
      } catch (err) {
        if (!stopping) throw err;
        log.warn({ err }, 'the settler stopped before all was settled; the next start replays the rest');
        return;
      }
      shelf.letGo(stopping);
      tellAway();
      if (shelf.found === 0) replayDone?.();
      // With the store away what is left, after a few more tries, waits for the next start.
      const placed = placer.pending() === 0 || (placer.away() !== undefined && lastSteps <= 0);
      const settled = batch.length === 0 && placed && receptions.empty && journals.size === 0;
      if ((stopping && settled) || Date.now() >= deadline) return;
      const soon = stopping || verdicts.pending > 0;
      const state = pace();
      const due = Math.min(indexDueIn(state, Date.now()), placingDueIn(state, Date.now()));
      if (batch.length === 0 && !woken) await sleepUntilWoken(Math.min(soon ? IDLE_MS / 10 : IDLE_MS, due));
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

  return {
    attach(name, tell) {
      journals.set(name, tell);
      if (toldAway) tell({ type: 'stores', away: true });
      const take = (message: ToSettler): void => {
        if (message.type === 'reception-opened') receptions.opened(name, message.from);
        else if (message.type === 'reception-closed') receptions.closed(name, message);
        else if (message.type === 'wanted') news.wanted = true;
        else if (message.type === 'spilling') spills.note(name, message.path, message.claimed);
        else {
          news.lastToldAt = Date.now();
          if (news.told++ === 0) news.toldSince = news.lastToldAt;
          const known = shelf.get(message.path);
          const segment = known?.is(message.nonce) ? known : shelf.open(message.path, { name, tell });
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
      const left = shelf.of(name);
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
      const damaged = openLeftSegments(files, shelf, budget, segmentBytes);
      news.told++;
      news.wanted = true;
      await new Promise<void>((resolve) => {
        replayDone = resolve;
        wake();
      });
      const mayBeNamed = indexing.sawDamage || damaged.length > 0;
      const isIndexed = (spill: string): Promise<boolean> => isIndexedSpill(parts, spill);
      await clearLeftFiles(parts.quarantine, patience, {
        damaged,
        spills: spillFiles,
        mayBeNamed,
        isIndexed,
      });
      await closeLeftReceptions(database, patience, nodeName, receptions.known);
      await forget();
    },
    state: () => ({
      segments: shelf.size,
      objects: shelf.held,
      oldest: shelf.oldest,
      oldestUnindexed,
      replaying: shelf.found,
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
      shelf.close();
      await placer.stop();
    },
  };
}
