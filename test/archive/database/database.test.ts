import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Database, openDatabase } from '../../../src/archive/database/database.ts';
import { DatabaseFailure, isUnavailable } from '../../../src/archive/database/database-failure.ts';
import { Failure } from '../../../src/failure.ts';
import { createLog, describeError } from '../../../src/log.ts';
import { type TestDatabase, testDatabase } from '../../support/database.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

const log = createLog('silent', 'test');
const PATIENT = 'Doe^Jane';
let place: TestDatabase;
let database: Database;

beforeEach(async () => {
  place = await testDatabase({ migrated: false });
  database = place.database;
  await database.query(
    'create table t (id bigint primary key, name text unique, n integer not null default 0)',
  );
});
afterEach(() => place.drop());

async function caught(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it was expected to fail');
}

describe('values', () => {
  test('int8 is a number while that is exact, a bigint beyond; also in arrays', async () => {
    const { rows } = await database.query(
      `select 9007199254740991::int8 as safe, 9007199254740993::int8 as big, array[1, null, 9007199254740993]::int8[] as list,
              count(*) as count from t`,
    );
    expect(rows).toEqual([
      { safe: 9007199254740991, big: 9007199254740993n, list: [1, null, 9007199254740993n], count: 0 },
    ]);
  });

  test('dates and times without zone stay text; a moment is a Date; jsonb and bytea are themselves', async () => {
    const { rows } = await database.query(
      `select date '2024-02-29' as day, timestamp '2024-02-29 12:00' as local, timestamptz '2024-02-29 12:00Z' as moment,
              '{"a": 1}'::jsonb as doc, $1::bytea as bytes, '7'::xid8 as xid`,
      [Buffer.from([0, 255])],
    );
    expect(rows).toEqual([
      {
        day: '2024-02-29',
        local: '2024-02-29 12:00:00',
        moment: new Date('2024-02-29T12:00:00Z'),
        doc: { a: 1 },
        bytes: Buffer.from([0, 255]),
        xid: '7',
      },
    ]);
  });

  test('rowCount counts what was changed; of several statements the last counts', async () => {
    expect(await database.query("insert into t values (1, 'a'), (2, 'b')")).toMatchObject({
      rows: [],
      rowCount: 2,
    });
    expect(await database.query('select 1 as a; select 2 as b')).toMatchObject({
      rows: [{ b: 2 }],
      rowCount: 1,
    });
  });
});

describe('errors', () => {
  test('name table and constraint, and quote no value anywhere', async () => {
    await database.query('insert into t values (1, $1)', [PATIENT]);
    const failures = [
      await caught(database.query('insert into t values (2, $1)', [PATIENT])),
      await caught(database.query('select $1::text::integer', [PATIENT])),
      await caught(
        database.query('select jsonb_path_query($1::jsonb, ($2::text)::jsonpath)', ['{}', `( ${PATIENT}`]),
      ),
      await caught(database.query('select to_tsquery($1)', [`${PATIENT} & &`])),
      await caught(database.query('insert into t values (3, $1)', [`${PATIENT}\0`])),
      await caught(database.query('insert into t values ($1)', [PATIENT])),
      await caught(database.query('select $1::jsonb', [`{${PATIENT}`])),
      await caught(database.query(`do $$ begin raise exception '${PATIENT}'; end $$`)),
    ];
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(DatabaseFailure);
      expect(
        JSON.stringify([failure, describeError(failure), String(failure), (failure as Error).stack]),
      ).not.toContain('Doe');
      expect((failure as Error).cause).toBeUndefined();
    }
    expect(failures[0]).toMatchObject({
      kind: 'conflict',
      code: '23505',
      table: 't',
      constraint: 't_name_key',
    });
    expect((failures[0] as Failure).message).toBe(
      'The database refused a statement (23505, table t, constraint t_name_key)',
    );
    expect(failures[4]).toMatchObject({ kind: 'invalid' });
  });

  test('a mistake in a statement is told in words, and is not taken for a lost database', async () => {
    expect(await caught(database.query('select nothing from t'))).toMatchObject({
      kind: 'internal',
      message: 'The database refused a statement (42703): column "nothing" does not exist',
    });
    const miscounted = await caught(database.query('select $1::int, $2::int', [1]));
    expect(miscounted).toMatchObject({ kind: 'internal', code: '08P01' });
    expect(isUnavailable(miscounted)).toBe(false);
  });

  test('a statement that takes too long is ended: unavailable, and the connection lives on', async () => {
    const impatient = openDatabase(place.connection, { log, max: 1, statementTimeoutMs: 50 });
    const { rows } = await impatient.query<{ pid: number }>('select pg_backend_pid() as pid');
    expect(await caught(impatient.query('select pg_sleep(30)'))).toMatchObject({
      kind: 'unavailable',
      code: '57014',
    });
    await impatient.transaction((tx) => tx.query('select pg_sleep(0.2)'), { statementTimeoutMs: 0 });
    expect((await impatient.query('select pg_backend_pid() as pid')).rows).toEqual(rows);
    await impatient.close();
  });
});

