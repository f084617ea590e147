import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../src/archive/database/database.ts';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../src/archive/database/embedded-postgres.ts';
import { identifyProcess, isRunning } from '../../../src/archive/running-process.ts';
import { createLog } from '../../../src/log.ts';

const log = createLog('silent', 'test');
const keeperFile = path.join(import.meta.dirname, 'keeper.ts');
const root = process.getuid?.() === 0;
const NOBODY = 65_534;
/** An ordinary user can be tried when we may become one and that one may read the project. */
const ordinary =
  root &&
  spawnSync(process.execPath, ['-e', `fs.readFileSync(${JSON.stringify(keeperFile)})`], {
    uid: NOBODY,
    gid: NOBODY,
  }).status === 0;

interface Kept {
  kept: number;
  postmaster: number;
  socket: string;
  readyMs: number;
  kind?: string;
  message?: string;
}

let home: string;
let cleanUp: (() => unknown)[];

beforeEach(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'isocenter-pg-'));
  cleanUp = [];
});
afterEach(async () => {
  for (const step of cleanUp.reverse()) await step();
  await rm(home, { recursive: true, force: true });
});

async function start(folder = home): Promise<{ postgres: EmbeddedPostgres; database: Database }> {
  const postgres = await startEmbeddedPostgres({ folder, log });
  cleanUp.push(() => postgres.stop());
  const database = openDatabase(postgres.connection, { log, max: 3 });
  cleanUp.push(() => database.close());
  return { postgres, database };
}

/** A keeper.ts process and what it said. */
async function keep(
  folder: string,
  options: { uid?: number; env?: Record<string, string>; umask?: number } = {},
): Promise<{ child: ChildProcess; said: Kept }> {
  const { uid } = options;
  const child = spawn(process.execPath, [keeperFile, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...options.env },
    cwd: '/',
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  cleanUp.push(() => finish(child));
  let text = '';
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  const said = JSON.parse(text) as Kept;
  cleanUp.push(() => endPostmaster(said.postmaster));
  return { child, said };
}

async function finish(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.stdin?.end();
  await gone;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** For a test that failed before the orphan was taken care of. Only a postmaster started by this test is met. */
async function endPostmaster(pid: number | undefined): Promise<void> {
  const who = pid === undefined ? undefined : identifyProcess(pid);
  if (who === undefined || !readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(home)) return;
  process.kill(who.pid, 'SIGQUIT');
  while (isRunning(who)) await sleep(20);
}

async function eventually<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === 200) throw error;
      await sleep(50);
    }
  }
}

test('syncs what it commits, listens on no network, and speaks UTF-8 with checksums', async () => {
  const { database, postgres } = await start();
  const { rows } = await database.query<{ name: string; setting: string }>(
    `select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit',
       'listen_addresses', 'server_encoding', 'data_checksums', 'log_statement', 'log_min_messages',
       'log_min_error_statement', 'log_parameter_max_length_on_error', 'log_error_verbosity')`,
  );
  expect(Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))).toEqual({
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    listen_addresses: '',
    server_encoding: 'UTF8',
    data_checksums: 'on',
    log_statement: 'none',
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_parameter_max_length_on_error: '0',
    log_error_verbosity: 'terse',
  });
  const locale = await database.query(
    'select datlocprovider, datlocale from pg_database where datname = current_database()',
  );
  expect(locale.rows).toEqual([{ datlocprovider: 'b', datlocale: 'C.UTF-8' }]);
  expect(statSync(postgres.connection.host).mode & 0o777).toBe(0o700);
  expect(statSync(path.join(home, 'data')).mode & 0o777).toBe(0o700);
  await database.query('create extension pg_trgm; create extension unaccent');
});

