/**
 * Waiting for Postgres, the disk or S3 to come back: the journal keeps what was acknowledged meanwhile.
 * Used by the settler around everything it asks of them; what waiting cannot mend is thrown on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asFailure, type Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { DatabaseFailure } from '../database/database-failure.ts';

export const RETRY_MS = [200, 500, 1000, 2000, 5000] as const;

/** What is waited for, since when (ISO), and why, in a sentence. */
export interface Away {
  what: string;
  since: string;
  why: string;
}

export interface Patience {
  /**
   * Tries until it works, the end comes, or the fault is of a kind that waiting does not mend.
   * @param what as the log and /health/ready name it: "the index"
   */
  persistently<T>(what: string, work: () => Promise<T>): Promise<T>;
  /** What is waited for now. */
  readonly away: readonly Away[];
  /**
   * The process stops: what is waited for now is tried once more, and nothing more often than twice from then on. The
   * journal keeps what is left for the next start.
   */
  end(): void;
}

/** @param changed called when something is waited for, and when it is back */
export function createPatience(log: Log, changed: () => void): Patience {
  const away = new Map<string, Away>();
  const ending = new AbortController();
  const pause = async (ms: number): Promise<void> => {
    const { signal } = ending;
    if (signal.aborted) await sleep(RETRY_MS[0]);
    else
      await sleep(ms, undefined, { signal }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
  };
  return {
    async persistently(what, work) {
      for (let tries = 0; ; tries++) {
        try {
          const result = await work();
          if (away.delete(what)) {
            log.info(`${what} is back`);
            changed();
          }
          return result;
        } catch (thrown) {
          const failure = asFailure(thrown);
          if (!mayPass(failure)) throw failure;
          const since = away.get(what)?.since ?? new Date().toISOString();
          away.set(what, { what, since, why: failure.message });
          changed();
          if (tries === 0) log.warn({ err: failure }, `${what} must wait`);
          if (tries > 0 && ending.signal.aborted) throw failure;
          await pause(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]!);
        }
      }
    },
    get away() {
      return [...away.values()];
    },
    end: () => ending.abort(),
  };
}

/**
 * Whether waiting can mend it. A database that lets nobody in, lacks a table or is damaged says so of every object
 * (SQLSTATE classes 28, 3D, 42, 55, 57, 58, F0, XX): such objects wait, they are not poison.
 */
export function mayPass(failure: Failure): boolean {
  if (failure.kind === 'unavailable' || failure.kind === 'no-space') return true;
  return failure instanceof DatabaseFailure && /^(28|3D|42|55|57|58|F0|XX)/.test(failure.code ?? '');
}
