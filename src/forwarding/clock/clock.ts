/**
 * What wakes forwarding when a delivery becomes due. A clock decides nothing and may forget, repeat or be late:
 * the ledger is the truth, and onDue asks it. postgres-timer.ts needs Postgres alone, bull-clock.ts shares the waking
 * among processes through Redis; both pass test/contracts/clock.contract.ts.
 */
import type { Log } from '../../log.ts';
import type { DueDelivery } from '../../routing/ledger.ts';

/** Works the delivery, or finds that it is not due, taken or done. What it throws is logged. */
export type OnDue = (delivery: number) => Promise<void>;

export interface Clock {
  /** From now on onDue is called for what is due, at most `concurrency` at a time. */
  start(onDue: OnDue): Promise<void>;
  /** Call for this delivery after `waitMs`; armed twice it is called once, at the sooner moment. */
  arm(delivery: number, waitMs: number): void;
  /** No call begins any more. Calls under way are the caller's to end. */
  stop(): Promise<void>;
}

export interface ClockParts {
  /** The next due deliveries, a bounded window per destination: ledger.window. */
  window(): Promise<DueDelivery[]>;
  /** Calls back when something became due (a Postgres notification, which may be lost). */
  listen(onWord: () => void): Promise<{ stop(): Promise<void> }>;
  concurrency: number;
  /** How often the window is asked for without a word. */
  pollMs: number;
  log: Log;
}