test.skipIf(process.platform !== 'linux')(
  'stands in a session of its own, out of reach of Ctrl-C (needs /proc)',
  async () => {
    const { postgres } = await start();
    const stat = readFileSync(`/proc/${postgres.pid()}/stat`, 'utf8');
    const [, , processGroup, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    expect([processGroup, session]).toEqual([String(postgres.pid()), String(postgres.pid())]);
  },
);

test('keeps its rows over a stop and a start, and stops with connections open', async () => {
  const first = await start();
  await first.database.query('create table t (n integer); insert into t values (7)');
  await first.postgres.stop();
  await first.postgres.stop();
  const second = await start();
  expect((await second.database.query('select n from t')).rows).toEqual([{ n: 7 }]);
});

test('its log holds no value of any statement', async () => {
  const { database } = await start();
  await database.query('create table t (name text primary key, n integer)');
  await database.query('insert into t values ($1, 1)', ['Doe^Jane']);
  await expect(database.query('insert into t values ($1, 1)', ['Doe^Jane'])).rejects.toMatchObject({
    kind: 'conflict',
  });
  await expect(database.query('select $1::text::integer', ['Doe^Jane'])).rejects.toMatchObject({
    kind: 'invalid',
  });
  await expect(
    database.query(`do $$ begin raise warning 'Doe^Jane'; raise exception 'Doe^Jane'; end $$`),
  ).rejects.toThrow();
  // A backend killed in the middle of a statement makes the postmaster say what it was running.
  await expect(
    database.query("select 'Doe^Jane', pg_terminate_backend(pg_backend_pid()), pg_sleep(5)"),
  ).rejects.toMatchObject({ kind: 'unavailable' });
  const text = readFileSync(path.join(home, 'postgres.log'), 'utf8');
  expect(text).toContain('ready to accept connections');
  expect(text).not.toContain('Doe');
});

test('a Postgres killed with -9 comes back by itself, with every row that was committed', async () => {
  const exits: unknown[] = [];
  const postgres = await startEmbeddedPostgres({ folder: home, log, onExit: (how) => exits.push(how) });
  cleanUp.push(() => postgres.stop());
  const database = openDatabase(postgres.connection, { log, max: 3 });
  cleanUp.push(() => database.close());
  await database.query('create table t (n integer); insert into t values (1)');
  for (let round = 0; round < 2; round++) {
    const before = postgres.pid()!;
    process.kill(before, 'SIGKILL');
    const rows = await eventually(async () => {
      expect(postgres.pid()).not.toBe(before);
      return (await database.query('select n from t')).rows;
    });
    expect(rows).toEqual([{ n: 1 }]);
  }
  expect(exits[0]).toEqual({ code: null, signal: 'SIGKILL' });
});

test('a backend killed with -9 costs its connections only', async () => {
  const { database, postgres } = await start();
  const pid = postgres.pid();
  const backend = await database.query<{ pid: number }>('select pg_backend_pid() as pid');
  process.kill(backend.rows[0]!.pid, 'SIGKILL');
  await eventually(() => database.query('select 1'));
  expect(postgres.pid()).toBe(pid);
});

test('after SIGKILL of its parent the next start stops the orphan and finds the committed row', async () => {
  const folder = path.join(home, 'data');
  const first = await keep(folder);
  expect(first.said.kept).toBe(1);
  await kill(first.child);
  const orphan = identifyProcess(first.said.postmaster);
  expect(orphan).toBeDefined();
  const second = await keep(folder);
  expect(second.said.kept).toBe(2);
  expect(second.said.postmaster).not.toBe(first.said.postmaster);
  expect(isRunning(orphan!)).toBe(false);
  // The same when parent and Postgres are killed together.
  process.kill(second.said.postmaster, 'SIGKILL');
  await kill(second.child);
  const third = await keep(folder);
  expect(third.said).toMatchObject({ kept: 3 });
  await finish(third.child);
  expect(identifyProcess(third.said.postmaster)).toBeUndefined();
});

test('a parent killed at any moment of the first start leaves nothing that the next start stumbles over', async () => {
  const folder = path.join(home, 'data');
  for (const delay of [150, 300, 450, 600, 750, 900]) {
    const child = spawn(process.execPath, [keeperFile, folder], { stdio: ['pipe', 'ignore', 'inherit'] });
    await sleep(delay);
    await kill(child);
  }
  const { said } = await keep(folder);
  expect(said.kept).toBeGreaterThan(0);
});

test('a second process over the same folder is turned away and disturbs nothing', async () => {
  const folder = path.join(home, `Dr. Müller's "data", new`);
  const first = await keep(folder);
  const second = await keep(folder);
  expect(second.said).toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining(`process ${first.child.pid}`),
  });
  expect(identifyProcess(first.said.postmaster)).toBeDefined();
});

