import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { followOnce } from '../../src/archive/change-feed.ts';
import { type Database, openDatabase } from '../../src/archive/database/database.ts';
import type { ObjectReader } from '../../src/archive/read-object.ts';
import { Failure } from '../../src/failure.ts';
import { createLog } from '../../src/log.ts';
import { createDeliveryList } from '../../src/routing/delivery-list.ts';
import { createDeliveryOrders } from '../../src/routing/delivery-orders.ts';
import { createLedger } from '../../src/routing/ledger.ts';
import { routeQuietSeries } from '../../src/routing/quiet-series.ts';
import { ROUTED_KINDS, routeChanges } from '../../src/routing/route-study.ts';
import { createRoutingTable, type RoutingTable } from '../../src/routing/routing-table.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { givenStableStudy, givenStudy, noBytes } from './given-study.ts';

const log = createLog('silent', 'test');

let db: TestDatabase;
let database: Database;
let table: RoutingTable;
let reader: ObjectReader;

beforeEach(async () => {
  db = await testDatabase();
  database = db.database;
  table = createRoutingTable({ database, log });
  routed = [];
  reader = noBytes;
  await table.putDestination(
    'pacs',
    { kind: 'dimse', host: '127.0.0.1', port: 11113, aeTitle: 'PACS' },
    'me',
  );
  await table.putDestination(
    'cloud',
    { kind: 'stow', url: 'http://10.9.8.7/dicom-web', aeTitle: 'CLOUD' },
    'me',
  );
});
afterEach(() => db.drop());

const parts = () => ({ database, table, reader, stableAgeS: 0, log });
let afterRouting = (): void => undefined;
let routed: (string | null | undefined)[] = [];
const follow = () =>
  followOnce({
    database,
    name: 'routing',
    kinds: ROUTED_KINDS,
    log,
    async handle(tx, changes) {
      await routeChanges(parts(), tx, changes);
      routed.push(...changes.map((change) => change.sopUid));
      afterRouting();
    },
  });
/** To the end of the feed. Transactions of other suites in the same Postgres may hold it up for a moment. */
async function followAll(): Promise<void> {
  for (const until = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    while ((await follow()) > 0);
    const { rows } = await database.query<{ left: number }>(
      `select count(*) as left from change c where (c.xid, c.id) > (select f.xid, f.id from follower f where name = 'routing')`,
    );
    if (rows[0]?.left === 0) return;
    if (Date.now() > until) throw new Error('the feed did not move for 20 s');
  }
}

const decisions = async () =>
  (
    await database.query<{
      rule: string;
      rule_version: number;
      matched: boolean;
      reason: string;
      unit: string;
      held: boolean;
    }>(
      'select rule, rule_version, matched, reason, unit, seen, met, study_version, decided, held from decision order by id',
    )
  ).rows;
const debts = async () =>
  (
    await database.query<{
      destination: string;
      state: string;
      priority: number;
      rules: string[];
      sops: string[];
      held: boolean;
    }>(
      `select d.destination, d.state, d.priority, d.rules, d.held,
         array(select split_part(i.sop_uid, '.', -1) || '.' || i.state from delivery_instance i where i.delivery = d.id order by i.id) as sops
       from delivery d order by d.destination`,
    )
  ).rows;
const rule = (name: string, body: object) => table.putRule(name, body, 'me');

