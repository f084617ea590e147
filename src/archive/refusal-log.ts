/**
 * Takes down what the doors refuse: counts it at once, and lists it within a second in one write, so that a sender
 * gone mad costs neither a query per object nor a row. While Postgres is away it keeps what fits and writes it later.
 * Made by archive.ts; scp and STOW record, main.ts reads the counts for /metrics. Rows go to refusal.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type RefusalCode, type Refused, refusalCodes } from '../dimse/refusal-code.ts';
import { asFailure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { Database } from './database/database.ts';
import { type CountedRefusal, fingerprint, fitted, type Refusal, writeRefusals } from './refusal.ts';

export interface RefusalCount {
  what: Refused;
  code: RefusalCode;
  count: number;
}

export interface RefusalLog {
  /** Never waits and never fails. */
  record(refusal: Refusal): void;
  /** Since this process started, every pair of the closed set. */
  counts(): RefusalCount[];
  /** Refusals that were counted and will not be listed: too many different ones while none could be written. */
  unlisted(): number;
  /** Writes what is left, if Postgres takes it. */
  stop(): Promise<void>;
}

export interface RefusalLogParts {
  database: Pick<Database, 'transaction'>;
  log: Log;
  /** Different refusals that may wait; about a kilobyte each. */
  most?: number;
}

/** Long enough to make one row of a burst, short enough for whoever looks at the list while the modality sends. */
const WRITE_MS = 500;
const RETRY_MS = 5000;
const MOST = 2000;

export function createRefusalLog({ database, log, most = MOST }: RefusalLogParts): RefusalLog {
  const counts = new Map<string, RefusalCount>();
  for (const [what, codes] of Object.entries(refusalCodes) as [Refused, readonly RefusalCode[]][])
    for (const code of codes) counts.set(`${what} ${code}`, { what, code, count: 0 });
  let waiting = new Map<string, CountedRefusal>();
  let unlisted = 0;
  let writing: Promise<void> | undefined;
  const stopping = new AbortController();

  const add = (counted: CountedRefusal): void => {
    const key = fingerprint(counted.refusal).toString('base64');
    const known = waiting.get(key);
    if (known) {
      known.times += counted.times;
      if (counted.firstAt < known.firstAt) known.firstAt = counted.firstAt;
      if (counted.lastAt >= known.lastAt) {
        known.lastAt = counted.lastAt;
        known.refusal = counted.refusal;
      }
    } else if (waiting.size < most) waiting.set(key, counted);
    else unlisted += counted.times;
  };

  /** @returns whether Postgres took them; without it they wait on */
  const write = async (): Promise<boolean> => {
    const batch = [...waiting.values()];
    waiting = new Map();
    if (batch.length === 0) return true;
    try {
      await database.transaction((tx) => writeRefusals(tx, batch));
      return true;
    } catch (thrown) {
      const away = asFailure(thrown).kind === 'unavailable';
      log.warn(
        { err: thrown, refusals: batch.length },
        away ? 'refusals wait to be listed' : 'refusals could not be listed',
      );
      // What Postgres does not take for another reason it would never take.
      for (const counted of batch)
        if (away) add(counted);
        else unlisted += counted.times;
      return !away;
    }
  };
  /** Cut short when it stops, which is the one way in which it fails. */
  const pause = (ms: number): Promise<void> =>
    sleep(ms, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
  const writeSoon = async (): Promise<void> => {
    await pause(WRITE_MS);
    while (waiting.size > 0 && !stopping.signal.aborted) {
      if (!(await write())) await pause(RETRY_MS);
      else if (waiting.size > 0) await pause(WRITE_MS);
    }
  };

  return {
    record(refusal) {
      const count = counts.get(`${refusal.what} ${refusal.code}`);
      if (count) count.count++;
      const now = new Date().toISOString();
      add({ refusal: fitted(refusal), times: 1, firstAt: now, lastAt: now });
      if (stopping.signal.aborted) return;
      writing ??= writeSoon().finally(() => {
        writing = undefined;
      });
    },
    counts: () => [...counts.values()],
    unlisted: () => unlisted,
    async stop() {
      stopping.abort();
      await writing;
      if (!(await write())) log.warn({ refusals: waiting.size }, 'refusals are lost: Postgres is away');
    },
  };
}
