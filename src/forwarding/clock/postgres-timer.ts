/**
 * The clock for when there is no Redis: timers over the ledger, woken by Postgres' notifications.
 * Each process has its own; two of them meet only in the ledger's claims.
 */
import type { Clock, ClockParts } from './clock.ts';
import { createReconciler } from './reconcile.ts';
import { createTimers, type Timers } from './timers.ts';

export function createPostgresTimer(parts: ClockParts): Clock {
  let timers: Timers | undefined;
  const arm = (delivery: number, waitMs: number): void => timers?.arm(delivery, waitMs);
  const reconciler = createReconciler(parts, arm);
  return {
    async start(onDue) {
      timers = createTimers(parts.concurrency, onDue, parts.log);
      await reconciler.start();
    },
    arm,
    async stop() {
      timers?.stop();
      await reconciler.stop();
    },
  };
}
