import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/archive/database/database.ts';
import { createLog } from '../../src/log.ts';
import { backoffMs, backoffOf, DEFAULT_BACKOFF, isGivenUp } from '../../src/routing/backoff.ts';
import type { ClaimedDelivery } from '../../src/routing/claim.ts';
import { createDeliveryList } from '../../src/routing/delivery-list.ts';
import { createDeliveryOrders } from '../../src/routing/delivery-orders.ts';
import { createLedger, type Ledger } from '../../src/routing/ledger.ts';
import { createRoutingTable } from '../../src/routing/routing-table.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

const log = createLog('silent', 'test');
const ordersOf = (database: Database) =>
  createDeliveryOrders({
    database,
    table: createRoutingTable({ database, log }),
    deliveries: createDeliveryList({ database }),
  });
let db: TestDatabase;
let database: Database;
let ledger: Ledger;

beforeEach(async () => {
  db = await testDatabase();
  database = db.database;
  ledger = createLedger({ database, nodeName: 'one', random: () => 0.5 });
});
afterEach(() => db.drop());

async function destination(name: string, more: object = {}): Promise<void> {
  const settings = {
    kind: 'dimse',
    host: 'h',
    port: 1,
    aeTitle: 'A',
    maxAssociations: 1,
    enabled: true,
    ...more,
  };
  await database.query(
    `insert into destination (name, kind, settings, enabled) values ($1, 'dimse', $2, $3)`,
    [name, JSON.stringify(settings), settings.enabled],
  );
}

/** @returns the delivery's id */
async function owed(
  to: string,
  { instances = 1, priority = 0, study = `1.2.${Math.random()}` } = {},
): Promise<number> {
  const { rows } = await database.query<{ id: number }>(
    'insert into delivery (study_uid, destination, priority) values ($1, $2, $3) returning id',
    [study, to, priority],
  );
  const { id } = rows[0]!;
  await database.query(
    `insert into delivery_instance (delivery, sop_uid, content_hash, object)
     select $1, '1.2.3.' || n, decode('00', 'hex'), n from generate_series(1, $2) n`,
    [id, instances],
  );
  return id;
}

async function row(id: number): Promise<Record<string, unknown>> {
  const { rows } = await database.query(
    `select *, extract(epoch from next_attempt_at - clock_timestamp())::float8 as wait_s from delivery where id = $1`,
    [id],
  );
  return rows[0]!;
}

const claimedIds = (claims: (ClaimedDelivery | undefined)[]): number[] =>
  claims.flatMap((one) => (one ? [one.lease.delivery] : []));