test('a first start killed in the middle of initdb is begun anew', async () => {
  mkdirSync(path.join(home, 'data.new-1', 'base'), { recursive: true });
  writeFileSync(path.join(home, 'data.new-1', 'PG_VERSION'), '18\n');
  const { database } = await start();
  expect((await database.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  expect(readdirSync(home)).not.toContain('data.new-1');
});

test('a pid file that names a process of somebody else does not keep it from starting', async () => {
  const first = await start();
  await first.database.close();
  process.kill(first.postgres.pid()!, 'SIGKILL');
  await first.postgres.stop();
  const pidFile = path.join(home, 'data', 'postmaster.pid');
  const bystander = spawn('sleep', ['600']);
  cleanUp.push(() => bystander.kill('SIGKILL'));
  writeFileSync(pidFile, readFileSync(pidFile, 'utf8').replace(/^\d+/, String(bystander.pid)));
  const { database } = await start();
  expect((await database.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  expect(bystander.exitCode).toBeNull();
  expect(bystander.signalCode).toBeNull();
});

test('a cluster of another major version is refused in words', async () => {
  const { postgres } = await start();
  await postgres.stop();
  writeFileSync(path.join(home, 'data', 'PG_VERSION'), '17\n');
  await expect(startEmbeddedPostgres({ folder: home, log })).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringMatching(/made by Postgres 17 and this Isocenter brings Postgres 18/),
  });
});

test('a cluster that cannot start says so with the last words of its log', async () => {
  const { postgres } = await start();
  await postgres.stop();
  writeFileSync(path.join(home, 'data', 'postgresql.conf'), 'no_such_setting = 1\n');
  await expect(startEmbeddedPostgres({ folder: home, log })).rejects.toMatchObject({
    kind: 'unavailable',
    message: expect.stringContaining('no_such_setting'),
  });
});

test('a folder whose path is too long for a socket gets one elsewhere, closed to others, and takes it away', async () => {
  const folder = path.join(home, 'a'.repeat(60), 'b'.repeat(60), 'data');
  const first = await keep(folder);
  const socket = first.said.socket;
  expect(socket.startsWith(os.tmpdir())).toBe(true);
  expect(statSync(socket).mode & 0o777).toBe(0o700);
  await kill(first.child);
  const second = await keep(folder);
  expect(second.said.kept).toBe(2);
  expect(existsSync(socket)).toBe(false);
  await finish(second.child);
  expect(existsSync(second.said.socket)).toBe(false);
});

describe.skipIf(!ordinary)('for other users (needs root, and a project that uid 65534 may read)', () => {
  test('an ordinary user, under a home that others may not enter', async () => {
    chmodSync(home, 0o700);
    chownSync(home, NOBODY, NOBODY);
    const { child, said } = await keep(path.join(home, 'data'), { uid: NOBODY });
    expect(said.kept).toBe(1);
    expect(statSync(`/proc/${said.postmaster}`).uid).toBe(NOBODY);
    await finish(child);
  });

  test("root in a user's closed home becomes that user for Postgres, and stays so", async () => {
    chmodSync(home, 0o700);
    chownSync(home, NOBODY, NOBODY);
    for (const kept of [1, 2]) {
      const { child, said } = await keep(path.join(home, 'data'));
      expect(said.kept).toBe(kept);
      expect(statSync(path.join(home, 'data', 'postgres', 'data')).uid).toBe(NOBODY);
      await finish(child);
    }
  });

  test('root where user namespaces are closed: an unprivileged user, also for a cluster made by root', async () => {
    chmodSync(home, 0o755);
    const bin = path.join(home, 'bin');
    mkdirSync(bin);
    for (const program of ['sh', 'id']) symlinkSync(whereIs(program), path.join(bin, program));
    const folder = path.join(home, 'data');
    const inNamespace = await keep(folder);
    expect(inNamespace.said.kept).toBe(1);
    await finish(inNamespace.child);
    const without = await keep(folder, { env: { PATH: bin } });
    expect(without.said.kept).toBe(2);
    expect(statSync(`/proc/${without.said.postmaster}`).uid).not.toBe(0);
    expect(statSync(path.join(folder, 'objects')).mode & 0o777).toBe(0o700);
    await finish(without.child);
  });

  test('root where nobody else can reach the folder is told about DATABASE_URL', async () => {
    chmodSync(home, 0o700);
    const bin = path.join(home, 'bin');
    mkdirSync(bin);
    for (const program of ['sh', 'id']) symlinkSync(whereIs(program), path.join(bin, program));
    const { said } = await keep(path.join(home, 'data'), { env: { PATH: bin } });
    expect(said).toMatchObject({ kind: 'unsupported', message: expect.stringContaining('DATABASE_URL') });
  });
});

function whereIs(program: string): string {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program], { encoding: 'utf8' }).stdout.trim();
}
