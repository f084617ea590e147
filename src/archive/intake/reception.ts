/**
 * The journal side of the intake: one Intake per receiver thread, one Reception per association or STOW request.
 * Bytes go to object-writer.ts; here is kept what must be indexed before a release may be answered.
 * Used by scp/receiver-thread.ts and by web-thread.ts.
 */
import type { MessagePort } from 'node:worker_threads';
import { Failure } from '../../failure.ts';
import { REFUSED } from '../decide-indexing.ts';
import { createBudget, type JournalBudget } from './budget.ts';
import type { DeclaredObject } from './check-object.ts';
import { createJournal, type Journal } from './journal.ts';
import type { FromSettler, JournalPoint, ReceptionOutcome, ToSettler, Verdict } from './messages.ts';
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
  /** Free segments of an earlier run in the folder. */
  ready?: readonly string[];
  /** Other content under a known UID is refused: each object waits until the index has decided. */
  refuses?: boolean;
  /** With ackAfter store, or when other content is refused: how long one object may wait for it. */
  storeLimitMs?: number;
}

export interface Reception {
  readonly from: Provenance;
  /** @throws Failure 'no-space' */
  begin(declared: DeclaredObject): ObjectWriter;
  /**
   * After finish(): undefined when Success may be said at once. With ACK_AFTER=store a wait for the store, with
   * CONFLICT_POLICY=refuse one for the index; otherwise, when the journals hold much and the stores are well, a short
   * wait for room, so that a sender faster than the store goes at its pace and never meets JOURNAL_LIMIT.
   * @throws Failure 'unavailable' when they do not have it in time: the sender sends again, and it is the same;
   *         'conflict' when other content is stored under its SOP Instance UID, and nothing of it is kept
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

/** The journals hold more than this part of their limit: senders wait for room. */
const CROWDED_PART = 1 / 2;
/** For each object at most; a store slower than that still ends in 0xA700. */
const ROOM_LIMIT_MS = 2000;

interface Waiter {
  over: () => boolean;
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
  const progress = new Map<string, { nonce: string; end: number; indexed: number; placed: number }>();
  const waiters = new Set<Waiter>();
  /** Of objects whose senders wait to hear whether they are kept, by the point in the journal. */
  const judged = new Map<string, (verdict: Verdict) => void>();
  /** The index or the store is away: waiting for it brings no room. */
  let storesAway = false;

  const send = (message: ToSettler): void => port.postMessage(message);
  const passed = (stage: Stage, point: JournalPoint): boolean => {
    const known = progress.get(point.path);
    // A segment that is released, or in use again under another nonce, has been settled whole.
    return !known || known.nonce !== point.nonce || known[stage] >= point.end;
  };
  const settleWaiters = (): void => {
    for (const waiter of waiters) {
      if (!waiter.over()) continue;
      waiters.delete(waiter);
      waiter.done();
    }
  };
  /** Resolves when it is over; after `limitMs` with 'late'. */
  const until = (over: () => boolean, limitMs: number): Promise<'over' | 'late'> => {
    const { promise, resolve } = Promise.withResolvers<'over' | 'late'>();
    if (over()) return Promise.resolve('over');
    const timer = setTimeout(() => {
      waiters.delete(waiter);
      resolve('late');
    }, limitMs);
    const done = (): void => {
      clearTimeout(timer);
      resolve('over');
    };
    const waiter = { over, done };
    waiters.add(waiter);
    send({ type: 'wanted' });
    return promise;
  };
  /** @throws Failure 'unavailable' after `limitMs` */
  const wait = async (
    stage: Stage,
    points: JournalPoint[],
    limitMs: number,
    sentence: string,
  ): Promise<void> => {
    let left = points;
    const over = (): boolean => {
      left = left.filter((point) => !passed(stage, point));
      return left.length === 0;
    };
    if ((await until(over, limitMs)) === 'late')
      throw new Failure('unavailable', sentence, { retryAfterS: 5 });
  };