describe('claims', () => {
  test('take the most urgent, then the oldest', async () => {
    await destination('a', { maxAssociations: 10 });
    const [low, old, young, urgent] = [
      await owed('a', { priority: -1 }),
      await owed('a'),
      await owed('a'),
      await owed('a', { priority: 9 }),
    ];
    const order = [];
    for (let n = 0; n < 5; n++) order.push(await ledger.claim());
    expect(claimedIds(order)).toEqual([urgent, old, young, low]);
  });

  test('take turns between destinations, however much one is owed', async () => {
    await destination('dead', { maxAssociations: 16 });
    await destination('well', { maxAssociations: 16 });
    for (let n = 0; n < 6; n++) await owed('dead');
    const [first, second] = [await owed('well'), await owed('well')];
    const order = [];
    for (let n = 0; n < 4; n++) order.push(await ledger.claim());
    expect(claimedIds(order)).toEqual(expect.arrayContaining([first, second]));
  });

  test('keep to the associations a destination takes at most', async () => {
    await destination('a', { maxAssociations: 2 });
    for (let n = 0; n < 4; n++) await owed('a');
    const claims = [await ledger.claim(), await ledger.claim(), await ledger.claim()];
    expect(claimedIds(claims)).toHaveLength(2);
    await ledger.finish(claims[0]!.lease, { kind: 'release' });
    expect(await ledger.claim()).toBeDefined();
  });

  test('can be bound to the destination of a delivery', async () => {
    await destination('a');
    await destination('b');
    await owed('a', { priority: 100 });
    const wanted = await owed('b');
    expect((await ledger.claim(wanted))?.lease.delivery).toBe(wanted);
  });

  test('leave alone what is disabled, held, down or not due', async () => {
    await destination('disabled', { enabled: false });
    await destination('down');
    await destination('a');
    await owed('disabled');
    await owed('down');
    await database.query(
      `update destination set faults = 1, down_until = now() + interval '1 minute' where name = 'down'`,
    );
    await database.query('update delivery set held = true where id = $1', [await owed('a')]);
    await database.query(`update delivery set next_attempt_at = now() + interval '1 minute' where id = $1`, [
      await owed('a'),
    ]);
    expect(await ledger.claim()).toBeUndefined();
  });

  test('of many workers at once never meet, and never exceed the associations', async () => {
    await destination('a', { maxAssociations: 3 });
    await destination('b', { maxAssociations: 2 });
    for (let n = 0; n < 30; n++) await owed(n % 3 === 0 ? 'b' : 'a', { priority: n % 5 });
    const other = openDatabase(db.connection, { log, max: 5 });
    try {
      const workers = [ledger, createLedger({ database: other, nodeName: 'two' })];
      const seen = new Map<number, number>();
      let most = { a: 0, b: 0 };
      const sending = { a: 0, b: 0 };
      const work = async (mine: Ledger): Promise<void> => {
        for (let idle = 0; idle < 40; ) {
          const claimed = await mine.claim();
          if (!claimed) {
            idle++;
            await new Promise((resolve) => setTimeout(resolve, 5));
            continue;
          }
          idle = 0;
          const name = claimed.destination.name as 'a' | 'b';
          sending[name]++;
          most = { a: Math.max(most.a, sending.a), b: Math.max(most.b, sending.b) };
          seen.set(claimed.lease.delivery, (seen.get(claimed.lease.delivery) ?? 0) + 1);
          const instances = await mine.owedInstances(claimed.lease, 0, 10);
          await mine.writeOutcomes(
            claimed.lease,
            instances.map(({ id }) => ({ id, state: 'delivered', status: 0 })),
          );
          sending[name]--;
          await mine.finish(claimed.lease, { kind: 'done' });
        }
      };
      await Promise.all([...Array(3).keys()].flatMap(() => workers.map(work)));
      expect([...seen.values()].every((times) => times === 1)).toBe(true);
      expect(seen.size).toBe(30);
      expect(most.a).toBeLessThanOrEqual(3);
      expect(most.b).toBeLessThanOrEqual(2);
      const { rows } = await database.query('select distinct state from delivery');
      expect(rows).toEqual([{ state: 'delivered' }]);
    } finally {
      await other.close();
    }
  });
});

