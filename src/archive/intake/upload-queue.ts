/**
 * Uploads in the order they were asked for, so many at once. While the store is away one at a time knocks, and the
 * others wait in their places; an object that alone is refused does not hold up those behind it.
 * Made by s3-placer.ts.
 */
import { asFailure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { DatabaseFailure } from '../database/database-failure.ts';
import { type Away, mayPass, RETRY_MS } from './patience.ts';

export interface UploadQueue {
  /** `upload` is called until it works; it is idempotent. */
  add(upload: () => Promise<void>): void;
  /** Waiting and under way. */
  readonly size: number;
  /** The store does not take uploads now. */
  readonly away: Away | undefined;
  /** Begins no more; those under way end by themselves. */
  stop(): void;
}

interface Entry {
  upload: () => Promise<void>;
  underWay: boolean;
  faults: number;
  /** Epoch milliseconds. */
  notBefore: number;
}

/** One object's own rest after each fault; with the store away the next in line knocks meanwhile. */
const OWN_REST_MS = [1000, 2000, 5000, 10_000] as const;
/** A fault that waiting does not mend (bytes the disk no longer gives back): for a person, and tried now and then. */
const LONG_REST_MS = 60_000;

export function createUploadQueue(parallel: number, log: Log): UploadQueue {
  const entries = new Set<Entry>();
  let underWay = 0;
  let away: Away | undefined;
  let faultsInARow = 0;
  let restUntil = 0;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const after = (rests: readonly number[], faults: number): number =>
    Date.now() + rests[Math.min(faults, rests.length) - 1]!;

  const failed = (entry: Entry, thrown: unknown): void => {
    const failure = asFailure(thrown);
    entry.faults++;
    if (!mayPass(failure)) {
      entry.notBefore = Date.now() + LONG_REST_MS;
      log.error({ err: failure }, 'an object cannot be uploaded; it stays in the journal');
      return;
    }
    if (faultsInARow === 0) log.warn({ err: failure }, 'the object store does not take an object now');
    faultsInARow++;
    entry.notBefore = after(OWN_REST_MS, entry.faults);
    restUntil = after(RETRY_MS, faultsInARow);
    // The row of an uploaded object is part of its upload.
    const what = failure instanceof DatabaseFailure ? 'the index' : 'the object store';
    away = { what, since: away?.since ?? new Date().toISOString(), why: failure.message };
  };

  const begin = async (entry: Entry): Promise<void> => {
    entry.underWay = true;
    underWay++;
    try {
      await entry.upload();
      entries.delete(entry);
      if (faultsInARow > 0) log.info('the object store takes objects again');
      faultsInARow = 0;
      restUntil = 0;
      away = undefined;
    } catch (thrown) {
      failed(entry, thrown);
    }
    entry.underWay = false;
    underWay--;
    pump();
  };

  const pump = (): void => {
    clearTimeout(timer);
    if (stopped) return;
    let next = Number.POSITIVE_INFINITY;
    for (const entry of entries) {
      if (underWay >= (faultsInARow > 0 ? 1 : parallel)) return;
      if (entry.underWay) continue;
      const due = Math.max(entry.notBefore, restUntil);
      if (due <= Date.now()) void begin(entry);
      else next = Math.min(next, due);
      // Those behind it are not due earlier than the rest of all.
      if (next === restUntil) break;
    }
    if (next < Number.POSITIVE_INFINITY) timer = setTimeout(pump, Math.max(1, next - Date.now())).unref();
  };

  return {
    add(upload) {
      entries.add({ upload, underWay: false, faults: 0, notBefore: 0 });
      pump();
    },
    get size() {
      return entries.size;
    },
    get away() {
      return away;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
