/**
 * A destination that is dead and owed a million instances (a hundred thousand in the short form): what the ledger reads
 * for anything it is asked stays what it reads without, nothing of the backlog is taken into memory, and a destination
 * that is well gets its studies meanwhile. Counted in rows that Postgres reads, not in time.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/archive/database/database.ts';
import { createLog } from '../../src/log.ts';
import { createDeliveryList, type DeliveryList } from '../../src/routing/delivery-list.ts';
import { createLedger, type Ledger } from '../../src/routing/ledger.ts';
import { type BackDoor, openBackDoor } from '../forwarding/back-door.ts';
import { type ScriptedPacs, startScriptedPacs } from '../forwarding/scripted-pacs.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { limitMs, times } from './scale.ts';

/** Instances owed: half of them one a delivery, half of them in deliveries of a thousand. */
const OWED = times(100_000, 1_000_000);
const STUDY_OF = 1000;

let door: BackDoor;
let pacs: ScriptedPacs;
/** One connection, so that its statistics are all there is. */
let database: Database;
let ledger: Ledger;
let list: DeliveryList;
const without = new Map<string, number>();

beforeAll(
  async () => {
    pacs = await startScriptedPacs();
    door = await openBackDoor({ idle: true, backoff: { firstMs: 300, capMs: 300, horizonMs: 1e9 } });
    database = openDatabase(door.db.connection, {
      log: createLog('silent', 'test'),
      max: 1,
      statementTimeoutMs: 120_000,
    });
    ledger = createLedger({ database, nodeName: 'counted' });
    list = createDeliveryList({ database });
    const port = await freePort();
    await door.destination('dead', {
      kind: 'dimse',
      host: '127.0.0.1',
      port,
      aeTitle: 'DEAD',
      maxAssociations: 8,
    });
    await door.destination('well', { kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' });
    await givenStableStudy(door.database, { store: door.store, instances: 1 });
    await owe('well', 'w', 300, 1);
    await database.query('analyze');
  },
  limitMs(120_000, 600_000),
);
afterAll(async () => {
  await database.close();
  await door.close();
  await pacs.stop();
});

/** Debts as owe.ts writes them, all of one object. On the counted connection: another would tell what it read much later. */
async function owe(destination: string, prefix: string, deliveries: number, each: number): Promise<void> {
  for (let from = 1; from <= deliveries; from += 50_000) {
    const to = Math.min(deliveries, from + 50_000 - 1);
    await database.query(
      `with d as (insert into delivery (study_uid, destination) select $1 || '.' || n, $2 from generate_series($3::int, $4::int) n
         returning id)
       insert into delivery_instance (delivery, sop_uid, content_hash, object)
       select d.id, '1.2.' || d.id || '.' || n, '\\x00', (select min(id) from object) from d cross join generate_series(1, $5::int) n`,
      [`9.${prefix}`, destination, from, to, each],
    );
  }
}

async function rowsRead(work: () => Promise<unknown>): Promise<number> {
  const total = async (): Promise<number> => {
    await database.query('select pg_stat_force_next_flush()');
    const { rows } = await database.query<{ read: number }>(
      `select ((select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_user_tables)
         + (select sum(idx_tup_read) from pg_stat_user_indexes))::bigint as read`,
    );
    return rows[0]!.read;
  };
  const before = await total();
  await work();
  return (await total()) - before;
}

const idOf = async (destination: string): Promise<number> => {
  const { rows } = await database.query<{ id: number }>(
    'select max(id) as id from delivery where destination = $1',
    [destination],
  );
  return rows[0]!.id;
};

/** What is asked all the time, and what a person asks. */
const asked: [string, () => Promise<unknown>][] = [
  [
    'a claim, and its end',
    async () => {
      const claimed = (await ledger.claim())!;
      expect(claimed.destination.name).toBe('well');
      await ledger.finish(claimed.lease, { kind: 'release' });
    },
  ],
  [
    'a claim for a delivery',
    async () => {
      const claimed = (await ledger.claim(await idOf('well')))!;
      await ledger.finish(claimed.lease, { kind: 'release' });
    },
  ],
  [
    'a page of a delivery under way',
    async () => {
      const claimed = (await ledger.claim())!;
      await ledger.owedInstances(claimed.lease, 1, 32);
      await ledger.finish(claimed.lease, { kind: 'release' });
    },
  ],
  ['what the clocks arm', async () => expect((await ledger.window(16)).length).toBeLessThanOrEqual(2 * 16)],
  ['leases that ran out', () => ledger.returnExpired()],
  ['leases of this node', () => ledger.returnOwn()],
  ['a page of one destination', () => list.list({ destination: 'well', limit: 100, offset: 0 })],
  ['a page of what is parked', () => list.list({ state: 'parked', limit: 100, offset: 0 })],
  ['what is parked of one', () => list.list({ destination: 'well', state: 'parked', limit: 100, offset: 0 })],
  ['what awaits commitment', () => list.list({ state: 'committing', limit: 100, offset: 0 })],
  ['the deliveries of a study', () => list.list({ study: '9.w.7', limit: 100, offset: 0 })],
];

test.each(asked)('%s, while nothing else is owed', async (name, ask) => {
  await ask();
  without.set(name, await rowsRead(ask));
});

describe(`with ${OWED} instances owed to a dead PACS`, () => {
  beforeAll(
    async () => {
      await database.query(
        `insert into study (study_uid, patient, attributes, stable_version)
         select '9.d.' || n, (select min(id) from patient), '{}', 1 from generate_series(1, $1::int) n`,
        [OWED / 2],
      );
      await owe('dead', 'd', OWED / 2, 1);
      await owe('dead', 'e', OWED / 2 / STUDY_OF, STUDY_OF);
      await database.query(
        `update destination set faults = 9, down_until = now() + interval '1 hour' where name = 'dead'`,
      );
      await database.query('vacuum analyze').catch(() => database.query('analyze'));
    },
    limitMs(300_000, 1_200_000),
  );

  test.each(asked)('%s reads no more than without', async (name, ask) => {
    await ask();
    const read = await rowsRead(ask);
    // A few rows of the other destination itself, and what routing reads beside us: nothing like the backlog.
    expect(read, `${without.get(name)} without`).toBeLessThanOrEqual(without.get(name)! + 1000);
  });

  test('also when it is the turn of one delivery to ask whether it is back', async () => {
    await database.query(`update destination set down_until = now() where name = 'dead'`);
    const served = `update destination set served_at = case name when 'dead' then now() - interval '1 h' else now() end`;
    await database.query(served);
    const read = await rowsRead(async () => {
      const claimed = (await ledger.claim())!;
      expect(claimed).toMatchObject({ destination: { name: 'dead' }, probing: true });
      await ledger.owedKinds(claimed.lease);
      await ledger.owedInstances(claimed.lease, 1, 32);
      await ledger.finish(claimed.lease, { kind: 'retry', down: true, reason: 'PACS cannot be reached' });
    });
    expect(read).toBeLessThan(2000);
  });

  test(
    'a destination that is well gets its studies, and the dead one is asked by one at a time',
    async () => {
      await database.query(`delete from delivery where destination = 'well'`);
      await database.query(`update destination set down_until = now() where name = 'dead'`);
      await door.rule('all', { send: ['well'] });
      await door.forwarding.start();
      const studies = times(10, 40);
      for (let n = 0; n < studies; n++)
        await givenStableStudy(door.database, { store: door.store, instances: 2 });
      const count = async (): Promise<number> => {
        const { rows } = await door.database.query<{ count: number }>(
          `select count(*) from delivery where destination = 'well' and state = 'delivered'`,
        );
        return rows[0]!.count;
      };
      await expect.poll(count, { timeout: limitMs(60_000, 240_000), interval: 100 }).toBe(studies);
      expect(pacs.asked).toHaveLength(2 * studies);
      const { rows } = await door.database.query<{ tried: number; parked: number }>(
        `select count(*) filter (where attempts > 0) as tried, count(*) filter (where state = 'parked') as parked
         from delivery where destination = 'dead'`,
      );
      expect(rows[0]!.parked, 'nothing is given up because it is dead').toBe(0);
      expect(rows[0]!.tried, 'the same one asks each time').toBeLessThanOrEqual(3);
    },
    limitMs(120_000, 400_000),
  );

  test(
    'a person cancels it whole',
    async () => {
      await door.forwarding.stop(2000);
      expect(await door.routing.orders.cancelAll('dead', 'me')).toBe(OWED / 2 + OWED / 2 / STUDY_OF);
    },
    limitMs(120_000, 600_000),
  );
});