describe('a stable study', () => {
  test('is owed where a rule matches, and every rule says why', async () => {
    await rule('ct', { when: { Modality: 'CT' }, send: ['pacs'], priority: 5 });
    await rule('mr', { when: { Modality: 'MR' }, send: ['cloud'] });
    await rule('off', { when: {}, send: ['cloud'], enabled: false });
    await givenStableStudy(database);
    await followAll();
    expect(await decisions()).toMatchObject([
      { rule: 'off', matched: false, reason: 'the rule is switched off' },
      { rule: 'ct', matched: true, reason: 'Modality is "CT"; 2 owed to pacs' },
      { rule: 'mr', matched: false, reason: 'none of 2 instances meets it: Modality is not "MR" (2)' },
    ]);
    expect(await debts()).toMatchObject([
      { destination: 'pacs', state: 'owed', priority: 5, rules: ['ct'], sops: ['1.owed', '2.owed'] },
    ]);
  });

  test('of many pages is looked at to its last instance', async () => {
    await rule('last', { when: { InstanceNumber: 1100 }, send: ['pacs'] });
    await rule('none', { when: { InstanceNumber: 1101 }, send: ['pacs'] });
    await rule('one', { when: { InstanceNumber: 1100 }, at: 'instance', send: ['cloud'] });
    await givenStableStudy(database, { instances: 1100, pixelBytes: 1 });
    await followAll();
    expect(await decisions()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ rule: 'last', matched: true, seen: 1100 }),
        expect.objectContaining({ rule: 'none', matched: false, seen: 1100 }),
        expect.objectContaining({ rule: 'one', matched: true, seen: 1, met: 1 }),
        expect.objectContaining({ rule: 'one', matched: false, seen: 1099, met: 0 }),
      ]),
    );
    expect((await debts()).map(({ destination, sops }) => [destination, sops.length])).toEqual([
      ['cloud', 1],
      ['pacs', 1100],
    ]);
  });

  test('is told of a rule that nobody can read any more, and goes by the others', async () => {
    await rule('all', { when: {}, send: ['pacs'] });
    await rule('older', { when: { Modality: 'CT' }, at: 'instance', send: ['pacs'] });
    await database.query(`update rule set body = body || '{"when":{"Modalty":"CT"}}' where name = 'older'`);
    table = createRoutingTable({ database, log });
    await givenStableStudy(database);
    await followAll();
    expect(await decisions()).toMatchObject([
      { rule: 'older', matched: false, reason: expect.stringMatching(/cannot read the rule/) },
      { rule: 'all', matched: true },
    ]);
  });

  test('is owed once to a destination that two rules name, at the higher priority', async () => {
    await rule('a', { when: { Modality: 'CT' }, send: ['pacs'], priority: 1 });
    await rule('b', { when: { present: 'StudyDate' }, send: ['pacs', 'cloud', 'pacs'], priority: 7 });
    await givenStableStudy(database);
    await followAll();
    expect(await debts()).toMatchObject([
      { destination: 'cloud', rules: ['b'], sops: ['1.owed', '2.owed'] },
      { destination: 'pacs', rules: ['a', 'b'], priority: 7, sops: ['1.owed', '2.owed'] },
    ]);
  });

  test('is not sent back to the AE title it came from', async () => {
    await rule('all', { when: {}, send: ['pacs', 'cloud'] });
    const { studyUid } = await givenStudy(database, { from: { kind: 'dimse', callingAe: 'PACS' } });
    await givenStableStudy(database, {
      studyUid,
      instances: [3, 3],
      from: { kind: 'dimse', callingAe: 'CT1' },
    });
    await givenStableStudy(database, { from: { kind: 'dimse', callingAe: 'Cloud' } });
    await followAll();
    const owed = await debts();
    expect(owed).toHaveLength(3);
    expect(owed.filter((one) => one.destination === 'pacs').map((one) => one.sops)).toEqual([
      ['3.owed'],
      ['1.owed', '2.owed'],
    ]);
    expect((await decisions()).map((one) => one.reason)).toEqual([
      'the rule has no condition; 3 owed to cloud, 1 owed to pacs, 2 came from there and are not sent back',
      'the rule has no condition; nothing for cloud, which sent it to us, 2 owed to pacs',
    ]);
  });

  test('is not sent back to the address a STOW came from, where that can be known', async () => {
    await rule('all', { when: {}, send: ['cloud'] });
    await table.putDestination('local', { kind: 'stow', url: 'http://127.0.0.1:8043/dicom-web' }, 'me');
    await rule('local', { when: {}, send: ['local'] });
    await givenStableStudy(database, { from: { kind: 'stow', address: '10.9.8.7' } });
    await givenStableStudy(database, { from: { kind: 'stow', address: '127.0.0.1' } });
    await followAll();
    expect((await debts()).map((one) => one.destination)).toEqual(['cloud', 'local', 'local']);
  });

  test('that got late images owes only these, also after it was delivered', async () => {
    await rule('ct', { when: { Modality: 'CT' }, send: ['pacs'] });
    const { studyUid } = await givenStableStudy(database);
    await followAll();
    await database.query(`update delivery_instance set state = 'delivered'`);
    await database.query(`update delivery set state = 'delivered', delivered_at = now()`);
    await givenStableStudy(database, { studyUid, instances: [2, 3] });
    await followAll();
    expect(await debts()).toMatchObject([{ state: 'owed', sops: ['1.delivered', '2.delivered', '3.owed'] }]);
    expect((await decisions()).map((one) => one.reason)).toEqual([
      'Modality is "CT"; 2 owed to pacs',
      'Modality is "CT"; 1 owed to pacs, 2 were before',
    ]);
  });

  test('sent again unchanged owes nothing again', async () => {
    await rule('ct', { when: {}, send: ['pacs'] });
    const { studyUid } = await givenStableStudy(database);
    await followAll();
    await database.query(`update delivery_instance set state = 'delivered'`);
    await database.query(`update delivery set state = 'delivered'`);
    await givenStableStudy(database, { studyUid });
    await followAll();
    expect(await debts()).toMatchObject([{ state: 'delivered', sops: ['1.delivered', '2.delivered'] }]);
  });

  test('whose delivery a person cancelled is not owed by late images', async () => {
    await rule('ct', { when: {}, send: ['pacs'] });
    const { studyUid } = await givenStableStudy(database);
    await followAll();
    await database.query(`update delivery set state = 'cancelled'`);
    await givenStableStudy(database, { studyUid, instances: [3, 3] });
    await followAll();
    expect(await debts()).toMatchObject([{ state: 'cancelled' }]);
    expect((await decisions()).at(-1)?.reason).toMatch(/cancelled by a person/);
  });

  test('that went on changing is looked at when it is stable again, not before', async () => {
    await rule('ct', { when: {}, send: ['pacs'] });
    const { studyUid } = await givenStableStudy(database);
    await givenStudy(database, { studyUid, instances: [3, 3] });
    await followAll();
    expect(await debts()).toEqual([]);
    await givenStableStudy(database, { studyUid, instances: [4, 4] });
    await followAll();
    expect(await debts()).toMatchObject([{ sops: ['1.owed', '2.owed', '3.owed', '4.owed'] }]);
  });

  test('keeps one decision per version of rule and study, however often it is routed', async () => {
    await rule('ct', { when: {}, send: ['pacs'] });
    await givenStableStudy(database);
    await followAll();
    await database.query(`update follower set xid = '0', id = 0`);
    await followAll();
    expect(await decisions()).toHaveLength(1);
    expect(await debts()).toMatchObject([{ sops: ['1.owed', '2.owed'] }]);
  });
});