describe('a transaction', () => {
  test('commits what it did, and gives back what the work gave', async () => {
    const answer = await database.transaction(async (tx) => {
      await tx.query("insert into t values (1, 'a')");
      return 'done';
    });
    expect(answer).toBe('done');
    expect((await database.query('select id from t')).rows).toEqual([{ id: 1 }]);
  });

  test('leaves nothing when the work throws, and hands that error on as it is', async () => {
    const mine = Object.assign(new Error('mine'), { code: 'ENOENT' });
    const work = database.transaction(async (tx) => {
      await tx.query("insert into t values (1, 'a')");
      throw mine;
    });
    expect(await caught(work)).toBe(mine);
    expect((await database.query('select id from t')).rows).toEqual([]);
  });

  test('that ignored a failed statement is not taken for committed', async () => {
    const work = database.transaction(async (tx) => {
      await tx.query("insert into t values (1, 'a')");
      await caught(tx.query("insert into t values (1, 'a')"));
    });
    expect(await caught(work)).toMatchObject({
      kind: 'internal',
      message: expect.stringContaining('rolled back'),
    });
    expect((await database.query('select id from t')).rows).toEqual([]);
  });

  test('takes no statement after its end', async () => {
    let late: (() => Promise<unknown>) | undefined;
    await database.transaction(async (tx) => {
      late = () => tx.query("insert into t values (1, 'a')");
    });
    expect(await caught(late!())).toMatchObject({ kind: 'internal' });
  });

  test('runs again after a deadlock, until both have passed', async () => {
    await database.query("insert into t values (1, 'a'), (2, 'b')");
    let attempts = 0;
    let meeting = 0;
    const add = (first: number, second: number) =>
      database.transaction(async (tx) => {
        attempts++;
        await tx.query('update t set n = n + 1 where id = $1', [first]);
        meeting++;
        // The first time both hold their first row before either asks for its second.
        while (meeting < 2) await sleep(5);
        await tx.query('update t set n = n + 1 where id = $1', [second]);
      });
    await Promise.all([add(1, 2), add(2, 1)]);
    expect((await database.query('select n from t')).rows).toEqual([{ n: 2 }, { n: 2 }]);
    expect(attempts).toBeGreaterThan(2);
  });

  test('runs again after a serialization failure, and gives up after five times', async () => {
    await database.query("insert into t values (1, 'a')");
    let attempts = 0;
    const work = database.transaction(
      async (tx) => {
        attempts++;
        await tx.query('select n from t');
        await database.query('update t set n = n + 1');
        await tx.query('update t set n = n + 1');
      },
      { isolation: 'repeatable read' },
    );
    expect(await caught(work)).toMatchObject({ kind: 'unavailable', code: '40001' });
    expect(attempts).toBe(5);
  });

  test('whose connection is cut says so, is not run again, and the next one passes', async () => {
    let attempts = 0;
    const work = database.transaction(async (tx) => {
      attempts++;
      const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
      await database.query('select pg_terminate_backend($1)', [rows[0]!.pid]);
      await tx.query("insert into t values (1, 'a')");
    });
    const failure = await caught(work);
    expect(failure).toMatchObject({ kind: 'unavailable' });
    expect(isUnavailable(failure)).toBe(true);
    expect((failure as Failure).retryAfterS).toBeGreaterThan(0);
    expect(attempts).toBe(1);
    await database.transaction((tx) => tx.query("insert into t values (2, 'b')"));
  });

  test('can be read only', async () => {
    const work = database.transaction((tx) => tx.query("insert into t values (1, 'a')"), { readOnly: true });
    expect(await caught(work)).toBeInstanceOf(Failure);
  });
});

