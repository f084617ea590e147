/**
 * The journal side of the intake: one Intake per receiver thread, one Reception per association or STOW request.
 * Bytes go to object-writer.ts; here is kept what must be indexed before a release may be answered.
 * Used by scp/receiver-thread.ts and by web-thread.ts.
 */
import type { MessagePort } from 'node:worker_threads';
import { Failure } from '../../failure.ts';
import { createBudget, type JournalBudget } from './budget.ts';
import type { DeclaredObject } from './check-object.ts';
import { createJournal, type Journal } from './journal.ts';
import type { FromSettler, JournalPoint, ReceptionOutcome, ToSettler } from './messages.ts';
import { beginObject, type DurableObject, type ObjectWriter } from './object-writer.ts';
import type { Provenance } from './record.ts';

export interface IntakeOptions {
  /** this journal's own folder */
  folder: string;
  port: MessagePort;
  budgetCounter: SharedArrayBuffer;
  limitBytes: number;
  reserveBytes: number;
  ackAfter: 'journal' | 'store';
  segmentBytes?: number;
  /** With ackAfter store: how long one object may wait for it. */
  storeLimitMs?: number;
}

export interface Reception {
  readonly from: Provenance;
  /** @throws Failure 'no-space' */
  begin(declared: DeclaredObject): ObjectWriter;
  /**
   * After finish(): undefined when Success may be said at once; with ACK_AFTER=store a wait for the store.
   * @throws Failure 'unavailable' when the store does not have it in time: the sender sends again, and it is the same
   */
  acknowledged(object: DurableObject): Promise<void> | undefined;
  refused(): void;
  /** Resolves when everything of this reception is indexed. @throws Failure 'unavailable' after `limitMs` */
  indexed(limitMs: number): Promise<void>;
  close(outcome: ReceptionOutcome): void;
}

export interface Intake {
  open(from: Provenance): Reception;
  budget: JournalBudget;
  close(): void;
}

type Stage = 'indexed' | 'placed';

/** Senders give a C-STORE about a minute; an answer within that is better than none. */
const STORE_LIMIT_MS = 30_000;

interface Waiter {
  stage: Stage;
  points: JournalPoint[];
  done: () => void;
}

export function createIntake(options: IntakeOptions): Intake {
  const { port } = options;
  const budget = createBudget({
    counter: options.budgetCounter,
    limitBytes: options.limitBytes,
    reserveBytes: options.reserveBytes,
    folder: options.folder,
  });
  /** By segment path, while the settler has not released it. */
  const progress = new Map<string, { nonce: string; indexed: number; placed: number }>();
  const waiters = new Set<Waiter>();

  const send = (message: ToSettler): void => port.postMessage(message);
  const passed = (stage: Stage, point: JournalPoint): boolean => {
    const known = progress.get(point.path);
    // A segment that is released, or in use again under another nonce, has been settled whole.
    return !known || known.nonce !== point.nonce || known[stage] >= point.end;
  };
  const settleWaiters = (): void => {
    for (const waiter of waiters) {
      waiter.points = waiter.points.filter((point) => !passed(waiter.stage, point));
      if (waiter.points.length > 0) continue;
      waiters.delete(waiter);
      waiter.done();
    }
  };
  /** @throws Failure 'unavailable' after `limitMs` */
  const wait = (stage: Stage, points: JournalPoint[], limitMs: number, sentence: string): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      waiters.delete(waiter);
      reject(new Failure('unavailable', sentence, { retryAfterS: 5 }));
    }, limitMs);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const waiter = { stage, points, done };
    waiters.add(waiter);
    settleWaiters();
    if (waiters.has(waiter)) send({ type: 'wanted' });
    return promise;
  };

  const journal: Journal = createJournal({
    folder: options.folder,
    budget,
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    tell(news) {
      if (progress.get(news.path)?.nonce !== news.nonce)
        progress.set(news.path, { nonce: news.nonce, indexed: 0, placed: 0 });
      send({ type: 'news', ...news });
    },
  });

  port.on('message', (message: FromSettler) => {
    if (message.type === 'released') {
      progress.delete(message.path);
      journal.recycle(message.path);
    } else {
      const known = progress.get(message.path);
      if (known?.nonce === message.nonce) known[message.type] = Math.max(known[message.type], message.to);
      if (message.type === 'placed') journal.trim();
    }
    settleWaiters();
  });

  return {
    budget,
    open(from) {
      /** The furthest point of this reception in each segment it wrote to. */
      const points = new Map<string, JournalPoint>();
      let refusedObjects = 0;
      let announced = false;
      const pending = (): JournalPoint[] => {
        for (const [id, point] of points) if (passed('indexed', point)) points.delete(id);
        return [...points.values()];
      };
      return {
        from,
        begin(declared) {
          if (!announced) send({ type: 'reception-opened', from });
          announced = true;
          const writer = beginObject(journal, budget, declared, from);
          return {
            write: (chunk) => writer.write(chunk),
            abort: () => writer.abort(),
            finish() {
              const object = writer.finish();
              points.set(object.segment, { path: object.segment, nonce: object.nonce, end: object.end });
              return object;
            },
          };
        },
        acknowledged(object) {
          if (options.ackAfter === 'journal') return undefined;
          return wait(
            'placed',
            [{ path: object.segment, nonce: object.nonce, end: object.end }],
            options.storeLimitMs ?? STORE_LIMIT_MS,
            'the object store does not take objects now (ACK_AFTER=store)',
          );
        },
        refused() {
          refusedObjects++;
        },
        indexed: (limitMs) =>
          wait('indexed', pending(), limitMs, 'the objects are stored, and the index will have them later'),
        close(outcome) {
          // One that never began an object has nothing to close.
          if (!announced) return;
          send({ type: 'reception-closed', from, outcome, refused: refusedObjects, after: pending() });
        },
      };
    },
    close() {
      journal.close();
    },
  };
}