describe('a held study', () => {
  test('owes nothing until it is released, and then what it would have owed', async () => {
    await rule('ct', { when: {}, send: ['pacs'] });
    await rule('each', { when: {}, at: 'instance', send: ['cloud'] });
    const { studyUid } = await givenStudy(database);
    await database.query(`update study set held = 'a conflict'`);
    await givenStableStudy(database, { studyUid, instances: [3, 3] });
    await followAll();
    expect(await debts()).toEqual([]);
    expect(
      (await decisions()).every((one) => !one.matched && one.reason.startsWith('the study is held')),
    ).toBe(true);

    await database.query('update study set held = null');
    await database.query(
      `insert into change (kind, study_uid, study_version) select 'study-released', study_uid, version from study`,
    );
    await followAll();
    const all = ['1.owed', '2.owed', '3.owed'];
    expect(await debts()).toMatchObject([
      { destination: 'cloud', sops: all },
      { destination: 'pacs', sops: all },
    ]);
    expect(
      (await decisions()).map(({ rule, matched, held }) => ({ rule, matched, held })),
      'what was decided while it was held still stands',
    ).toEqual([
      { rule: 'each', matched: false, held: true },
      { rule: 'ct', matched: false, held: true },
      { rule: 'each', matched: true, held: false },
      { rule: 'ct', matched: true, held: false },
    ]);
  });

  test('and released counts each instance once, however often it was looked at', async () => {
    await rule('each', { when: { InstanceNumber: 1 }, at: 'instance', send: ['pacs'] });
    const { studyUid } = await givenStudy(database);
    await followAll();
    const turn = async (held: string | null, kind: string) => {
      await database.query('update study set held = $1', [held]);
      await database.query(
        'insert into change (kind, study_uid, study_version) select $1, study_uid, version from study',
        [kind],
      );
      await followAll();
    };
    await turn('a conflict', 'study-held');
    await givenStudy(database, { studyUid, instances: [3, 3] });
    await followAll();
    await turn(null, 'study-released');
    expect((await decisions()).filter(({ held }) => !held)).toMatchObject([
      { matched: true, seen: 1, met: 1 },
      { matched: false, seen: 2, met: 0 },
    ]);
  });

  test('also stops what was owed before', async () => {
    await rule('ct', { when: {}, send: ['pacs'] });
    await givenStableStudy(database);
    await followAll();
    const ledger = createLedger({ database, nodeName: 'n' });
    await database.query(`update study set held = 'a conflict'`);
    expect(await ledger.claim(), 'before the feed says so').toBeUndefined();
    await database.query(
      `insert into change (kind, study_uid, study_version) select 'study-held', study_uid, version from study`,
    );
    await followAll();
    expect(await debts()).toMatchObject([{ held: true }]);
    expect(await ledger.window(5)).toEqual([]);
    await database.query('update study set held = null');
    await database.query(
      `insert into change (kind, study_uid, study_version) select 'study-released', study_uid, version from study`,
    );
    await followAll();
    expect(await ledger.claim()).toBeDefined();
  });
});