describe('a database that is away', () => {
  test('is unavailable, by socket and by port', async () => {
    const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as net.AddressInfo;
    const connections = [
      { host: '/nonexistent', port: 5432 },
      { host: '127.0.0.1', port }, // hangs up
    ];
    for (const connection of connections) {
      const away = openDatabase({ ...connection, user: 'x', database: 'x' }, { log });
      expect(await caught(away.query('select 1'))).toMatchObject({
        kind: 'unavailable',
        connectionLost: true,
      });
      expect(await caught(away.transaction((tx) => tx.query('select 1')))).toMatchObject({
        kind: 'unavailable',
      });
      expect(await caught(away.listen('c', () => undefined))).toMatchObject({ kind: 'unavailable' });
      await away.close();
      await away.close();
    }
    server.close();
    const refused = openDatabase({ host: '127.0.0.1', port, user: 'x', database: 'x' }, { log });
    expect(await caught(refused.query('select 1'))).toMatchObject({
      kind: 'unavailable',
      code: 'ECONNREFUSED',
    });
    await refused.close();
  });
});

describe('a database that hangs', () => {
  let proxy: TcpProxy;
  let hanging: Database;
  beforeEach(async () => {
    const { host, port, user, database: name } = place.connection;
    proxy = await startTcpProxy({ path: `${host}/.s.PGSQL.${port}` });
    hanging = openDatabase({ host: '127.0.0.1', port: proxy.port, user, database: name }, { log });
  });
  afterEach(async () => {
    await hanging.close();
    await proxy.stop();
  });

  test('is unavailable within 5 s, at once from then on, and there again when it answers', async () => {
    await Promise.all([1, 2, 3].map(() => hanging.query('select pg_sleep(0.1)')));
    proxy.hang();
    const before = Date.now();
    const unavailable = { kind: 'unavailable', connectionLost: true, retryAfterS: 5 };
    const work = [
      hanging.query('select 1'),
      hanging.transaction((tx) => tx.query('select 1')),
      ...Array.from({ length: 20 }, () => hanging.query('select 1')),
    ];
    for (const failure of await Promise.all(work.map(caught))) expect(failure).toMatchObject(unavailable);
    expect(Date.now() - before).toBeLessThan(6000);
    const after = Date.now();
    expect(await caught(hanging.query('select 1'))).toMatchObject(unavailable);
    expect(Date.now() - after).toBeLessThan(1000);
    await proxy.mend();
    await vi.waitFor(() => hanging.query('select 1'), { timeout: 15_000, interval: 100 });
  });

  test('is not one that only takes its time over a statement', async () => {
    const { rows } = await hanging.query("select 'done' as word from pg_sleep(7)");
    expect(rows).toEqual([{ word: 'done' }]);
  });

  test('does not hold up the end', async () => {
    await hanging.query('select 1');
    proxy.hang();
    const before = Date.now();
    await hanging.close();
    expect(Date.now() - before).toBeLessThan(6000);
  });
});

describe('notifications', () => {
  test('arrive with their payload, on each channel apart, until the listening stops', async () => {
    const [a, b] = [vi.fn(), vi.fn()];
    const [first] = await Promise.all([database.listen('a', a), database.listen('b"x', b)]);
    expect(a).toHaveBeenCalledWith(undefined);
    await database.query("select pg_notify('a', 'one'), pg_notify('b\"x', 'two')");
    await vi.waitFor(() => expect(b).toHaveBeenCalledWith('two'));
    expect(a).toHaveBeenCalledWith('one');
    await first.stop();
    await database.query("select pg_notify('a', 'three'), pg_notify('b\"x', 'four')");
    await vi.waitFor(() => expect(b).toHaveBeenCalledWith('four'));
    expect(a).not.toHaveBeenCalledWith('three');
  });

  test('come back after the connection was cut, and say that some may have been missed', async () => {
    const seen: (string | undefined)[] = [];
    await database.listen('a', (payload) => seen.push(payload));
    await database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen%'",
    );
    const before = seen.length;
    await vi.waitFor(() => expect(seen.slice(before)).toContain(undefined), { timeout: 10_000 });
    await database.query("select pg_notify('a', 'again')");
    await vi.waitFor(() => expect(seen).toContain('again'));
  });

  test('a follower that throws does not end the others', async () => {
    const seen = vi.fn();
    const quiet = openDatabase(place.connection, { log });
    await quiet.listen('a', (payload) => {
      if (payload) throw new Error('follower');
    });
    await quiet.listen('a', seen);
    await database.query("select pg_notify('a', 'one')");
    await vi.waitFor(() => expect(seen).toHaveBeenCalledWith('one'));
    await quiet.close();
  });
});
