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
import { setTimeout as sleep } from 'node:timers/promises';
import { asFailure, Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { type IncomingObject, indexObjects } from '../study-index.ts';
import type { JournalBudget } from './budget.ts';
import type { FromSettler, JournalPoint, ToSettler } from './messages.ts';
import { spilledClaim } from './object-writer.ts';
import { createPlacer, type Placed } from './placer.ts';
import { type Quarantine, quarantineRecord } from './quarantine.ts';
import { closeReception, type ReceptionClosing } from './reception-log.ts';
import { bodyIsWhole, type JournalRecord, SegmentReader } from './segment-reader.ts';

/** One transaction takes at most this much, so that a release waits for a small one. */
const BATCH_OBJECTS = 64;
const BATCH_BYTES = 64 * 1024 * 1024;
const RETRY_MS = [200, 500, 1000, 2000, 5000] as const;
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
  log: Log;
}

export interface SettlerState {
  segments: number;
  /** ISO time of the oldest record that is not indexed yet */
  oldest: string | undefined;
  replaying: number;
  waiting: string | undefined;
}

export interface Settler {
  /** A journal's messages; `tell` answers it. */
  attach(name: string, tell: (message: FromSettler) => void): (message: ToSettler) => void;
  /** The journal's thread is gone: what it left is settled, nobody is told. */
  detach(name: string): void;
  /** Segments left by an earlier run. Resolves when they are settled. */
  replay(files: string[]): Promise<void>;
  state(): SettlerState;
  /** Runs until stop(). @throws what it cannot go on after: the process must not go on without a settler */
  run(): Promise<void>;
  /** Settles what is durable within `limitMs`, then stops; the rest is replayed at the next start. */
  stop(limitMs: number): Promise<void>;
}

interface Source {
  reader: SegmentReader;
  owner: ((message: FromSettler) => void) | undefined;
  ownerName: string | undefined;
  found: boolean;
  /** durable up to here (live); found segments are read to their last whole record */
  end: number;
  sealed: boolean;
  exhausted: boolean;
  indexedTo: number;
  /** records that are indexed but not yet synced in the store, by start */
  outstanding: Map<number, number>;
  placedTold: number;
}

interface Work {
  source: Source;
  record: JournalRecord;
  /** acknowledged, and its bytes no longer hold */
  damaged: boolean;
}

