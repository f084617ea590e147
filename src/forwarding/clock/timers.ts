/**
 * Timers in memory, one per delivery, and the calls they lead to, a few at a time.
 * All of postgres-timer.ts' waking, and bull-clock.ts' while Redis is away.
 */
import type { Log } from '../../log.ts';
import type { OnDue } from './clock.ts';

export interface Timers {
  arm(delivery: number, waitMs: number): void;
  /** Forgets everything and begins no call any more. */
  stop(): void;
}

/** What is more than this is armed again by the reconciler in its turn. */
const MAX_TIMERS = 20_000;
/** setTimeout cannot wait longer; the reconciler arms again long before. */
const LONGEST_MS = 60_000;
/** Timers may fire a little before their time, and a call that finds nothing due is lost until the next look. */
const EARLY_MS = 5;

/** Whole milliseconds that are surely over when a timer of this length fires. */
export function notEarly(waitMs: number): number {
  return waitMs <= 0 ? 0 : Math.ceil(waitMs) + EARLY_MS;
}

export function createTimers(concurrency: number, onDue: OnDue, log: Log): Timers {
  const armed = new Map<number, { at: number; timer: NodeJS.Timeout }>();
  const due = new Set<number>();
  const running = new Set<number>();
  let stopped = false;

  function disarm(delivery: number): void {
    clearTimeout(armed.get(delivery)?.timer);
    armed.delete(delivery);
  }

  function runNext(): void {
    for (const delivery of due) {
      if (stopped || running.size >= concurrency) return;
      // One that is under way stays due, and is called again afterwards.
      if (running.has(delivery)) continue;
      due.delete(delivery);
      running.add(delivery);
      onDue(delivery)
        .catch((err: unknown) => log.error({ err, delivery }, 'a due delivery could not be worked'))
        .finally(() => {
          running.delete(delivery);
          runNext();
        });
    }
  }

  return {
    arm(delivery, waitMs) {
      if (stopped || due.has(delivery)) return;
      const at = performance.now() + waitMs;
      const known = armed.get(delivery);
      if (known && known.at <= at) return;
      if (!known && armed.size + due.size >= MAX_TIMERS) return;
      disarm(delivery);
      if (waitMs > LONGEST_MS) return;
      const timer = setTimeout(() => {
        armed.delete(delivery);
        due.add(delivery);
        runNext();
      }, notEarly(waitMs));
      armed.set(delivery, { at, timer });
    },
    stop() {
      stopped = true;
      for (const delivery of [...armed.keys()]) disarm(delivery);
      due.clear();
    },
  };
}
