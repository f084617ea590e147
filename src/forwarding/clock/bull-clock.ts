/**
 * The clock on Redis: due deliveries are Bull jobs, so that processes share the waking. A job carries a delivery id
 * and nothing else; one that is lost, repeated or late costs time only, because onDue asks the ledger.
 * While Redis is away the same timers run that serve without Redis, and Bull takes over when it is back.
 */
import { createRequire } from 'node:module';
import type Bull from 'bull';
import type { Clock, ClockParts, OnDue } from './clock.ts';
import { createReconciler } from './reconcile.ts';
import { createTimers, notEarly, type Timers } from './timers.ts';

export interface BullClockParts extends ClockParts {
  redisUrl: string;
  /** Of all keys; another per installation that shares a Redis. */
  prefix?: string;
}

interface DueJob {
  delivery: number;
}

export const DUE_QUEUE = 'isocenter-due';
/** A Redis that takes longer counts as away. */
const PATIENCE_MS = 2000;
/** The same trouble is logged once in this time. */
const LOG_EVERY_MS = 60_000;

export function createBullClock(parts: BullClockParts): Clock {
  const { concurrency, log } = parts;
  let queue: Bull.Queue<DueJob> | undefined;
  let timers: Timers | undefined;
  let stopped = false;
  let toldAt = Number.NEGATIVE_INFINITY;
  const arming = new Set<number>();

  function tell(err: unknown): void {
    if (stopped || performance.now() - toldAt < LOG_EVERY_MS) return;
    toldAt = performance.now();
    log.warn({ err }, 'Redis is in trouble; deliveries go on by timers until it is back');
  }

  function arm(delivery: number, waitMs: number): void {
    if (stopped || !queue || arming.has(delivery)) return;
    if (queue.client.status !== 'ready') {
      timers?.arm(delivery, waitMs);
      return;
    }
    arming.add(delivery);
    within(PATIENCE_MS, addJob(queue, delivery, waitMs))
      .catch((err: unknown) => {
        tell(err);
        timers?.arm(delivery, waitMs);
      })
      .finally(() => arming.delete(delivery));
  }

  const reconciler = createReconciler(parts, arm);

  return {
    async start(onDue) {
      timers = createTimers(concurrency, onDue, log);
      queue = openQueue(parts);
      queue.on('error', tell);
      catchNaming(queue, tell);
      // Bull's own loop: it waits for Redis as long as it takes, so nothing here waits for it.
      queue.process(concurrency, (job) => work(job, onDue)).catch(tell);
      await reconciler.start();
    },
    arm,
    async stop() {
      stopped = true;
      timers?.stop();
      await reconciler.stop();
      if (queue)
        await closeQueue(queue).catch((err: unknown) => log.debug({ err }, 'the Bull queue did not close'));
    },
  };

  async function work(job: Bull.Job<DueJob>, onDue: OnDue): Promise<void> {
    if (stopped) return;
    const { delivery } = job.data;
    try {
      await onDue(delivery);
    } catch (err) {
      log.error({ err, delivery }, 'a due delivery could not be worked');
    }
  }
}

/** Also for a look at it (queue-board.ts), which neither adds nor works jobs. */
export function openQueue({
  redisUrl,
  prefix = 'isocenter',
}: {
  redisUrl: string;
  prefix?: string | undefined;
}): Bull.Queue<DueJob> {
  // Loaded only where there is a Redis: with its client it weighs 10 MB.
  const Queue: typeof Bull = createRequire(import.meta.url)('bull');
  return new Queue<DueJob>(DUE_QUEUE, {
    prefix,
    redis: {
      ...redisOf(redisUrl),
      connectTimeout: 5000,
      // Bull needs its blocking connections to wait; commands of ours are bounded by PATIENCE_MS.
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(times * 200, 5000),
    },
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
    settings: {
      // A process that dies loses its jobs' locks after this long; the ledger's lease runs about as long.
      lockDuration: 30_000,
      stalledInterval: 10_000,
      maxStalledCount: 10,
      retryProcessDelay: 1000,
    },
  });
}

/**
 * Bull names its connection for lists of workers and lets that promise go: rejected (Redis away while we close), it
 * would end the process.
 */
function catchNaming(queue: Bull.Queue<DueJob>, tell: (err: unknown) => void): void {
  const naming = queue as unknown as { setWorkerName(): Promise<void> };
  const setName = naming.setWorkerName.bind(queue);
  naming.setWorkerName = () => setName().catch(tell);
}

/** Bull's own reading of URLs knows no rediss. */
function redisOf(redisUrl: string): Bull.QueueOptions['redis'] & object {
  const { protocol, hostname, port, username, password, pathname } = new URL(redisUrl);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    db: Number(pathname.slice(1) || 0),
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
  };
}

/** One job per delivery: its id deduplicates over all processes. A delayed one makes way for a sooner one. */
async function addJob(queue: Bull.Queue<DueJob>, delivery: number, waitMs: number): Promise<void> {
  const jobId = `delivery-${delivery}`;
  const known = await queue.getJob(jobId);
  if (known) {
    const at = known.timestamp + (known.opts.delay ?? 0);
    const sooner = Date.now() + waitMs < at - 1000;
    if (!sooner || !(await known.isDelayed())) return;
    await known.remove();
  }
  await queue.add({ delivery }, { jobId, delay: notEarly(waitMs) });
}

/** Waits for no job: the room ends its own work. A Redis that is away cannot hold it up. */
async function closeQueue(queue: Bull.Queue<DueJob>): Promise<void> {
  const clients = [queue.client, ...(queue as unknown as { clients: Bull.Queue['client'][] }).clients];
  try {
    if (queue.client.status === 'ready') await within(PATIENCE_MS, queue.close(true));
  } finally {
    for (const client of clients) client.disconnect();
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Redis did not answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
