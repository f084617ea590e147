/**
 * The back door: pays the debts that routing writes, woken by a clock (Bull on Redis, or timers over the ledger).
 * Opened by main.ts after routing; its routes are mounted by http.ts.
 */
import { availableParallelism } from 'node:os';
import type Router from '@koa/router';
import type { Database } from '../archive/database/database.ts';
import type { Spool } from '../archive/intake/spool.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { Log } from '../log.ts';
import { createPixelWorkers, type PixelWorkersOptions } from '../pixels/pixel-workers.ts';
import { DUE_CHANNEL } from '../routing/due.ts';
import type { Routing } from '../routing/routing.ts';
import type { SendTimeouts } from './attempt.ts';
import { createByteRoom } from './byte-room.ts';
import { createBullClock, openQueue } from './clock/bull-clock.ts';
import type { ClockParts } from './clock/clock.ts';
import { createPostgresTimer } from './clock/postgres-timer.ts';
import { createHeaderRoom } from './header-room.ts';
import { createTokenSource } from './oauth-token.ts';
import { createQueueBoard } from './queue-board.ts';
import { createForwardingRoutes } from './routes.ts';
import { type AttemptCount, createSender } from './send-delivery.ts';
import { testDestination } from './test-destination.ts';

export interface ForwardingParts {
  database: Database;
  reader: ObjectReader;
  routing: Pick<Routing, 'ledger' | 'table' | 'deliveries' | 'orders' | 'commitments'>;
  /** Our AE title where a destination names no other. */
  aeTitle: string;
  /** Below it lie the folders that are destinations. */
  folderRoot?: string | undefined;
  /** Pseudonyms are made from it. */
  deidentifyKey?: string | undefined;
  /** Where compressed frames wait until their object is sent. */
  spool: Spool;
  redisUrl: string | undefined;
  /** Of our keys in Redis; another per installation that shares one. */
  redisPrefix?: string;
  /** Deliveries sent at the same time by this process, over all destinations. */
  concurrency?: number;
  /** How often due deliveries and lost leases are looked for without a word. */
  pollMs?: number;
  timeouts?: Partial<SendTimeouts>;
  log: Log;
}

export interface Forwarding {
  readonly routes: Router;
  /** Deliveries under way in this process, for /metrics. */
  readonly active: number;
  /** Attempts of this process since its start, for /metrics. */
  attempts(): AttemptCount[];
  start(): Promise<void>;
  /** Ends what is under way within the limit; leases are given back. */
  stop(limitMs: number): Promise<void>;
}

/** Mostly waiting for peers; more than one hanging destination can take by itself. */
const CONCURRENCY = 32;
const POLL_MS = 5000;
const TIMEOUTS: SendTimeouts = { connectMs: 10_000, answerMs: 60_000 };
/** Of one destination, armed at the same time. */
const WINDOW = 16;

/** Half of the processor at most: the other half is for those who look. All deliveries wait in one queue, frame by frame. */
const WORKERS: PixelWorkersOptions = {
  threads: Math.max(1, Math.min(4, Math.floor(availableParallelism() / 2))),
  maxWaiting: 4 * CONCURRENCY,
  taskLimitMs: 300_000,
};
/** Of frames being decoded and encoded, as they are stored and decoded. */
const FRAME_BYTES = 256 * 1024 * 1024;

export function createForwarding(parts: ForwardingParts): Forwarding {
  const {
    database,
    log,
    routing,
    redisUrl,
    redisPrefix,
    pollMs = POLL_MS,
    concurrency = CONCURRENCY,
  } = parts;
  const { ledger, commitments } = routing;
  const timeouts: SendTimeouts = { ...TIMEOUTS, ...parts.timeouts };
  const tokens = createTokenSource({ timeoutMs: timeouts.connectMs });
  const { aeTitle: callingAeTitle, folderRoot } = parts;
  // Not those of the viewer's door: neither waits for the other's frames but for the processor.
  const workers = createPixelWorkers(WORKERS);
  const { spool } = parts;
  const headers = createHeaderRoom(spool);
  const recoding = { workers, spool, room: createByteRoom(FRAME_BYTES), headers };
  const sender = createSender({ ...parts, ledger, commitments, timeouts, tokens, folderRoot, recoding });
  const clockParts: ClockParts = {
    window: () => ledger.window(WINDOW),
    listen: (onWord) => database.listen(DUE_CHANNEL, onWord),
    concurrency,
    pollMs,
    log,
  };
  const clock =
    redisUrl === undefined
      ? createPostgresTimer(clockParts)
      : createBullClock({
          ...clockParts,
          redisUrl,
          ...(redisPrefix !== undefined && { prefix: redisPrefix }),
        });
  let expiry: NodeJS.Timeout | undefined;
  let returning: Promise<void> = Promise.resolve();

  async function returnExpired(): Promise<void> {
    try {
      const count = await ledger.returnExpired();
      if (count > 0) log.warn({ count }, 'leases of workers that went away were returned');
    } catch (err) {
      log.warn({ err }, 'lost leases could not be looked for, trying again');
    }
  }

  const board = createQueueBoard(
    redisUrl === undefined ? undefined : () => openQueue({ redisUrl, prefix: redisPrefix }),
  );
  const routes = createForwardingRoutes({
    deliveries: routing.deliveries,
    orders: routing.orders,
    table: routing.table,
    test: (name, settings) =>
      testDestination(name, settings, { callingAeTitle, timeouts, tokens, folderRoot }),
  });
  routes.get('/queues{/*rest}', (ctx, next) => board.look(ctx, next));

  return {
    routes,
    get active() {
      return sender.active;
    },
    attempts: () => sender.attempts(),
    async start() {
      const returned = await ledger.returnOwn();
      if (returned > 0)
        log.info({ count: returned }, 'deliveries that were under way at the last end are taken up again');
      expiry = setInterval(() => {
        returning = returnExpired();
      }, pollMs);
      await clock.start((delivery) => sender.work(delivery));
    },
    async stop(limitMs) {
      clearInterval(expiry);
      await clock.stop();
      await board.stop();
      await sender.stop(limitMs);
      await workers.stop();
      await returning;
    },
  };
}
