/**
 * /api/aes from outside: what is put there holds at once on every receiver thread and node, and when the database is
 * away the last known list stands.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../src/archive/database/database.ts';
import { createLog } from '../../src/log.ts';
import { createAeTable } from '../../src/scp/ae-table.ts';
import { KNOWN_AE_EXAMPLES, shownAeSchema } from '../../src/scp/known-ae.ts';
import { createKnownList, type KnownList } from '../../src/scp/known-list.ts';
import { associateRequest, connectRaw, EXPLICIT, type RawPeer, type RawRequest } from '../dimse/raw-peer.ts';
import { testDatabase } from '../support/database.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

interface Shown {
  name: string;
  aeTitle: string;
  addresses: string[];
  open: number;
  changedBy: string;
}

function api(house: House, method: string, name: string, json?: object): Promise<Response> {
  return fetch(`${house.url}/api/aes${name === '' ? '' : `/${name}`}`, {
    method,
    ...(json && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }),
  });
}
const put = async (house: House, name: string, json: object): Promise<number> =>
  (await api(house, 'PUT', name, json)).status;

/** What answers an association request: 'accepted', or result, source and reason of the reject. */
async function call(house: House, calling: string, from?: string): Promise<string> {
  const peer = await connectRaw(house.dicomPort, from);
  peer.send(associateRequest({ calling }));
  const answer = await peer.next();
  peer.socket.destroy();
  return answer?.type === 2 ? 'accepted' : [...(answer?.body.subarray(1, 4) ?? [])].join('/');
}
/** Sixteen connections: the chance that the kernel gives all of them to one of two threads is 1 in 32,768. */
const callOften = async (house: House, calling: string): Promise<string[]> => [
  ...new Set(await Promise.all(Array.from({ length: 16 }, () => call(house, calling)))),
];

