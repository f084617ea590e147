/** Postgres goes away while a modality sends: every object is taken, nobody waits without end, all is there afterwards. */
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OutboundAssociation, openAssociation } from '../../src/dimse/outbound-association.ts';
import { type AnObject, anObject, aSeries, CT, EXPLICIT } from '../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { wrongCounts } from './intake/rig.ts';

let house: House;
let proxy: TcpProxy;
let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
  const { host, port } = db.connection;
  proxy = await startTcpProxy({ path: `${host}/.s.PGSQL.${port}` });
  house = await openHouse({
    DATABASE_URL: `postgres://${db.connection.user}@127.0.0.1:${proxy.port}/${db.connection.database}`,
  });
});
afterEach(async () => {
  await house?.close();
  await proxy?.stop();
  await db?.drop();
});

const associate = (): Promise<OutboundAssociation> =>
  openAssociation({
    host: '127.0.0.1',
    port: house.dicomPort,
    callingAeTitle: 'CT_1',
    calledAeTitle: 'ISOCENTER',
    contexts: [{ abstractSyntax: CT, transferSyntaxes: [EXPLICIT] }],
  });
async function send(association: OutboundAssociation, { declared, dataSet }: AnObject): Promise<number> {
  const { status } = await association.store(declared, bytes(dataSet));
  return status;
}
async function* bytes(dataSet: Buffer): AsyncGenerator<Uint8Array> {
  yield dataSet;
}
const ready = async (): Promise<number> => (await fetch(`${house.url}/health/ready`)).status;
const instances = async (): Promise<unknown> =>
  (await db.database.query('select count(*) as n from instance')).rows[0]!.n;

async function allIndexed(objects: AnObject[]): Promise<void> {
  await eventually(
    async () => ((await instances()) === objects.length ? true : undefined),
    'the index',
    40_000,
  );
  for (const object of objects) {
    const answer = await fetch(`${house.url}/api/instances/${object.sop}/original`);
    const file = Buffer.from(await answer.arrayBuffer());
    expect(file.subarray(-object.dataSet.length).equals(object.dataSet)).toBe(true);
  }
  expect(await wrongCounts(db)).toEqual([]);
  expect((await db.database.query('select * from quarantine')).rows).toEqual([]);
}

