/**
 * Asks the ledger what is due, at every word from Postgres and every few seconds without one, and arms it.
 * This is what makes clocks forgetful without harm. Both clocks run one.
 */
import type { ClockParts } from './clock.ts';

export interface Reconciler {
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createReconciler(
  { window, listen, pollMs, log }: ClockParts,
  arm: (delivery: number, waitMs: number) => void,
): Reconciler {
  let stopped = false;
  let asked = false;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let listening: { stop(): Promise<void> } | undefined;

  /** One look at a time; words that come meanwhile are one more look. */
  function look(): void {
    asked = true;
    if (stopped) return;
    looking ??= lookWhileAsked().finally(() => {
      looking = undefined;
      if (asked) look();
    });
  }

  async function lookWhileAsked(): Promise<void> {
    while (asked && !stopped) {
      asked = false;
      try {
        for (const { delivery, waitMs } of await window()) if (!stopped) arm(delivery, waitMs);
      } catch (err) {
        log.warn({ err }, 'the ledger could not be asked what is due, trying again');
      }
    }
  }

  return {
    async start() {
      timer = setInterval(look, pollMs);
      try {
        listening = await listen(look);
      } catch (err) {
        // Without words the poll alone finds what is due.
        log.warn({ err }, 'notifications of due deliveries cannot be heard; they are looked for instead');
      }
      look();
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      await looking;
      await listening?.stop();
    },
  };
}