describe('a known AE', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ RECEIVERS: '2' });
  });
  afterAll(() => house?.close());

  it('is nobody at first: on loopback without a list any may call', async () => {
    expect(await (await api(house, 'GET', '')).json()).toEqual([]);
    expect(await callOften(house, 'CT1')).toEqual(['accepted']);
  });

  it('is put, shown, and holds on every thread when the answer is there', async () => {
    expect(await put(house, 'mr', { aeTitle: 'MR1' })).toBe(201);
    expect(await callOften(house, 'CT1')).toEqual(['1/1/3']);
    expect(await callOften(house, 'MR1')).toEqual(['accepted']);
    expect(await put(house, 'ct', { aeTitle: 'CT1', addresses: ['127.0.0.1', '10.0.0.0/8'] })).toBe(201);
    expect(await callOften(house, 'CT1')).toEqual(['accepted']);
    expect(await call(house, 'CT1', '127.0.0.2')).toBe('1/1/3');
    expect(await put(house, 'ct', { aeTitle: 'CT1', addresses: ['127.0.0.2'] })).toBe(200);
    expect(await callOften(house, 'CT1')).toEqual(['1/1/3']);
    expect(await call(house, 'CT1', '127.0.0.2')).toBe('accepted');
    const shown = (await (await api(house, 'GET', 'ct')).json()) as Shown;
    expect(shown).toMatchObject({ name: 'ct', aeTitle: 'CT1', addresses: ['127.0.0.2'], tls: 'optional' });
    expect(((await (await api(house, 'GET', '')).json()) as Shown[]).map(({ name }) => name)).toEqual([
      'ct',
      'mr',
    ]);
  });

  it('is answered as it is described, with all that it may say', async () => {
    const given = [
      ...Object.values(KNOWN_AE_EXAMPLES).map(({ value }) => value),
      {
        ...{ aeTitle: 'ALL', tls: 'required', certificate: { fingerprint: 'ab'.repeat(32) } },
        ...{ maxAssociations: 2, privateSopClasses: 'refuse', enabled: false, description: 'all' },
        ...{ host: 'localhost', port: 104, hostTls: true, serverName: 'other' },
      },
    ];
    for (const json of given) {
      const put = await api(house, 'PUT', 'described', { ...json, aeTitle: 'DESCRIBED' });
      expect(shownAeSchema.safeParse(await put.json()).error).toBeUndefined();
    }
    const list = (await (await api(house, 'GET', '')).json()) as unknown[];
    for (const one of list) expect(shownAeSchema.safeParse(one).error).toBeUndefined();
    expect((await api(house, 'DELETE', 'described')).status).toBe(204);
  });

  it('may be known twice, from another address each', async () => {
    expect(await put(house, 'ct-spare', { aeTitle: 'CT1', addresses: ['127.0.0.3'] })).toBe(201);
    expect(await call(house, 'CT1', '127.0.0.2')).toBe('accepted');
    expect(await call(house, 'CT1', '127.0.0.3')).toBe('accepted');
    expect(await call(house, 'CT1', '127.0.0.4')).toBe('1/1/3');
    expect((await api(house, 'DELETE', 'ct-spare')).status).toBe(204);
    expect(await call(house, 'CT1', '127.0.0.3')).toBe('1/1/3');
  });

  it('has its own limit, counted over all threads; one more is told to come later, and it is listed', async () => {
    await put(house, 'us', { aeTitle: 'US1', maxAssociations: 3 });
    const open: RawPeer[] = [];
    for (let n = 0; n < 3; n++) {
      const peer = await connectRaw(house.dicomPort);
      await peer.associate({ calling: 'US1' });
      open.push(peer);
    }
    expect(await callOften(house, 'US1')).toEqual(['2/3/2']);
    expect(await call(house, 'MR1')).toBe('accepted');
    expect(((await (await api(house, 'GET', 'us')).json()) as Shown).open).toBe(3);
    const refusals = await eventually(async () => {
      const rows = (await (await fetch(`${house.url}/api/refusals`)).json()) as {
        code: string;
        reason: string;
      }[];
      return rows.find(({ reason }) => reason.startsWith('US1 has 3 associations open'));
    }, 'the refusal');
    expect(refusals.code).toBe('limit');
    await put(house, 'us', { aeTitle: 'US1', maxAssociations: 4 });
    expect(await call(house, 'US1')).toBe('accepted');
    for (const peer of open) peer.socket.destroy();
    await eventually(
      async () => (((await (await api(house, 'GET', 'us')).json()) as Shown).open === 0 ? true : undefined),
      'free places',
    );
  });

  it('may be refused private SOP classes, which others may send', async () => {
    const proposal: RawRequest = {
      contexts: [{ id: 1, abstractSyntax: '1.3.12.2.1107.5.9.1', transferSyntaxes: [EXPLICIT] }],
    };
    const answer = async (calling: string): Promise<number | undefined> => {
      const peer = await connectRaw(house.dicomPort);
      const { results } = await peer.associate({ calling, ...proposal });
      peer.socket.destroy();
      return results.get(1)?.result;
    };
    await put(house, 'pet', { aeTitle: 'PET1', privateSopClasses: 'refuse' });
    expect(await answer('PET1')).toBe(3); // abstract syntax not supported, PS3.8 Table 9-18
    expect(await answer('MR1')).toBe(0);
  });

  it('that is disabled is not let in', async () => {
    await put(house, 'mr', { aeTitle: 'MR1', enabled: false });
    expect(await callOften(house, 'MR1')).toEqual(['1/1/3']);
    await put(house, 'mr', { aeTitle: 'MR1' });
  });

  it('is refused in words that name each field at fault', async () => {
    const response = await api(house, 'PUT', 'ct', {
      aeTitle: 'CT\\1',
      addresses: ['scanner'],
      color: 'red',
    });
    expect(response.status).toBe(400);
    const { message } = (await response.json()) as { message: string };
    expect(message).toMatch(
      /The known AE has 3 faults: aeTitle: .*backslash.*addresses\.0: .*color is not known here/,
    );
    expect((await api(house, 'PUT', 'a b', { aeTitle: 'CT1' })).status).toBe(400);
    expect((await api(house, 'GET', 'nobody')).status).toBe(404);
    expect((await api(house, 'DELETE', 'nobody')).status).toBe(404);
  });

  it('is known to another node in the same breath, and after a restart', async () => {
    const other = await openHouse({ DATABASE_URL: house.db.url, RECEIVERS: '1' });
    try {
      expect(await call(other, 'XA1')).toBe('1/1/3');
      await put(house, 'xa', { aeTitle: 'XA1' });
      await eventually(
        async () => ((await call(other, 'XA1')) === 'accepted' ? true : undefined),
        'the change on the other node',
        5000,
      );
      await api(house, 'DELETE', 'xa');
      await eventually(
        async () => ((await call(other, 'XA1')) === '1/1/3' ? true : undefined),
        'the removal on the other node',
        5000,
      );
    } finally {
      await other.close();
    }
    await house.restart();
    expect(await callOften(house, 'MR1')).toEqual(['accepted']);
    expect(await callOften(house, 'XX1')).toEqual(['1/1/3']);
  });

  it('may call when all are deleted but those of the environment', async () => {
    await house.restart({ KNOWN_AES: 'ENV1' });
    for (const { name } of (await (await api(house, 'GET', '')).json()) as Shown[])
      await api(house, 'DELETE', name);
    expect(await call(house, 'ENV1')).toBe('accepted');
    expect(await call(house, 'MR1')).toBe('1/1/3');
    await house.restart({ KNOWN_AES: '/api/aes' });
    expect(await call(house, 'ENV1')).toBe('1/1/3');
    await house.restart({ DICOM_PROMISCUOUS: '1' });
    expect(await call(house, 'ENV1')).toBe('accepted');
  });
});