describe('the fence', () => {
  test('refuses a worker whose lease ran out and was taken by another', async () => {
    await destination('a');
    const id = await owed('a', { instances: 2 });
    const stale = (await ledger.claim())!;
    const [instance] = await ledger.owedInstances(stale.lease, 0, 10);
    await database.query(`update delivery set lease_until = now() - interval '1 second'`);
    const other = createLedger({ database, nodeName: 'two' });
    expect(await other.returnExpired()).toBe(1);
    const fresh = (await other.claim())!;
    expect(fresh.lease.token).toBe(stale.lease.token + 1);

    const lost = { kind: 'conflict', message: expect.stringContaining('lease') };
    await expect(
      ledger.writeOutcomes(stale.lease, [{ id: instance!.id, state: 'delivered' }]),
    ).rejects.toMatchObject(lost);
    await expect(ledger.extend(stale.lease)).rejects.toMatchObject(lost);
    await expect(ledger.finish(stale.lease, { kind: 'done' })).rejects.toMatchObject(lost);
    expect(await other.owedInstances(fresh.lease, 0, 10), 'nothing was written').toHaveLength(2);
    expect(await row(id)).toMatchObject({ state: 'sending', lease_owner: 'two', attempts: 2 });
  });

  test('refuses outcomes after a person cancelled', async () => {
    await destination('a');
    const id = await owed('a');
    const claimed = (await ledger.claim())!;
    await ordersOf(database).cancel(id, 'me');
    await expect(ledger.writeOutcomes(claimed.lease, [{ id: 1, state: 'delivered' }])).rejects.toMatchObject({
      kind: 'conflict',
    });
    expect(await row(id)).toMatchObject({ state: 'cancelled', last_error: 'cancelled by me' });
  });

  test('keeps an outcome from the instance of another delivery', async () => {
    await destination('a', { maxAssociations: 2 });
    await owed('a');
    const other = await owed('a');
    const mine = (await ledger.claim())!;
    const { rows } = await database.query<{ id: number }>(
      'select id from delivery_instance where delivery = $1',
      [other],
    );
    await ledger.writeOutcomes(mine.lease, [{ id: rows[0]!.id, state: 'delivered' }]);
    const after = await database.query('select state from delivery_instance where delivery = $1', [other]);
    expect(after.rows).toEqual([{ state: 'owed' }]);
  });

  test('the UID under which the peer took it last is the one on record, and asked for', async () => {
    await destination('pacs', { maxAssociations: 2 });
    await owed('pacs');
    const { lease } = (await ledger.claim())!;
    const [{ id } = { id: 0 }] = await ledger.owedInstances(lease, 0, 1);
    const recorded = async (): Promise<string | null> => {
      const { rows } = await database.query<{ uid: string | null }>(
        'select sent_sop_uid as uid from delivery_instance',
      );
      return rows[0]!.uid;
    };
    await ledger.writeOutcomes(lease, [{ id, state: 'delivered', sentSopUid: '2.25.1' }]);
    // Sent again, and not taken.
    await ledger.writeOutcomes(lease, [{ id, state: 'owed', status: 0xa700 }]);
    expect(await recorded()).toBe('2.25.1');
    // Then taken as it is stored, by a peer that takes that by now.
    await ledger.writeOutcomes(lease, [{ id, state: 'delivered', status: 0 }]);
    expect(await recorded()).toBeNull();
  });

  test('a lease that is extended is not returned', async () => {
    await destination('a');
    await owed('a');
    const claimed = (await ledger.claim())!;
    await database.query(`update delivery set lease_until = now() - interval '1 second'`);
    await ledger.extend(claimed.lease);
    expect(await ledger.returnExpired()).toBe(0);
  });

  test('a program that starts again takes up what it had, and leaves the others theirs', async () => {
    await destination('a', { maxAssociations: 2 });
    await owed('a');
    await owed('a');
    await ledger.claim();
    await createLedger({ database, nodeName: 'two' }).claim();
    expect(await createLedger({ database, nodeName: 'one' }).returnOwn()).toBe(1);
    const { rows } = await database.query('select state, lease_owner from delivery order by state');
    expect(rows).toEqual([
      { state: 'owed', lease_owner: null },
      { state: 'sending', lease_owner: 'two' },
    ]);
  });
});

