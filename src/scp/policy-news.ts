/**
 * Tells every receiver thread who may call, and knows when all have heard it: a change at /api/aes is answered then.
 * Kept by scp.ts; the threads answer with 'policy-taken'.
 */
import type { Worker } from 'node:worker_threads';
import type { AdmissionPolicy } from './admission.ts';
import type { ToReceiver } from './receiver-thread.ts';

export interface PolicyNews {
  /** Resolves when every thread decides by it, or has ended. */
  tell(policy: AdmissionPolicy): Promise<void>;
  taken(thread: Worker, number: number): void;
  gone(thread: Worker): void;
}

export function createPolicyNews(threads: ReadonlySet<Worker>): PolicyNews {
  let number = 0;
  const waiting = new Map<Worker, { number: number; heard: () => void }[]>();
  return {
    async tell(policy) {
      number++;
      const told = { type: 'policy', number, policy } satisfies ToReceiver;
      await Promise.all(
        [...threads].map(
          (thread) =>
            new Promise<void>((heard) => {
              waiting.set(thread, [...(waiting.get(thread) ?? []), { number, heard }]);
              thread.postMessage(told);
            }),
        ),
      );
    },
    taken(thread, upTo) {
      const left = (waiting.get(thread) ?? []).filter((one) => {
        if (one.number > upTo) return true;
        one.heard();
        return false;
      });
      waiting.set(thread, left);
    },
    // Its successor starts with the policy as it is then.
    gone(thread) {
      for (const { heard } of waiting.get(thread) ?? []) heard();
      waiting.delete(thread);
    },
  };
}