describe('a rule that asks for a person', () => {
  test('stops what is being sent there', async () => {
    await rule('each', { when: {}, at: 'instance', send: ['pacs'] });
    const { studyUid } = await givenStudy(database);
    await followAll();
    const ledger = createLedger({ database, nodeName: 'n' });
    const claimed = await ledger.claim();
    expect(await ledger.owedInstances(claimed!.lease, 0, 10)).toHaveLength(2);
    await rule('look', { when: {}, send: ['pacs'], hold: true });
    await table.putRule('each', { when: {}, at: 'instance', send: ['pacs'], enabled: false }, 'me');
    await givenStableStudy(database, { studyUid, instances: [3, 3] });
    await followAll();
    expect(await ledger.owedInstances(claimed!.lease, 0, 10)).toEqual([]);
  });

  test.each([
    ['before', 'a'],
    ['after', 'z'],
  ])('is obeyed where another rule owes the same, asked %s it', async (_order, name) => {
    await rule('plain', { when: {}, send: ['pacs'] });
    await rule(name, { when: {}, send: ['pacs'], hold: true });
    await givenStableStudy(database);
    await followAll();
    expect(await debts()).toMatchObject([{ destination: 'pacs', held: true, sops: ['1.owed', '2.owed'] }]);
    expect(await createLedger({ database, nodeName: 'n' }).claim()).toBeUndefined();
  });

  test('of what was sent already stops nothing', async () => {
    await rule('each', { when: {}, at: 'instance', send: ['pacs'] });
    await rule('look', { when: {}, send: ['pacs'], hold: true });
    const { studyUid } = await givenStudy(database);
    await followAll();
    await database.query(`update delivery_instance set state = 'delivered'`);
    await database.query(`update delivery set state = 'delivered', delivered_at = now()`);
    await givenStableStudy(database, { studyUid, instances: [2, 2] });
    await followAll();
    expect(await debts()).toMatchObject([{ state: 'delivered', held: false }]);
  });

  test('owes what waits until somebody releases it; late images do not wait again', async () => {
    await rule('look', { when: {}, send: ['pacs'], hold: true });
    await rule('plain', { when: {}, send: ['cloud'] });
    const { studyUid } = await givenStableStudy(database);
    await followAll();
    expect((await decisions())[0]).toMatchObject({
      reason: 'the rule has no condition; 2 owed to pacs once a person releases it',
    });
    const ledger = createLedger({ database, nodeName: 'n' });
    expect((await ledger.claim())?.destination.name).toBe('cloud');
    expect(await ledger.claim(), 'pacs waits').toBeUndefined();
    // A conflict that is settled meanwhile lets nothing go that a person has not seen.
    for (const [held, kind] of [
      ['a conflict', 'study-held'],
      [null, 'study-released'],
    ]) {
      await database.query('update study set held = $1', [held]);
      await database.query(
        'insert into change (kind, study_uid, study_version) select $1, study_uid, version from study',
        [kind],
      );
      await followAll();
    }
    expect(await ledger.claim(), 'pacs waits still').toBeUndefined();

    const deliveries = createDeliveryList({ database });
    const orders = createDeliveryOrders({ database, table, deliveries });
    const [waiting, ...others] = await deliveries.list({ waits: true, limit: 10, offset: 0 });
    expect([waiting?.destination, others]).toEqual(['pacs', []]);
    expect(await orders.release(waiting!.id, 'ann')).toMatchObject({ waits: false, state: 'owed' });
    await expect(orders.release(waiting!.id, 'ann')).rejects.toMatchObject({ kind: 'conflict' });
    await expect(orders.release(4711, 'ann')).rejects.toMatchObject({ kind: 'not-found' });
    const claimed = await ledger.claim();
    expect(claimed?.destination.name).toBe('pacs');
    await database.query(`update delivery_instance set state = 'delivered'`);
    await database.query(`update delivery set state = 'delivered', delivered_at = now()`);
    await givenStableStudy(database, { studyUid, instances: [3, 3] });
    await followAll();
    expect((await ledger.claim(waiting!.id))?.destination.name, 'a late image').toBe('pacs');
  });
});