describe('the end of an attempt', () => {
  async function attempt(
    instances: number,
    states: readonly ('delivered' | 'warning' | 'failed' | 'owed')[],
  ): Promise<ClaimedDelivery> {
    await destination('a');
    await owed('a', { instances });
    const claimed = (await ledger.claim())!;
    const found = await ledger.owedInstances(claimed.lease, 0, 100);
    await ledger.writeOutcomes(
      claimed.lease,
      states.map((state, index) => ({ id: found[index]!.id, state, comment: `was ${state}` })),
    );
    return claimed;
  }

  test('delivered, when every instance was taken', async () => {
    const { lease } = await attempt(2, ['delivered', 'warning']);
    expect(await ledger.finish(lease, { kind: 'done' })).toBe('delivered');
    expect(await row(lease.delivery)).toMatchObject({
      last_error: null,
      lease_owner: null,
      delivered_at: expect.any(Date),
    });
  });

  test('parked with the reason, when some were refused for good', async () => {
    const { lease } = await attempt(3, ['delivered', 'failed', 'delivered']);
    expect(await ledger.finish(lease, { kind: 'done' })).toBe('parked');
    expect(await row(lease.delivery)).toMatchObject({
      last_error: '1 of 3 instances were refused: was failed',
    });
    expect(await ledger.window(5)).toEqual([]);
  });

  test('owed after a wait that grows, when the fault may pass', async () => {
    const { lease } = await attempt(1, ['owed']);
    const retry = { kind: 'retry', down: false, reason: 'out of resources' } as const;
    expect(await ledger.finish(lease, retry)).toBe('owed');
    expect(await row(lease.delivery)).toMatchObject({ faults: 1, last_error: 'out of resources' });
    expect((await row(lease.delivery)).wait_s).toBeCloseTo(30, 0);
    await database.query('update delivery set next_attempt_at = now()');
    await ledger.finish((await ledger.claim())!.lease, retry);
    expect((await row(lease.delivery)).wait_s).toBeCloseTo(60, 0);
    expect(await row(lease.delivery)).toMatchObject({ faults: 2, attempts: 2 });
  });

  test('progress starts the wait anew', async () => {
    const { lease } = await attempt(2, ['delivered']);
    await database.query(`update delivery set faults = 9, failing_since = now() - interval '30 days'`);
    await ledger.finish(lease, { kind: 'retry', down: false, reason: 'r' });
    expect(await row(lease.delivery)).toMatchObject({ state: 'owed', faults: 1 });
  });

  test('parked after the horizon, when the delivery fails by itself and the destination is there', async () => {
    const { lease } = await attempt(1, []);
    const retry = { kind: 'retry', down: false, reason: 'out of resources' } as const;
    await database.query('update delivery set faults = 100');
    expect(await ledger.finish(lease, retry)).toBe('owed');
    await database.query('update delivery set faults = 200, next_attempt_at = now()');
    expect(await ledger.finish((await ledger.claim())!.lease, retry)).toBe('parked');
    expect(await row(lease.delivery)).toMatchObject({
      last_error:
        'given up after 7 days of waiting without progress, while the destination was there: out of resources',
    });
  });

  test('never parked because the destination is down, however long that lasts', async () => {
    const { lease } = await attempt(1, []);
    await database.query(`update delivery set failing_since = now() - interval '80 days', faults = 10000`);
    await database.query('update destination set faults = 1000');
    const down = { kind: 'retry', down: true, reason: 'PACS cannot be reached' } as const;
    expect(await ledger.finish(lease, down)).toBe('owed');
    await database.query('update destination set down_until = null');
    const probe = (await ledger.claim())!;
    expect(await ledger.finish(probe.lease, { ...down, amid: true }), 'lost amid its instances').toBe('owed');
    await database.query('update destination set down_until = null, faults = 0');
    await database.query('update delivery set next_attempt_at = now()');
    const again = (await ledger.claim())!;
    expect(await ledger.finish(again.lease, { ...down, amid: true }), 'and it alone').toBe('parked');
  });

  test('another asks next, when the connection was lost amid the instances of one', async () => {
    await destination('pacs');
    const [poison, well] = [await owed('pacs'), await owed('pacs')];
    const { lease } = (await ledger.claim())!;
    expect(lease.delivery).toBe(poison);
    await ledger.finish(lease, { kind: 'retry', down: true, amid: true, reason: 'aborted' });
    const { rows } = await database.query<{ later: boolean }>(
      `select d.next_attempt_at > t.down_until as later from delivery d join destination t on t.name = 'pacs'
       where d.id = $1`,
      [poison],
    );
    expect(rows[0]).toEqual({ later: true });
    await database.query(
      `update delivery set next_attempt_at = next_attempt_at - (select down_until - now() from destination)`,
    );
    await database.query('update destination set down_until = now()');
    expect((await ledger.claim())!.lease.delivery).toBe(well);
  });

  test('after waits as the destination has them', async () => {
    await destination('a', { retry: { firstS: 5, factor: 3, capS: 40, horizonH: 1 } });
    await owed('a');
    const retry = { kind: 'retry', down: false, reason: 'r' } as const;
    for (const wait of [5, 15, 40, 40]) {
      const { lease } = (await ledger.claim())!;
      await ledger.finish(lease, retry);
      expect((await row(lease.delivery)).wait_s).toBeCloseTo(wait, 0);
      await database.query('update delivery set next_attempt_at = now()');
    }
    await database.query('update delivery set faults = 92');
    expect(await ledger.finish((await ledger.claim())!.lease, retry)).toBe('parked');
    const { rows } = await database.query<{ last_error: string }>('select last_error from delivery');
    expect(rows[0]!.last_error).toMatch(/^given up after 1 h of waiting/);
  });

  test('a destination that is down waits as a whole, is asked by one, and is up at its first answer', async () => {
    await destination('pacs', { maxAssociations: 4 });
    for (let n = 0; n < 5; n++) await owed('pacs');
    const { lease } = (await ledger.claim())!;
    await ledger.finish(lease, { kind: 'retry', down: true, reason: 'unreachable' });
    expect(await ledger.claim(), 'nothing else is tried').toBeUndefined();
    const [due, ...more] = await ledger.window(10);
    expect(more).toEqual([]);
    expect(due!.waitMs / 1000).toBeCloseTo(30, 0);

    await database.query('update destination set down_until = now()');
    const probe = (await ledger.claim())!;
    expect(probe.probing).toBe(true);
    expect(await ledger.claim(), 'one asks').toBeUndefined();
    await ledger.finish(probe.lease, { kind: 'retry', down: true, reason: 'unreachable' });
    const { rows } = await database.query(
      `select faults, last_fault, extract(epoch from down_until - clock_timestamp())::float8 as wait from destination where name = 'pacs'`,
    );
    expect(rows[0]).toMatchObject({ faults: 2, last_fault: 'unreachable' });
    expect((rows[0] as { wait: number }).wait).toBeCloseTo(60, 0);

    await database.query('update destination set down_until = now()');
    const healed = (await ledger.claim())!;
    await ledger.answered('pacs');
    expect(claimedIds([await ledger.claim(), await ledger.claim()])).toHaveLength(2);
    await ledger.finish(healed.lease, { kind: 'release' });
  });

  test('a destination that several find away at the same time has one fault', async () => {
    await destination('pacs', { maxAssociations: 4 });
    for (let n = 0; n < 4; n++) await owed('pacs');
    const claims = await Promise.all(Array.from({ length: 4 }, () => ledger.claim()));
    for (const claimed of claims)
      await ledger.finish(claimed!.lease, { kind: 'retry', down: true, amid: true, reason: 'aborted' });
    const down = `select faults, extract(epoch from down_until - clock_timestamp())::float8 as wait
      from destination where name = 'pacs'`;
    const { rows } = await database.query<{ faults: number; wait: number }>(down);
    expect(rows[0]!.faults).toBe(1);
    expect(rows[0]!.wait).toBeCloseTo(30, 0);
  });

  test('Retry-After of a second answer is kept, too', async () => {
    await destination('pacs', { maxAssociations: 2 });
    await owed('pacs');
    await owed('pacs');
    const claims = [await ledger.claim(), await ledger.claim()];
    await ledger.finish(claims[0]!.lease, { kind: 'retry', down: true, reason: 'busy' });
    await ledger.finish(claims[1]!.lease, {
      kind: 'retry',
      down: true,
      reason: 'busy',
      retryAfterMs: 90_000,
    });
    const { rows } = await database.query<{ faults: number; wait: number }>(
      'select faults, extract(epoch from down_until - clock_timestamp())::float8 as wait from destination',
    );
    expect(rows[0]!.faults).toBe(1);
    expect(rows[0]!.wait).toBeCloseTo(90, 0);
  });

  test('of before a change of the destination says nothing of what it is now', async () => {
    await destination('pacs');
    const id = await owed('pacs');
    const { lease } = (await ledger.claim())!;
    await database.query('update destination set changed_at = clock_timestamp()');
    await ledger.finish(lease, { kind: 'retry', down: true, reason: 'PACS at its old address is away' });
    const { rows } = await database.query('select faults, down_until from destination');
    expect(rows[0]).toEqual({ faults: 0, down_until: null });
    expect((await ledger.claim())!.lease.delivery).toBe(id);
  });

  test('instances added while it was sent are owed, not overlooked', async () => {
    const { lease } = await attempt(1, ['delivered']);
    await database.query(
      `insert into delivery_instance (delivery, sop_uid, content_hash, object) values ($1, 'late', decode('00', 'hex'), 9)`,
      [lease.delivery],
    );
    expect(await ledger.finish(lease, { kind: 'done' })).toBe('owed');
    const again = (await ledger.claim())!;
    expect(await ledger.owedInstances(again.lease, 0, 10)).toMatchObject([{ sopUid: 'late' }]);
  });

  test('an instance added in a transaction that commits while we finish is not overlooked', async () => {
    const { lease } = await attempt(1, ['delivered']);
    let finishing: Promise<string> | undefined;
    await database.transaction(async (tx) => {
      // As owe.ts does: the delivery first, then its instance.
      await tx.query('update delivery set priority = priority where id = $1', [lease.delivery]);
      finishing = ledger.finish(lease, { kind: 'done' });
      await new Promise((resolve) => setTimeout(resolve, 100));
      await tx.query(
        `insert into delivery_instance (delivery, sop_uid, content_hash, object) values ($1, 'late', decode('00', 'hex'), 9)`,
        [lease.delivery],
      );
    });
    expect(await finishing).toBe('owed');
  });
});