describe('while Postgres is away', () => {
  it('objects are taken, the release is answered after 5 s, a STOW gets 503, and all is indexed when it is back', async () => {
    expect(await ready()).toBe(200);
    const objects = aSeries(10);
    const association = await associate();
    for (const object of objects.slice(0, 4)) expect(await send(association, object)).toBe(0);
    await proxy.cut();
    for (const object of objects.slice(4)) expect(await send(association, object)).toBe(0);
    const before = Date.now();
    await association.release();
    // Bounds, not measures: it waited for the index, and not for ever.
    expect(Date.now() - before).toBeGreaterThan(3000);
    expect(Date.now() - before).toBeLessThan(9900);
    const answer = await fetch(`${house.url}/health/ready`);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(await fetch(`${house.url}/health/live`)).toMatchObject({ status: 200 });
    expect(await (await fetch(`${house.url}/metrics`)).text()).toContain('isocenter_objects_stored_total 10');
    const late = anObject();
    const stow = await stowOf(late);
    expect(stow.status).toBe(503);
    expect(stow.headers.get('retry-after')).toBe('5');
    await proxy.mend();
    await allIndexed([...objects, late]);
    expect(await ready()).toBe(200);
  });

  it('and only hangs, nobody waits longer than 5 s: not ready, metrics, QIDO, the release nor the end', async () => {
    const objects = aSeries(6);
    const association = await associate();
    for (const object of objects.slice(0, 2)) expect(await send(association, object)).toBe(0);
    const asked = async (path: string): Promise<{ status: number; text: string; ms: number }> => {
      const before = Date.now();
      const answer = await fetch(`${house.url}${path}`, { signal: AbortSignal.timeout(30_000) });
      return { status: answer.status, text: await answer.text(), ms: Date.now() - before };
    };
    proxy.hang();
    for (const object of objects.slice(2)) expect(await send(association, object)).toBe(0);
    const [qido, notReady, metrics] = await Promise.all([
      asked('/dicom-web/studies'),
      asked('/health/ready'),
      asked('/metrics'),
    ]);
    // Bounds of a promise, with room for a busy machine.
    for (const answer of [qido, notReady, metrics]) expect(answer.ms).toBeLessThan(7000);
    expect([qido.status, notReady.status, metrics.status]).toEqual([503, 503, 200]);
    expect(JSON.parse(notReady.text)).toMatchObject({
      ready: false,
      database: { away: expect.any(String), since: expect.any(String) },
      store: 'ok',
      journal: { heldObjects: expect.any(Number) },
    });
    expect(await asked('/dicom-web/studies')).toMatchObject({ status: 503 });
    await association.release();
    await eventually(async () => {
      const { text } = await asked('/metrics');
      return /isocenter_up\{kind="index"\} 0/.test(text) && /isocenter_journal_held_objects [4-6]/.test(text)
        ? true
        : undefined;
    }, 'the word of the metrics');
    const before = Date.now();
    await house.isocenter.stop();
    expect(Date.now() - before).toBeLessThan(7000);
    await proxy.mend();
    await house.restart();
    await allIndexed(objects);
  });

  it('a restart finds what was taken: nothing is acknowledged that only memory knew', async () => {
    const objects = aSeries(6);
    const association = await associate();
    await proxy.cut();
    for (const object of objects) expect(await send(association, object)).toBe(0);
    association.abort();
    const stopped = house.isocenter.stop();
    await stopped;
    await proxy.mend();
    await house.restart();
    await allIndexed(objects);
    // The aborted association does not keep its study from being stable.
    await eventually(async () => {
      const { rows } = await db.database.query('select 1 from study where stable_version = version');
      return rows.length === 1 ? true : undefined;
    }, 'stability');
  });

  it('and lets nobody in when it is back at first: that is away too, not a fault of the objects', async () => {
    const objects = aSeries(5);
    const association = await associate();
    expect(await send(association, objects[0]!)).toBe(0);
    const admin = await testDatabase({ migrated: false });
    const name = db.connection.database;
    await admin.database.query(`alter database ${name} allow_connections false`);
    await admin.database.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [
      name,
    ]);
    for (const object of objects.slice(1)) expect(await send(association, object)).toBe(0);
    await association.release();
    expect(await ready()).toBe(503);
    await admin.database.query(`alter database ${name} allow_connections true`);
    await admin.drop();
    await allIndexed(objects);
  });
});

function stowOf(object: AnObject): Promise<Response> {
  const meta = (element: number, text: string): Buffer => {
    const value = Buffer.from(text.length % 2 === 0 ? text : `${text}\0`);
    const head = Buffer.from([2, 0, element, 0, 0x55, 0x49, value.length, 0]);
    return Buffer.concat([head, value]);
  };
  const file = Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    meta(2, object.declared.sopClassUid),
    meta(3, object.sop),
    meta(0x10, object.declared.transferSyntaxUid),
    object.dataSet,
  ]);
  return fetch(`${house.url}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'Content-Type': 'multipart/related; type="application/dicom"; boundary=b' },
    body: Buffer.concat([
      Buffer.from('--b\r\nContent-Type: application/dicom\r\n\r\n'),
      file,
      Buffer.from('\r\n--b--\r\n'),
    ]),
  });
}

it('the proxy of this suite cuts and mends', async () => {
  await proxy.cut();
  const refused = await new Promise((resolve) => {
    net
      .connect(proxy.port, '127.0.0.1')
      .on('error', () => resolve(true))
      .on('connect', () => resolve(false));
  });
  expect(refused).toBe(true);
  await proxy.mend();
});