export function createSettler(parts: SettlerParts): Settler {
  const { database, log, budget, nodeName } = parts;
  const sources = new Map<string, Source>();
  const closings: (ReceptionClosing & { after: JournalPoint[] })[] = [];
  const placer = createPlacer(parts);
  let stopping = false;
  let deadline = Number.POSITIVE_INFINITY;
  let running: Promise<void> | undefined;
  let wakeUp: (() => void) | undefined;
  let woken = false;
  let waiting: string | undefined;
  let replayDone: (() => void) | undefined;
  let oldest: string | undefined;

  const wake = (): void => {
    woken = true;
    wakeUp?.();
  };

  const passed = (point: JournalPoint): boolean => {
    const source = sources.get(point.path);
    return !source || source.reader.nonce !== point.nonce || source.indexedTo >= point.end;
  };

  const collect = (): Work[] => {
    const batch: Work[] = [];
    let bytes = 0;
    for (const source of sources.values()) {
      while (batch.length < BATCH_OBJECTS && bytes < BATCH_BYTES && !source.exhausted) {
        if (!source.found && source.reader.at >= source.end) break;
        const record = source.reader.next();
        if (!record) {
          endOf(source);
          break;
        }
        const state = source.found ? foundState(source, record) : 'whole';
        if (state === 'torn') continue;
        source.outstanding.set(record.start, record.end);
        batch.push({ source, record, damaged: state === 'damaged' });
        bytes += record.body.length;
      }
    }
    oldest = batch[0]?.record.header.meta.receivedAt;
    return batch;
  };

  /**
   * What a crash left of a record. Bytes that do not hold are a write that was never acknowledged, when nothing
   * follows in the segment; otherwise the record was acknowledged and the disk has damaged it.
   */
  const foundState = (source: Source, record: JournalRecord): 'whole' | 'torn' | 'damaged' => {
    // A spill file that has gone was settled before the crash: it is removed only after its store copy is synced.
    if (isSettledSpill(record)) return 'whole';
    if (record.body.external) budget.count(spilledClaim(record.body.length));
    if (bodyIsWhole(record)) return 'whole';
    return source.reader.hasNext() ? 'damaged' : 'torn';
  };

  const endOf = (source: Source): void => {
    source.exhausted = true;
    if (!source.found)
      log.error(
        { segment: source.reader.path, at: source.reader.at },
        'a journal record cannot be read back; kept for a person',
      );
  };

  /** Tries until it works, the settler stops, or the fault is of a kind that waiting does not mend. */
  const persistently = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    for (let tries = 0; ; tries++) {
      try {
        const result = await work();
        waiting = undefined;
        return result;
      } catch (thrown) {
        const failure = asFailure(thrown);
        if (failure.kind !== 'unavailable' && failure.kind !== 'no-space') throw failure;
        waiting = `${what}: ${failure.message}`;
        if (tries === 0) log.warn({ err: failure }, `${what} must wait`);
        if (Date.now() >= deadline) throw failure;
        await sleep(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
        if (Date.now() >= deadline) throw failure;
      }
    }
  };

  const settle = async (batch: Work[]): Promise<void> => {
    const placed: { work: Work; placed: Placed }[] = [];
    for (const work of batch) {
      const done = await persistently('the object store', () => prepare(work));
      if (done) placed.push({ work, placed: done });
    }
    await indexAll(placed);
    for (const source of new Set(batch.map((work) => work.source))) {
      source.indexedTo = source.reader.at;
      source.owner?.({
        type: 'indexed',
        path: source.reader.path,
        nonce: source.reader.nonce,
        to: source.indexedTo,
      });
    }
    for (const { work, placed: done } of placed) placer.follow(done, () => synced(work));
    if (parts.ackAfter === 'store') await placer.flush();
  };

  /** Undefined when nothing is left to index: quarantined, or settled before a crash. */
  const prepare = async (work: Work): Promise<Placed | undefined> => {
    const { record } = work;
    if (work.source.found && isSettledSpill(record)) {
      synced(work);
      return undefined;
    }
    if (work.damaged) {
      await setAside(work, new Failure('internal', 'the bytes in the journal are no longer those that came'));
      return undefined;
    }
    try {
      return await placer.place(record);
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'unavailable' || failure.kind === 'no-space') throw failure;
      await setAside(work, failure);
      return undefined;
    }
  };

  const setAside = async (work: Work, failure: Failure): Promise<void> => {
    log.error({ err: failure, sop: work.record.header.meta.sopInstanceUid }, 'an object goes to quarantine');
    await persistently('the quarantine', () => quarantineRecord(parts.quarantine, work.record, failure));
    synced(work);
  };

  /** One transaction; when something in it is poison, each object has its own and the poisoned one is set aside. */
  const indexAll = async (items: { work: Work; placed: Placed }[]): Promise<void> => {
    if (items.length === 0) return;
    const objects = items.map((item): IncomingObject => item.placed.object);
    try {
      await persistently('the index', () => indexObjects(database, nodeName, objects));
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'unavailable' || failure.kind === 'no-space') throw failure;
      if (items.length > 1) {
        for (const item of items) await indexAll([item]);
        return;
      }
      const [only] = items.splice(0);
      await setAside(only!.work, failure);
    }
  };

  const synced = ({ source, record }: Work): void => {
    source.outstanding.delete(record.start);
    if (record.body.external && fs.existsSync(record.body.path)) {
      fs.rmSync(record.body.path, { force: true });
      budget.free(spilledClaim(record.body.length));
    }
    wake();
  };

  const advance = (source: Source): void => {
    const to = source.outstanding.size === 0 ? source.indexedTo : Math.min(...source.outstanding.keys());
    if (to > source.placedTold && to <= source.indexedTo) {
      source.placedTold = to;
      source.owner?.({ type: 'placed', path: source.reader.path, nonce: source.reader.nonce, to });
    }
    const done = source.found ? source.exhausted : source.sealed && source.reader.at >= source.end;
    if (!done || source.outstanding.size > 0 || source.indexedTo < source.reader.at) return;
    sources.delete(source.reader.path);
    source.reader.release();
    if (source.owner) source.owner({ type: 'released', path: source.reader.path });
    else {
      fs.rmSync(source.reader.path, { force: true });
      budget.free(parts.segmentBytes);
    }
  };

  const closeReceptions = async (): Promise<void> => {
    for (let n = 0; n < closings.length; ) {
      const closing = closings[n]!;
      if (!closing.after.every(passed)) {
        n++;
        continue;
      }
      await persistently('the index', () => closeReception(database, closing));
      closings.splice(n, 1);
    }
  };

  const run = async (): Promise<void> => {
    let lastSync = Date.now();
    for (;;) {
      woken = false;
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
      for (const source of [...sources.values()]) advance(source);
      if (![...sources.values()].some((source) => source.found)) replayDone?.();
      if (stopping && batch.length === 0 && placer.pending() === 0 && closings.length === 0) return;
      if (Date.now() >= deadline) return;
      if (batch.length === 0 && !woken)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, placer.pending() > 0 ? SYNC_EVERY_MS / 5 : 1000);
          wakeUp = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      wakeUp = undefined;
    }
  };

  return {
    attach(name, tell) {
      return (message) => {
        if (message.type === 'reception-closed') closings.push(message);
        else {
          const known = sources.get(message.path);
          if (known && known.reader.nonce === message.nonce) {
            known.end = message.end;
            known.sealed = message.sealed;
          } else {
            const reader = SegmentReader.open(message.path);
            if (reader)
              sources.set(message.path, {
                reader,
                owner: tell,
                ownerName: name,
                found: false,
                end: message.end,
                sealed: message.sealed,
                exhausted: false,
                indexedTo: reader.at,
                outstanding: new Map(),
                placedTold: 0,
              });
          }
        }
        wake();
      };
    },
    detach(name) {
      for (const source of sources.values())
        if (source.ownerName === name) {
          source.owner = undefined;
          source.sealed = true;
        }
      wake();
    },
    replay(files) {
      for (const file of files) {
        const reader = SegmentReader.open(file);
        if (!reader) {
          fs.rmSync(file, { force: true });
          continue;
        }
        budget.count(parts.segmentBytes);
        sources.set(file, {
          reader,
          owner: undefined,
          ownerName: undefined,
          found: true,
          end: 0,
          sealed: true,
          exhausted: false,
          indexedTo: reader.at,
          outstanding: new Map(),
          placedTold: 0,
        });
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      replayDone = resolve;
      wake();
      return promise;
    },
    state: () => ({
      segments: sources.size,
      oldest,
      replaying: [...sources.values()].filter((source) => source.found).length,
      waiting,
    }),
    run() {
      running = run();
      return running;
    },
    async stop(limitMs) {
      deadline = Date.now() + limitMs;
      stopping = true;
      wake();
      await running;
      for (const source of sources.values()) source.reader.close();
      await placer.stop();
    },
  };
}

function isSettledSpill({ body }: JournalRecord): boolean {
  return body.external && !fs.existsSync(body.path);
}