describe('a rule at instance', () => {
  test('owes each instance as it is stored, and counts in one decision', async () => {
    await rule('each', { when: { InstanceNumber: { to: 3 } }, at: 'instance', send: ['pacs'] });
    const { studyUid } = await givenStudy(database);
    await followAll();
    expect(await debts()).toMatchObject([{ sops: ['1.owed', '2.owed'] }]);
    await givenStudy(database, { studyUid, instances: [3, 4] });
    await followAll();
    expect(await debts()).toMatchObject([{ sops: ['1.owed', '2.owed', '3.owed'] }]);
    expect(await decisions(), 'one counts those that met it, one those that did not').toMatchObject([
      {
        rule: 'each',
        matched: true,
        seen: 3,
        met: 3,
        reason: 'InstanceNumber lies in the range to 3; the first of them: 2 owed to pacs',
        decided: [{ path: 'when.InstanceNumber', attribute: 'InstanceNumber', held: true }],
      },
      {
        rule: 'each',
        matched: false,
        seen: 1,
        met: 0,
        reason: 'InstanceNumber lies outside the range to 3',
        decided: [{ path: 'when.InstanceNumber', attribute: 'InstanceNumber', held: false }],
      },
    ]);
  });

  test('and one at study-stable owe the same instance once', async () => {
    await rule('each', { when: {}, at: 'instance', send: ['pacs'] });
    await rule('whole', { when: {}, send: ['pacs'] });
    await givenStableStudy(database);
    await followAll();
    expect(await debts()).toMatchObject([{ rules: ['each', 'whole'], sops: ['1.owed', '2.owed'] }]);
  });
});