describe('while the database is away', () => {
  it('who is known goes on, who is not stays out, and a change is answered 503', async () => {
    const db = await testDatabase();
    const { host, port, user, database } = db.connection;
    const proxy = await startTcpProxy({ path: path.join(host, `.s.PGSQL.${port}`) });
    const house = await openHouse({ DATABASE_URL: `postgres://${user}@127.0.0.1:${proxy.port}/${database}` });
    try {
      expect(await put(house, 'ct', { aeTitle: 'CT1' })).toBe(201);
      await proxy.cut();
      expect(await callOften(house, 'CT1')).toEqual(['accepted']);
      expect(await callOften(house, 'MR1')).toEqual(['1/1/3']);
      expect(await put(house, 'mr', { aeTitle: 'MR1' })).toBe(503);
      expect(await callOften(house, 'MR1')).toEqual(['1/1/3']);
    } finally {
      await proxy.mend();
      await house.close();
      await proxy.stop();
      await db.drop();
    }
  }, 60_000);

  it('the last known list stands, after a start too; without one nobody is known', async () => {
    const db = await testDatabase();
    const { host, port } = db.connection;
    const proxy = await startTcpProxy({ path: path.join(host, `.s.PGSQL.${port}`) });
    const folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-aes-'));
    const file = path.join(folder, 'known-aes.json');
    const log = createLog('silent', 'test');
    const open: { list: KnownList; close(): Promise<void> }[] = [];
    const start = async (keptIn: string): Promise<{ list: KnownList; changes: () => number }> => {
      const database = openDatabase({ ...db.connection, host: '127.0.0.1', port: proxy.port }, { log });
      let changes = 0;
      const onChange = async (): Promise<void> => void changes++;
      const list = createKnownList({ database, table: createAeTable(database), file: keptIn, onChange, log });
      await list.start();
      open.push({ list, close: () => list.stop().then(() => database.close()) });
      return { list, changes: () => changes };
    };
    const titles = (list: KnownList): string[] | undefined => list.current()?.map(({ aeTitle }) => aeTitle);
    try {
      const table = createAeTable(db.database);
      await table.put('ct', { aeTitle: 'CT1' }, 'test');
      const first = await start(file);
      expect(titles(first.list)).toEqual(['CT1']);
      expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject([{ name: 'ct', aeTitle: 'CT1' }]);

      await proxy.cut();
      expect(titles(first.list)).toEqual(['CT1']);
      const second = await start(file);
      expect(titles(second.list)).toEqual(['CT1']);
      const third = await start(path.join(folder, 'none.json'));
      expect(titles(third.list)).toBeUndefined();
      const damaged = path.join(folder, 'damaged.json');
      await writeFile(damaged, '[{"name":"ct"');
      expect(titles((await start(damaged)).list)).toBeUndefined();

      // Back again: what was changed meanwhile is heard without another change.
      await table.put('mr', { aeTitle: 'MR1' }, 'test');
      await proxy.mend();
      await eventually(
        async () => (titles(first.list)?.includes('MR1') ? true : undefined),
        'the change that was made meanwhile',
      );
    } finally {
      await Promise.all(open.map(({ close }) => close()));
      await proxy.stop();
      await db.drop();
      await rm(folder, { recursive: true, force: true });
    }
  }, 60_000);
});