  /** Whether waiting brings room: once all of this journal is placed, nothing more of it will be released. */
  const crowded = (): boolean =>
    budget.held() > budget.limit * CROWDED_PART &&
    !storesAway &&
    [...progress.values()].some(({ end, placed }) => placed < end);
  const room = (): Promise<void> | undefined =>
    crowded() ? until(() => !crowded(), ROOM_LIMIT_MS).then(() => undefined) : undefined;

  const journal: Journal = createJournal({
    folder: options.folder,
    budget,
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    ...(options.ready === undefined ? {} : { ready: options.ready }),
    tell(news) {
      if (progress.get(news.path)?.nonce !== news.nonce)
        progress.set(news.path, { nonce: news.nonce, end: 0, indexed: 0, placed: 0 });
      progress.get(news.path)!.end = news.end;
      send({ type: 'news', ...news });
    },
    tellSpilling: (spill) => send({ type: 'spilling', ...spill }),
  });

  port.on('message', (message: FromSettler) => {
    if (message.type === 'released') {
      progress.delete(message.path);
      journal.recycle(message.path);
    } else if (message.type === 'verdict') {
      judged.get(keyOf(message))?.(message.verdict);
    } else if (message.type === 'stores') {
      storesAway = message.away;
    } else {
      const known = progress.get(message.path);
      if (known?.nonce === message.nonce) known[message.type] = Math.max(known[message.type], message.to);
      if (message.type === 'placed') journal.trim();
    }
    settleWaiters();
  });

  /** @throws Failure 'conflict' when it is not kept, 'unavailable' when that is not decided in time */
  const kept = async (point: JournalPoint, limitMs: number): Promise<void> => {
    const deadline = Date.now() + limitMs;
    let verdict: Verdict = 'kept';
    const decided = Promise.withResolvers<void>();
    judged.set(keyOf(point), (said) => {
      verdict = said;
      if (said !== 'awaited') decided.resolve();
    });
    const sentence =
      'whether other content is stored under its UID is not known now (CONFLICT_POLICY=refuse)';
    try {
      await wait('indexed', [point], limitMs, sentence);
      if ((verdict as Verdict) === 'awaited') await within(decided.promise, deadline - Date.now(), sentence);
    } finally {
      judged.delete(keyOf(point));
    }
    if ((verdict as Verdict) === 'refused') throw new Failure('conflict', REFUSED);
  };

  return {
    budget,
    open(source) {
      const from: Provenance = options.refuses ? { ...source, refusable: true } : source;
      /** The furthest point of this reception in each segment it wrote to. */
      const points = new Map<string, JournalPoint>();
      let refusedObjects = 0;
      let announced = false;
      let closed = false;
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
            inflated: () => writer.inflated(),
            finish() {
              // Its sender went while it was inflated: nobody is answered, and the reception is counted.
              if (closed) {
                writer.abort();
                throw new Failure('unavailable', 'the sender went before the object was whole');
              }
              const object = writer.finish();
              points.set(object.segment, { path: object.segment, nonce: object.nonce, end: object.end });
              return object;
            },
          };
        },
        acknowledged(object) {
          const point = { path: object.segment, nonce: object.nonce, end: object.end };
          const limitMs = options.storeLimitMs ?? STORE_LIMIT_MS;
          const inStore = (): Promise<void> =>
            wait('placed', [point], limitMs, 'the object store does not take objects now (ACK_AFTER=store)');
          const after = options.ackAfter === 'journal' ? room : inStore;
          return options.refuses ? kept(point, limitMs).then(after) : after();
        },
        refused() {
          refusedObjects++;
        },
        indexed: (limitMs) =>
          wait('indexed', pending(), limitMs, 'the objects are stored, and the index will have them later'),
        close(outcome) {
          closed = true;
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

const keyOf = ({ path, nonce, end }: JournalPoint): string => `${path} ${nonce} ${end}`;

/** @throws Failure 'unavailable' with the sentence after `limitMs` */
function within(promise: Promise<void>, limitMs: number, sentence: string): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => reject(new Failure('unavailable', sentence, { retryAfterS: 5 })),
    Math.max(0, limitMs),
  );
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
