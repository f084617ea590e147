import net from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type DatabaseConfig, openConfiguredDatabase } from '../../../src/archive/database/connect.ts';
import { createLog } from '../../../src/log.ts';
import { type TestDatabase, testDatabase } from '../../support/database.ts';
import { openHouse } from '../../support/house.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const log = createLog('silent', 'test');
const SECRET = 'hunter2';
const places: TestDatabase[] = [];
const folders: TempFolder[] = [];

afterEach(async () => {
  await Promise.all(places.splice(0).map((place) => place.drop()));
  await Promise.all(folders.splice(0).map((folder) => folder.remove()));
});

async function aPlace(): Promise<string> {
  const place = await testDatabase();
  places.push(place);
  return place.url;
}

const at = (databaseUrl: string, patienceS = 0.3): DatabaseConfig => ({
  databaseUrl,
  dataFolder: { postgres: '/nonexistent' },
  patienceS,
});

async function refusal(config: DatabaseConfig): Promise<{ kind: string; message: string }> {
  const failure = await openConfiguredDatabase(config, log).then(
    () => undefined,
    (error: Error & { kind: string }) => error,
  );
  expect(
    `${failure?.message} ${failure?.stack} ${JSON.stringify(failure?.cause)} ${failure?.cause}`,
  ).not.toContain(SECRET);
  return failure!;
}

test('a DATABASE_URL leads to that database', async () => {
  const place = await testDatabase();
  places.push(place);
  const { database, where, stop } = await openConfiguredDatabase(at(place.url), log);
  expect(where).toContain(':5432');
  const { rows } = await database.query('select current_database() as name');
  expect(rows).toEqual([{ name: place.connection.database }]);
  await stop();
});

test('one that a power cut could take commits from is begun with, and said so at the start and in /health/ready', async () => {
  const whole = await openConfiguredDatabase(at(await aPlace()), log);
  expect(whole.atRisk).toBeUndefined();
  await whole.stop();

  const house = await openHouse();
  try {
    const { host, port, database } = house.db.connection;
    const asked = async () => (await fetch(`${house.url}/health/ready`)).json();
    expect(await asked()).not.toHaveProperty('databaseAtRisk');
    await house.db.database.query(`alter database ${database} set synchronous_commit = off`);
    const warned: string[] = [];
    const listening = Object.assign(createLog('silent', 'test'), {
      warn: (_: unknown, what: string) => warned.push(what),
    });
    const opened = await openConfiguredDatabase(at(house.db.url), listening);
    await opened.stop();
    const sentence = `Postgres at ${host}:${port} runs with synchronous_commit off: a power cut can take rows`;
    expect(opened.atRisk).toContain(sentence);
    expect(warned).toEqual([opened.atRisk]);
    await house.restart();
    expect(await asked()).toMatchObject({ ready: true, databaseAtRisk: opened.atRisk });
  } finally {
    await house.close();
  }
});

test('without one the embedded Postgres is started, and stopped last', async () => {
  const folder = await tempFolder('embedded');
  folders.push(folder);
  const first = await openConfiguredDatabase({ dataFolder: { postgres: folder.path } }, log);
  expect(first.where).toBe('embedded');
  await first.database.query('create table t (); ');
  await first.stop();
  const second = await openConfiguredDatabase({ dataFolder: { postgres: folder.path } }, log);
  expect((await second.database.query('select * from t')).rows).toEqual([]);
  await second.stop();
});

test('a Postgres that is not there is named by host and port, without user and password', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  expect(await refusal(at(`postgres://me:${SECRET}@127.0.0.1:${port}/x`))).toMatchObject({
    kind: 'unavailable',
    message: expect.stringMatching(
      `^Postgres at 127.0.0.1:${port} does not answer .*ECONNREFUSED.* DATABASE_URL`,
    ),
  });
});

test('one that comes up while we wait is waited for', async () => {
  const place = await testDatabase();
  places.push(place);
  const socket = `${place.connection.host}/.s.PGSQL.${place.connection.port}`;
  const reserved = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => reserved.once('listening', resolve));
  const { port } = reserved.address() as net.AddressInfo;
  await new Promise((resolve) => reserved.close(resolve));
  const url = `postgres://${place.connection.user}@127.0.0.1:${port}/${place.connection.database}`;
  const waited: string[] = [];
  const watching = Object.assign(createLog('silent', 'test'), {
    info: (_: unknown, what: string) => waited.push(what),
  });
  const opening = openConfiguredDatabase(at(url, 30), watching);
  while (waited.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const proxy = net.createServer((client) => {
    const server = net.connect(socket);
    client.on('error', () => server.destroy()).pipe(server);
    server.on('error', () => client.destroy()).pipe(client);
  });
  proxy.listen(port, '127.0.0.1');
  const { database, stop } = await opening;
  expect((await database.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await stop();
  proxy.close();
});

test('a database that does not exist, a role that does not exist, an encoding that loses names', async () => {
  const place = await testDatabase({ migrated: false });
  places.push(place);
  const { host, port, user, database } = place.connection;
  const url = (role: string, name: string) =>
    `postgres://${role}:${SECRET}@localhost:${port}/${name}?host=${encodeURIComponent(host)}`;
  expect(await refusal(at(url(user, 'nowhere')))).toMatchObject({
    kind: 'invalid',
    message: expect.stringContaining('has no database of that name (3D000)'),
  });
  expect(await refusal(at(url('nobody_known', database)))).toMatchObject({
    kind: 'invalid',
    message: expect.stringContaining('does not let this user in (28000)'),
  });
  const latin = `${database}_latin`;
  await place.database.query(
    `create database ${latin} template template0 encoding latin1 locale 'C' locale_provider libc`,
  );
  try {
    expect(await refusal(at(url(user, latin)))).toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('is encoded in LATIN1'),
    });
  } finally {
    await place.database.query(`drop database ${latin} with (force)`);
  }
  expect(
    await refusal(
      at(`postgres://${user}:${SECRET}@localhost:${port}/x?host=${encodeURIComponent(host)}&sslmode=require`),
    ),
  ).toMatchObject({
    kind: 'invalid',
  });
});

test('what is no URL of a Postgres is said to be none, and not repeated', async () => {
  for (const url of [
    `mysql://me:${SECRET}@db/x`,
    `postgres//me:${SECRET}@db`,
    `postgres://me:${SECRET}@[db/x`,
  ])
    expect(await refusal(at(url))).toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('DATABASE_URL'),
    });
});