describe('a rule at series-stable', () => {
  test('owes the series that are quiet, each by its own condition', async () => {
    await rule('ct', { when: { Modality: 'CT' }, at: 'series-stable', send: ['pacs'] });
    const { studyUid, seriesUid } = await givenStudy(database);
    await givenStudy(database, { studyUid, series: 2, modality: 'SR', instances: 1 });
    await followAll();
    expect(await routeQuietSeries({ ...parts(), stableAgeS: 3600 }), 'not quiet yet').toBe(0);
    expect(await routeQuietSeries(parts())).toBe(2);
    expect(await routeQuietSeries(parts())).toBe(0);
    expect(await debts()).toMatchObject([{ destination: 'pacs', sops: ['1.owed', '2.owed'] }]);
    expect(await decisions()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ unit: seriesUid, matched: true }),
        expect.objectContaining({ unit: `${studyUid.slice(0, 50)}.2`, matched: false }),
      ]),
    );
  });

  test('waits while an association for the study is open', async () => {
    await rule('ct', { when: {}, at: 'series-stable', send: ['pacs'] });
    await givenStudy(database);
    await followAll();
    await database.query(`insert into node (name) values ('test')`);
    expect(await routeQuietSeries(parts())).toBe(0);
    await database.query('update reception set closed_at = now()');
    expect(await routeQuietSeries(parts())).toBe(1);
  });
});

describe('conditions beyond the index', () => {
  test('are asked of the header in the store', async () => {
    await rule('dose', { when: { ExposureTime: { from: 100 } }, send: ['pacs'] });
    await givenStableStudy(database, { more: { ExposureTime: 120 } });
    reader = {
      hasAll: async () => {},
      read: noBytes.read,
      // (0018,1150) ExposureTime IS "120 "
      readRange: async () => Buffer.from('1800501149530400' + '31323020', 'hex'),
    };
    await followAll();
    expect(await debts()).toMatchObject([{ destination: 'pacs' }]);
    expect(await decisions()).toMatchObject([
      { matched: true, reason: 'ExposureTime lies in the range asked for; 2 owed to pacs' },
    ]);
  });

  test('of a private attribute, wherever its creator has its block', async () => {
    await rule('research', { when: { '(0019,"SITE A",0C)': 'TRIAL-*' }, send: ['pacs'] });
    await givenStableStudy(database, { instances: 1 });
    reader = {
      ...noBytes,
      // (0019,0010) LO "SITE B", (0019,0011) LO "SITE A", (0019,110C) LO "TRIAL-7 "
      readRange: async () =>
        Buffer.concat([
          Buffer.from('190010004c4f0600', 'hex'),
          Buffer.from('SITE B'),
          Buffer.from('190011004c4f0600', 'hex'),
          Buffer.from('SITE A'),
          Buffer.from('19000c114c4f0800', 'hex'),
          Buffer.from('TRIAL-7 '),
        ]),
    };
    await followAll();
    expect(await decisions()).toMatchObject([
      {
        matched: true,
        reason: '(0019,"SITE A",0C) is the value asked for; 1 owed to pacs',
        decided: [{ path: 'when.(0019,"SITE A",0C)', held: true }],
      },
    ]);
  });

  test('do without the header where it is broken, and wait where the store is away', async () => {
    await rule('dose', { when: { ExposureTime: { from: 100 } }, send: ['pacs'] });
    await givenStableStudy(database);
    reader = {
      hasAll: async () => {},
      read: noBytes.read,
      readRange: () => Promise.reject(new Failure('unavailable', 'S3 is away')),
    };
    await expect(followAll()).rejects.toMatchObject({ kind: 'unavailable' });
    reader = { ...noBytes, readRange: () => Promise.reject(new Failure('not-found', 'gone')) };
    await followAll();
    expect(await decisions()).toMatchObject([
      { matched: false, reason: 'none of 2 instances meets it: ExposureTime is absent (2)' },
    ]);
  });

  test('of the user of a STOW-RS request, the clock and the age of the study', async () => {
    const all = { from: '00:00', to: '24:00', zone: 'UTC' };
    await rule('uploads', {
      when: { StowUser: 'portal', Clock: all, StudyAge: { from: '1Y' } },
      send: ['pacs'],
    });
    await rule('new', { when: { StudyAge: { to: '1Y' } }, send: ['pacs'] });
    await givenStableStudy(database, { from: { kind: 'stow', actor: 'portal' } });
    await givenStableStudy(database);
    await followAll();
    expect(await decisions()).toMatchObject([
      { rule: 'new', matched: false },
      { rule: 'uploads', matched: true },
      { rule: 'new', matched: false },
      { rule: 'uploads', matched: false, reason: 'none of 2 instances meets it: StowUser is absent (2)' },
    ]);
  });

  test('of the association and the study', async () => {
    await rule('from-ct1', {
      when: { CallingAETitle: 'CT1', NumberOfStudyRelatedInstances: { from: 2 }, ModalitiesInStudy: 'CT' },
      send: ['pacs'],
    });
    await rule('from-ct2', { when: { CallingAETitle: 'CT2' }, send: ['cloud'] });
    await rule('called', {
      when: { CalledAETitle: 'ISOCENTER', SourceAddress: '10.1.1.1' },
      send: ['cloud'],
    });
    await givenStableStudy(database, {
      from: { kind: 'dimse', callingAe: 'CT1', calledAe: 'ISOCENTER', address: '10.1.1.1' },
    });
    await followAll();
    expect(await decisions()).toMatchObject([
      { rule: 'called', matched: true },
      { rule: 'from-ct1', matched: true },
      { rule: 'from-ct2', matched: false },
    ]);
  });
});

