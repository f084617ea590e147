/**
 * Waiting for Postgres, the disk or S3 to come back: the journal keeps what was acknowledged meanwhile.
 * Used by the settler around everything it asks of them; what waiting cannot mend is thrown on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asFailure, type Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { DatabaseFailure } from '../database/database-failure.ts';

const RETRY_MS = [200, 500, 1000, 2000, 5000] as const;

export interface Patience {
  /**
   * Tries until it works, the deadline comes, or the fault is of a kind that waiting does not mend.
   * @param what as the log and /health/ready name it: "the index"
   */
  persistently<T>(what: string, work: () => Promise<T>): Promise<T>;
  /** What is waited for now, and why. */
  readonly waiting: string | undefined;
  /** From then on the next fault is thrown. Epoch milliseconds; before this is called there is none. */
  endAt(deadline: number): void;
}

export function createPatience(log: Log): Patience {
  let waiting: string | undefined;
  let deadline = Number.POSITIVE_INFINITY;
  return {
    async persistently(what, work) {
      for (let tries = 0; ; tries++) {
        try {
          const result = await work();
          waiting = undefined;
          return result;
        } catch (thrown) {
          const failure = asFailure(thrown);
          if (!mayPass(failure)) throw failure;
          waiting = `${what}: ${failure.message}`;
          if (tries === 0) log.warn({ err: failure }, `${what} must wait`);
          const pause = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]!;
          if (Date.now() + pause >= deadline) throw failure;
          await sleep(pause);
        }
      }
    },
    get waiting() {
      return waiting;
    },
    endAt(moment) {
      deadline = moment;
    },
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
