import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { MAX_UNWRITTEN } from '../../src/forwarding/outcome-log.ts';
import { until } from '../contracts/clock.contract.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { peer } from '../support/peers.ts';
import { startRedis } from '../support/redis.ts';
import { type BackDoor, type BackDoorOptions, openBackDoor } from './back-door.ts';
import type { ProcessOptions } from './forwarding-process.ts';
import { type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

const script = fileURLToPath(new URL('forwarding-process.ts', import.meta.url));

let door: BackDoor;
let pacs: ScriptedPacs;
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await door.close();
  await pacs.stop();
});

async function open(options: BackDoorOptions = {}): Promise<void> {
  door = await openBackDoor({ idle: true, leaseS: 3, ...options });
  pacs = await startScriptedPacs();
  await door.destination('pacs', {
    kind: 'dimse',
    host: '127.0.0.1',
    port: pacs.port,
    aeTitle: 'PACS',
    maxAssociations: 2,
  });
  await door.rule('all', { when: {}, send: ['pacs'] });
}

/** @returns a process that forwards, once it says so */
async function startProcess(nodeName: string, more: Partial<ProcessOptions> = {}): Promise<ChildProcess> {
  const options: ProcessOptions = { connection: door.db.connection, folder: door.folder, nodeName, ...more };
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the process ended with ${code}`)));
  });
  return child;
}

function killed(child: ChildProcess): Promise<void> {
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGKILL');
  return gone;
}

/** How often an instance was begun more than once, in all. */
const repeats = (): number =>
  pacs.asked.length - new Set(pacs.asked.map((one) => one.affectedSopInstanceUid)).size;

describe('kill -9 in the middle of a delivery', () => {
  test('repeats at most 8 instances a kill, loses none, and ends delivered', async () => {
    await open();
    const { dataSets } = await givenStableStudy(door.database, {
      store: door.store,
      instances: 400,
      pixelBytes: 20_000,
    });
    await door.settled('owed');
    let kills = 0;
    for (const at of [7, 60, 150, 260]) {
      const child = await startProcess('same-node');
      await until(() => pacs.asked.length >= at, `${at} instances to be begun`, 30_000);
      await killed(child);
      kills++;
    }
    const before = repeats();
    expect(before).toBeLessThanOrEqual(MAX_UNWRITTEN * (kills - 1));
    await startProcess('same-node');
    expect(await door.settled('delivered')).toMatchObject([{ total: 400, delivered: 400, failed: 0 }]);
    expect(repeats()).toBeLessThanOrEqual(MAX_UNWRITTEN * kills);
    expect(pacs.kept.size).toBe(400);
    for (const [sopUid, bytes] of dataSets) expect(pacs.kept.get(sopUid)?.equals(bytes)).toBe(true);
  });

  test('is taken up by another node when the lease has run out', async () => {
    await open();
    await givenStableStudy(door.database, { store: door.store, instances: 200, pixelBytes: 20_000 });
    await door.settled('owed');
    const first = await startProcess('one-node');
    await until(() => pacs.asked.length >= 20, '20 instances');
    await killed(first);
    await startProcess('other-node');
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 200, attempts: 2 }]);
    expect(repeats()).toBeLessThanOrEqual(MAX_UNWRITTEN);
    expect(pacs.kept.size).toBe(200);
  });
});

describe.skipIf(!peer('redis-server'))('two processes over Bull (needs redis-server)', () => {
  test('share the deliveries, each worked by one, and a kill of one and of Redis loses nothing', async () => {
    const redis = await startRedis();
    try {
      await open();
      const shared = { redisUrl: redis.url, redisPrefix: `kill-${process.pid}` };
      const first = await startProcess('node-1', shared);
      await startProcess('node-2', shared);
      for (let n = 0; n < 12; n++)
        await givenStableStudy(door.database, { store: door.store, instances: 15 });
      await until(() => pacs.asked.length >= 40, '40 instances', 30_000);
      expect(repeats(), 'nothing is sent twice while both are well').toBe(0);
      await killed(first);
      await redis.stop();
      const done = await door.settled('delivered');
      expect(done).toHaveLength(12);
      expect(done.every((one) => one.delivered === 15)).toBe(true);
      expect(pacs.mostOpen()).toBeLessThanOrEqual(2);
      expect(repeats(), 'of at most two deliveries under way at the kill').toBeLessThanOrEqual(
        2 * MAX_UNWRITTEN,
      );
      expect(pacs.kept.size).toBe(180);
    } finally {
      await redis.stop();
    }
  });
});

describe('a closing room', () => {
  test('ends after the instance under way, gives its lease back, and repeats nothing', async () => {
    await open();
    await givenStableStudy(door.database, { store: door.store, instances: 300, pixelBytes: 10_000 });
    await door.settled('owed');
    await door.forwarding.start();
    await until(() => pacs.asked.length >= 10, '10 instances');
    await door.forwarding.stop(5000);
    const [delivery] = await door.deliveries();
    expect(delivery).toMatchObject({ state: 'owed', lastError: null });
    expect(delivery!.delivered).toBe(pacs.kept.size);
    expect(delivery!.delivered).toBeLessThan(300);
    const other = door.another();
    await other.forwarding.start();
    try {
      await door.settled('delivered');
      expect(repeats()).toBe(0);
    } finally {
      await other.close();
    }
  });
});

describe('a study that is held while it is sent', () => {
  test('is sent no further until it is released', async () => {
    await open();
    await givenStableStudy(door.database, { store: door.store, instances: 300, pixelBytes: 10_000 });
    await door.settled('owed');
    await door.forwarding.start();
    await until(() => pacs.asked.length >= 10, '10 instances');
    await door.database.query(`update study set held = 'a conflict'`);
    const [waiting] = await door.settled('owed');
    expect(waiting!.delivered).toBeLessThan(300);
    await door.database.query('update study set held = null');
    await door.database.query(
      `insert into change (kind, study_uid, study_version) select 'study-released', study_uid, version from study`,
    );
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 300 }]);
    expect(repeats()).toBe(0);
  });
});

describe('a lease that is lost', () => {
  test('stops the worker at once, and what it does afterwards changes nothing', async () => {
    await open();
    await givenStableStudy(door.database, { store: door.store, instances: 300, pixelBytes: 10_000 });
    await door.settled('owed');
    await door.forwarding.start();
    await until(() => pacs.asked.length >= 10, '10 instances');
    const [sending] = await door.deliveries();
    const cancelled = await door.routing.orders.cancel(sending!.id, 'me');
    expect(cancelled).toMatchObject({ state: 'cancelled', lastError: 'cancelled by me' });
    await until(() => door.forwarding.active === 0, 'the worker to stop');
    const { delivered } = (await door.deliveries())[0]!;
    expect(delivered).toBe(cancelled.delivered);
    expect(pacs.kept.size - delivered).toBeLessThanOrEqual(MAX_UNWRITTEN);
    await door.routing.orders.retry(sending!.id);
    await door.settled('delivered');
    expect(repeats()).toBeLessThanOrEqual(MAX_UNWRITTEN);
  });
});