describe('the feed', () => {
  test('a change whose transaction commits last is routed, although its xid is lower', async () => {
    await rule('each', { when: {}, at: 'instance', send: ['pacs'] });
    const other = openDatabase(db.connection, { log, max: 2 });
    try {
      const early = await givenStudy(database, { instances: 1 });
      await followAll();
      let commit = (): void => undefined;
      const mayCommit = new Promise<void>((resolve) => {
        commit = resolve;
      });
      let began = (): void => undefined;
      const hasBegun = new Promise<void>((resolve) => {
        began = resolve;
      });
      const slow = other.transaction(async (tx) => {
        await tx.query(
          `insert into change (kind, study_uid, series_uid, sop_uid, study_version) values ('instance-stored', $1, $2, $3, 1)`,
          [early.studyUid, early.seriesUid, 'never-indexed'],
        );
        began();
        await mayCommit;
      });
      await hasBegun;
      const late = await givenStudy(database, { instances: 1 });
      await follow();
      expect((await debts()).length, 'nothing beyond the open transaction is read').toBe(1);
      commit();
      await slow;
      await followAll();
      const { rows } = await database.query<{ study_uid: string }>(
        'select study_uid from delivery order by id',
      );
      expect(rows.map((row) => row.study_uid)).toEqual([early.studyUid, late.studyUid]);
      expect(routed, 'in the order of their transactions').toEqual([
        early.sopUids[0],
        'never-indexed',
        late.sopUids[0],
      ]);
    } finally {
      await other.close();
    }
  });

  test('a batch that fails half way leaves nothing, and is routed whole the next time', async () => {
    await rule('ct', { when: {}, send: ['pacs'] });
    await givenStableStudy(database);
    afterRouting = () => {
      throw new Error('the power went');
    };
    await expect(followAll()).rejects.toThrow();
    afterRouting = () => undefined;
    expect([await decisions(), await debts()]).toEqual([[], []]);
    await followAll();
    expect(await debts()).toHaveLength(1);
  });
});
