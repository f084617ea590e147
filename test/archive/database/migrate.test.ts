import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDatabase } from '../../../src/archive/database/database.ts';
import { migrate } from '../../../src/archive/database/migrate.ts';
import { createLog } from '../../../src/log.ts';
import { migrationsFolder, type TestDatabase, testDatabase } from '../../support/database.ts';

let place: TestDatabase;
let folder: string;

beforeEach(async () => {
  place = await testDatabase({ migrated: false });
  folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-migrations-'));
  write('0001_first.sql', 'create table a (n integer);\ninsert into a values (1);\n');
  write(
    '0002_second.sql',
    "create function f() returns text language sql as $$ select 'x;y' $$;\nalter table a add m text;\n",
  );
});
afterEach(async () => {
  await place.drop();
  await rm(folder, { recursive: true, force: true });
});

const write = (file: string, sql: string): void => writeFileSync(path.join(folder, file), sql);
const run = (): Promise<string[]> => migrate(place.database, folder);

test('applies each file once, in order', async () => {
  expect(await run()).toEqual(['0001_first.sql', '0002_second.sql']);
  expect(await run()).toEqual([]);
  write('0003_third.sql', 'insert into a values (2);');
  expect(await run()).toEqual(['0003_third.sql']);
  expect((await place.database.query('select n from a order by n')).rows).toEqual([{ n: 1 }, { n: 2 }]);
});

test('any number may race: each file is applied by one of them', async () => {
  const racers = Array.from({ length: 5 }, () =>
    openDatabase(place.connection, { log: createLog('silent', 'test'), max: 1 }),
  );
  const applied = await Promise.all(racers.map((racer) => migrate(racer, folder)));
  expect(applied.flat().sort()).toEqual(['0001_first.sql', '0002_second.sql']);
  expect((await place.database.query('select n from a')).rows).toEqual([{ n: 1 }]);
  await Promise.all(racers.map((racer) => racer.close()));
});

test('a file that fails leaves nothing of itself, keeps what came before, and is named', async () => {
  write('0003_third.sql', 'insert into a values (2);\ninsert into missing values (1);');
  await expect(run()).rejects.toMatchObject({
    kind: 'internal',
    message: expect.stringMatching(
      /^The migration 0003_third\.sql failed and was rolled back\..*42P01.*"missing"/,
    ),
  });
  expect((await place.database.query('select n from a')).rows).toEqual([{ n: 1 }]);
  write('0003_third.sql', 'insert into a values (3);');
  expect(await run()).toEqual(['0003_third.sql']);
});

test('an edited file that was applied already is named; other line ends are no edit', async () => {
  await run();
  write('0001_first.sql', 'create table a (n integer);\r\ninsert into a values (1);\r\n');
  expect(await run()).toEqual([]);
  write('0001_first.sql', 'create table a (n bigint);\n');
  await expect(run()).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining('0001_first.sql was edited'),
  });
});

test('a database newer than the files is left alone', async () => {
  await run();
  rmSync(path.join(folder, '0002_second.sql'));
  await expect(run()).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining('0002_second.sql'),
  });
});

test('a number in front of what is applied already is refused', async () => {
  rmSync(path.join(folder, '0002_second.sql'));
  write('0003_third.sql', 'insert into a values (3);');
  await run();
  write('0002_second.sql', 'insert into a values (2);');
  await expect(run()).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining('0002_second.sql comes before 0003_third.sql'),
  });
});

test('a bad name and a number given twice are named before anything is applied', async () => {
  write('0003-Third.sql', 'select 1');
  await expect(run()).rejects.toMatchObject({
    kind: 'invalid',
    message: expect.stringContaining('0003-Third.sql'),
  });
  rmSync(path.join(folder, '0003-Third.sql'));
  write('0002_twin.sql', 'select 1');
  await expect(run()).rejects.toMatchObject({
    kind: 'invalid',
    message: 'The migrations 0002_second.sql and 0002_twin.sql have the same number.',
  });
  expect((await place.database.query("select to_regclass('a') as a")).rows).toEqual([{ a: null }]);
});

test('the migrations of this project apply to an empty database, and once', async () => {
  expect((await migrate(place.database, migrationsFolder))[0]).toBe('0001_archive.sql');
  expect(await migrate(place.database, migrationsFolder)).toEqual([]);
});
