import { randomUUID } from 'node:crypto';
import Bull from 'bull';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createBullClock, DUE_QUEUE } from '../../src/forwarding/clock/bull-clock.ts';
import { createLog } from '../../src/log.ts';
import { clockContract, FakeLedger, until, Worker } from '../contracts/clock.contract.ts';
import { peer } from '../support/peers.ts';
import { type Redis, redisCommand, startRedis } from '../support/redis.ts';

const log = createLog('silent', 'test');

describe.skipIf(!peer('redis-server'))('the clock on Bull (needs redis-server)', () => {
  let redis: Redis;
  let prefix: string;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(() => {
    prefix = `test-${randomUUID()}`;
  });
  const clockOf = (ledger: FakeLedger, more: object = {}) =>
    createBullClock({
      ...ledger.parts(),
      concurrency: 2,
      pollMs: 200,
      log,
      redisUrl: redis.url,
      prefix,
      ...more,
    });

  clockContract((parts) => createBullClock({ ...parts, redisUrl: redis.url, prefix }));

  test('a job carries a delivery id and nothing else, and none is left behind', async () => {
    const ledger = new FakeLedger();
    const worker = new Worker(ledger);
    const clock = clockOf(ledger);
    const queue = new Bull(DUE_QUEUE, redis.url, { prefix });
    try {
      await clock.start(worker.onDue);
      ledger.owe(5, 50_000);
      await until(() => ledger.asked > 1, 'a look');
      let jobs = await queue.getDelayed();
      for (let n = 0; jobs.length === 0 && n < 100; n++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        jobs = await queue.getDelayed();
      }
      expect(jobs.map(({ id, data }) => [id, data])).toEqual([['delivery-5', { delivery: 5 }]]);
      ledger.owe(5);
      await worker.untilPaid(5);
      await until(() => worker.running === 0, 'the end of the call');
      for (let n = 0; (await queue.count()) > 0 && n < 100; n++)
        await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await queue.getJobCounts()).toMatchObject({
        waiting: 0,
        active: 0,
        completed: 0,
        failed: 0,
        delayed: 0,
      });
    } finally {
      await clock.stop();
      await queue.close();
    }
  });

  test('a Redis that is emptied in the middle costs nothing', async () => {
    const ledger = new FakeLedger();
    const worker = new Worker(ledger);
    const clock = clockOf(ledger, { concurrency: 1 });
    await clock.start(worker.onDue);
    try {
      for (let n = 1; n <= 20; n++) ledger.owe(n, n * 30);
      await until(() => worker.paid.length >= 3, 'some to be paid');
      await redisCommand(redis.port, 'FLUSHALL');
      await worker.untilPaid(...Array.from({ length: 20 }, (_, index) => index + 1));
    } finally {
      await clock.stop();
    }
  });

  test('a Redis that is away, at the start and later, leaves the work to timers and is taken up again', async () => {
    const own = await startRedis();
    await own.stop();
    const ledger = new FakeLedger();
    const worker = new Worker(ledger);
    const clock = clockOf(ledger, { redisUrl: own.url });
    await clock.start(worker.onDue);
    let back: Redis | undefined;
    try {
      ledger.owe(1);
      await worker.untilPaid(1);
      back = await startRedis({ port: own.port });
      await until(() => worker.running === 0, 'quiet');
      // Taken up again: jobs appear in it.
      const seen = new Bull(DUE_QUEUE, back.url, { prefix });
      try {
        ledger.owe(2, 55_000);
        for (let n = 0; (await seen.getDelayedCount()) === 0 && n < 300; n++)
          await new Promise((resolve) => setTimeout(resolve, 50));
        expect(await seen.getDelayedCount()).toBe(1);
      } finally {
        await seen.close();
      }
      ledger.due.delete(2);
      ledger.owe(3);
      await worker.untilPaid(3);
      await back.stop();
      ledger.owe(4);
      await worker.untilPaid(4);
    } finally {
      await clock.stop();
      await back?.stop();
    }
  });
});
