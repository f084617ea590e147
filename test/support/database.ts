/**
 * A fresh database with all migrations applied, for one test or suite, in the run's one Postgres (global-setup.ts).
 * Made by copying a template, so it costs tens of milliseconds.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { type Database, openDatabase } from '../../src/archive/database/database.ts';
import { migrate } from '../../src/archive/database/migrate.ts';
import { createLog } from '../../src/log.ts';

export interface TestDatabase {
  /** For pg; what openDatabase and worker threads take. */
  connection: pg.PoolConfig & { host: string; port: number; database: string; user: string };
  /** The same place as DATABASE_URL would name it. */
  url: string;
  database: Database;
  /** Closes `database` and removes the whole database, whoever is still connected to it. */
  drop(): Promise<void>;
}

export const migrationsFolder = path.resolve(import.meta.dirname, '../../storage/migrations');

/** @param options.migrated false for an empty database */
export async function testDatabase({ migrated = true } = {}): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const template = migrated ? await ensureTemplate() : 'template0';
  await asAdmin((admin) => admin.query(`create database ${name} template ${template}`));
  const connection = { ...inject('postgres'), database: name };
  const database = openDatabase(connection, { log: createLog('error', 'test'), max: 5 });
  return {
    connection,
    url: `postgres://${connection.user}@localhost:${connection.port}/${name}?host=${encodeURIComponent(connection.host)}`,
    database,
    async drop() {
      await database.close();
      await asAdmin((admin) => admin.query(`drop database if exists ${name} with (force)`));
    },
  };
}

/** The template's name carries the migrations' hash; the first caller of a run makes it, the others wait. */
async function ensureTemplate(): Promise<string> {
  const hash = createHash('sha256');
  for (const file of readdirSync(migrationsFolder).sort())
    hash.update(file).update(readFileSync(path.join(migrationsFolder, file)));
  const name = `template_${hash.digest('hex').slice(0, 16)}`;
  await asAdmin(async (admin) => {
    await admin.query('select pg_advisory_lock(1)');
    const found = await admin.query('select 1 from pg_database where datname = $1', [name]);
    if (found.rowCount !== 0) return;
    await admin.query(`drop database if exists ${name}_new with (force)`);
    await admin.query(`create database ${name}_new template template0`);
    const database = openDatabase(
      { ...inject('postgres'), database: `${name}_new` },
      { log: createLog('error', 'test') },
    );
    try {
      await migrate(database, migrationsFolder);
    } finally {
      await database.close();
    }
    // Renamed when complete: a template that failed half way is never copied.
    await admin.query(`alter database ${name}_new rename to ${name}`);
  });
  return name;
}

async function asAdmin<T>(work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ ...inject('postgres'), database: 'postgres' });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