describe('people', () => {
  test('retry what was parked: what failed is owed again, what arrived is not', async () => {
    await destination('a');
    const id = await owed('a', { instances: 2 });
    const { lease } = (await ledger.claim())!;
    const [one, two] = await ledger.owedInstances(lease, 0, 10);
    await ledger.writeOutcomes(lease, [
      { id: one!.id, state: 'delivered', status: 0 },
      { id: two!.id, state: 'failed', status: 0xa900, comment: 'no' },
    ]);
    await ledger.finish(lease, { kind: 'done' });
    const list = createDeliveryList({ database });
    expect(await list.find(id)).toMatchObject({
      state: 'parked',
      total: 2,
      delivered: 1,
      failed: 1,
      nextAttempt: null,
    });
    expect(await ordersOf(database).retry(id)).toMatchObject({
      state: 'owed',
      total: 2,
      delivered: 1,
      failed: 0,
      lastError: null,
    });
    const again = (await ledger.claim())!;
    expect(await ledger.owedInstances(again.lease, 0, 10)).toMatchObject([{ id: two!.id }]);
    await expect(ordersOf(database).retry(id)).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('being sent'),
    });
  });

  test('retry all of a destination: what is parked and what waits, and nothing else', async () => {
    await destination('a');
    await destination('b');
    const ids = [];
    for (let n = 0; n < 5; n++) ids.push(await owed('a'));
    const other = await owed('b');
    await database.query(`update delivery set state = 'parked', last_error = 'no' where id = any($1)`, [
      [ids[0], other],
    ]);
    await database.query(`update delivery_instance set state = 'failed' where delivery = any($1)`, [
      [ids[0], other],
    ]);
    await database.query(`update delivery set next_attempt_at = now() + interval '1 hour' where id = $1`, [
      ids[1],
    ]);
    await database.query(`update delivery set state = 'cancelled' where id = $1`, [ids[2]]);
    await database.query(`update delivery set state = 'delivered' where id = $1`, [ids[3]]);
    await database.query(
      `update destination set faults = 3, down_until = now() + interval '1 hour' where name = 'a'`,
    );
    const orders = ordersOf(database);
    expect(await orders.retryAll('a')).toBe(2);
    expect(await row(ids[0]!)).toMatchObject({ state: 'owed', last_error: null });
    expect((await row(ids[1]!)).wait_s).toBeLessThanOrEqual(0);
    expect(await row(ids[2]!)).toMatchObject({ state: 'cancelled' });
    expect(await row(ids[3]!)).toMatchObject({ state: 'delivered' });
    expect(await row(other)).toMatchObject({ state: 'parked' });
    const claimed = (await ledger.claim())!;
    expect(claimed.lease.delivery, 'its wait is over').toBe(ids[0]);
    expect(await ledger.owedInstances(claimed.lease, 0, 10)).toHaveLength(1);
    await expect(orders.retryAll('nobody')).rejects.toMatchObject({ kind: 'not-found' });
  });

  test('cancel all of a destination, thousands of them', async () => {
    await destination('a');
    await destination('b');
    const other = await owed('b');
    await database.query(
      `insert into delivery (study_uid, destination) select '1.2.' || n, 'a' from generate_series(1, 2500) n`,
    );
    const { lease } = (await ledger.claim())!;
    await database.query(`update delivery set state = 'delivered' where study_uid = '1.2.7'`);
    expect(await ordersOf(database).cancelAll('a', 'me')).toBe(2499);
    await expect(ledger.extend(lease), 'also what is being sent').rejects.toMatchObject({ kind: 'conflict' });
    const { rows } = await database.query(
      `select state, last_error as why, count(*) from delivery where destination = 'a' group by 1, 2 order by 1`,
    );
    expect(rows).toEqual([
      { state: 'cancelled', why: 'cancelled by me with all of a', count: 2499 },
      { state: 'delivered', why: null, count: 1 },
    ]);
    expect(await row(other)).toMatchObject({ state: 'owed' });
  });

  test('see what is owed, filtered and in pages', async () => {
    await destination('a');
    await destination('b');
    const first = await owed('a', { study: '1.2.3' });
    const second = await owed('b', { study: '1.2.3' });
    const list = createDeliveryList({ database });
    const ids = async (query: object) =>
      (await list.list({ limit: 10, offset: 0, ...query })).map((one) => one.id);
    expect(await ids({ study: '1.2.3' })).toEqual([second, first]);
    expect(await ids({ study: '1.2.3', destination: 'a' })).toEqual([first]);
    expect(await ids({ state: 'parked' })).toEqual([]);
    expect(await ids({ limit: 1, offset: 1 })).toEqual([first]);
    expect(Object.keys((await list.find(first)) as object).sort()).toEqual([
      'attempts',
      'committed',
      'delivered',
      'destination',
      'failed',
      'id',
      'lastError',
      'nextAttempt',
      'rule',
      'state',
      'study',
      'toLook',
      'total',
      'via',
      'waits',
      'waitsFor',
    ]);
  });
});

