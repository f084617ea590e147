/**
 * Takes an attempt's outcomes to the ledger in small batches, while the next instances are on their way.
 * At most 8 instances are ever sent without their outcome written, so a crash repeats 8 at most.
 * Made by send-delivery.ts, one per attempt; every write carries the lease's fencing token.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asFailure, type Failure } from '../failure.ts';
import type { Lease } from '../routing/claim.ts';
import type { Ledger, Outcome } from '../routing/ledger.ts';

export interface OutcomeLog {
  /** Before an instance is sent: waits until it may be. @throws what writing threw, 'conflict' when the lease is lost */
  room(count?: number): Promise<void>;
  add(outcome: Outcome): void;
  /** Everything added is written. */
  flush(): Promise<void>;
  /** Instances left to a later attempt in this one. */
  readonly left: number;
  /** The last reason of those. */
  readonly lastReason: string | undefined;
}

export const MAX_UNWRITTEN = 8;
const BATCH = 4;
const TRIES = 4;

export function createOutcomeLog(ledger: Ledger, lease: Lease): OutcomeLog {
  let waiting: Outcome[] = [];
  let writing: Promise<void> | undefined;
  let inFlight = 0;
  let failure: Failure | undefined;
  let left = 0;
  let lastReason: string | undefined;

  function write(): void {
    if (writing || failure || waiting.length === 0) return;
    const batch = waiting;
    waiting = [];
    inFlight = batch.length;
    writing = persist(ledger, lease, batch)
      .catch((thrown: unknown) => {
        failure = asFailure(thrown);
      })
      .finally(() => {
        writing = undefined;
        inFlight = 0;
        if (waiting.length >= BATCH) write();
      });
  }

  async function settle(done: () => boolean): Promise<void> {
    while (!done() && !failure) {
      write();
      await writing;
    }
    if (failure) throw failure;
  }

  return {
    room: (count = 1) => settle(() => waiting.length + inFlight + count <= MAX_UNWRITTEN),
    add(outcome) {
      if (outcome.state === 'owed') {
        left++;
        lastReason = outcome.comment ?? lastReason;
      }
      waiting.push(outcome);
      // Behind the next instance, which may go at once: it must not wait for the statement to be made.
      if (waiting.length >= BATCH) setImmediate(write);
    },
    flush: () => settle(() => waiting.length + inFlight === 0),
    get left() {
      return left;
    },
    get lastReason() {
      return lastReason;
    },
  };
}

/** A database that is away for a moment must not cost what the peer already has. */
async function persist(ledger: Ledger, lease: Lease, batch: readonly Outcome[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await ledger.writeOutcomes(lease, batch);
    } catch (thrown) {
      if (asFailure(thrown).kind !== 'unavailable' || tries === TRIES) throw thrown;
      await sleep(500 * tries);
    }
  }
}