describe('backoff', () => {
  test('is given up by its own waits', () => {
    const settings = { firstMs: 1000, factor: 2, capMs: 4000, horizonMs: 11_000 };
    expect([0, 1, 2, 3, 4, 5].map((faults) => isGivenUp(settings, faults))).toEqual([
      ...[false, false, false, false],
      ...[true, true],
    ]);
    expect(isGivenUp({ ...settings, horizonMs: 0 }, 0), 'never tried again').toBe(true);
    expect(isGivenUp(DEFAULT_BACKOFF, 72), 'three days of an hour').toBe(false);
  });

  test('takes what a destination says, and the rest from where nothing is said', () => {
    expect(backoffOf(undefined, DEFAULT_BACKOFF)).toBe(DEFAULT_BACKOFF);
    expect(backoffOf({ capS: 60, horizonH: 2 }, DEFAULT_BACKOFF)).toEqual({
      firstMs: 30_000,
      factor: 2,
      capMs: 60_000,
      horizonMs: 7_200_000,
    });
  });

  test('doubles, with jitter, up to the cap', () => {
    const at = (faults: number, random: number) => backoffMs(DEFAULT_BACKOFF, faults, random);
    expect([1, 2, 3, 7, 8, 1000].map((faults) => at(faults, 0.5))).toEqual([
      30_000, 60_000, 120_000, 1_920_000, 3_600_000, 3_600_000,
    ]);
    expect([at(1, 0), at(1, 1)]).toEqual([24_000, 36_000]);
    expect(at(99, 1)).toBe(3_600_000);
    expect(backoffMs(DEFAULT_BACKOFF, 1, 0.5, 90_000), 'what the peer asked for').toBe(90_000);
    expect(backoffMs(DEFAULT_BACKOFF, 1, 0.5, 1e12), 'within reason').toBe(3_600_000);
  });
});

test('a backlog of a hundred thousand deliveries to a dead destination does not slow the claims of others', async () => {
  await destination('dead', { maxAssociations: 16 });
  await destination('well', { maxAssociations: 16 });
  await database.query(
    `insert into delivery (study_uid, destination, next_attempt_at)
     select '1.2.' || n, 'dead', now() from generate_series(1, 100000) n`,
  );
  await database.query(
    `update destination set faults = 3, down_until = now() + interval '1 hour' where name = 'dead'`,
  );
  await database.query('analyze delivery');
  for (let n = 0; n < 10; n++) await owed('well');
  const { rows } = await database.query<{ 'QUERY PLAN': string }>(
    `explain select id from delivery where destination = 'dead' and state = 'owed' and not held
       and next_attempt_at <= now() order by priority desc, id limit 1`,
  );
  expect(rows.map((line) => line['QUERY PLAN']).join('\n')).toContain('delivery_due');
  for (let n = 0; n < 10; n++) expect((await ledger.claim())?.destination.name).toBe('well');
  expect(await ledger.window(16), 'and only a window of it is ever looked at').toHaveLength(1);
});
