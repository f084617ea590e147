/**
 * Brings a database to the schema in storage/migrations: numbered plain SQL files (`0001_archive.sql`), each
 * applied once, in its own transaction, in order. Any number of processes may start at the same time.
 * Called by main.ts, `npx isocenter migrate` and the tests' template.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Failure } from '../../failure.ts';
import type { Database, Queryable } from './database.ts';

interface Migration {
  number: number;
  file: string;
  sql: string;
  checksum: string;
}

interface Applied {
  number: number;
  file: string;
  checksum: string;
}

const NAME = /^(\d{4})_[a-z0-9_-]+\.sql$/;
/** Any constant known to nobody else in the database; the first bytes of SHA-256("isocenter migrations"). */
const ADVISORY_LOCK = 4_127_035_871;
const MIGRATION_TIMEOUT_MS = 30 * 60_000;

/**
 * @param folder holds the migrations; other files than *.sql are not looked at
 * @returns the files applied by this call
 * @throws Failure 'invalid' for a misnamed or doubly numbered file, 'conflict' when the database does not fit the
 *         files (edited, missing or out of order), 'internal' with the file's name when its SQL fails
 */
export async function migrate(database: Database, folder: string): Promise<string[]> {
  const migrations = await readMigrations(folder);
  const applied: string[] = [];
  for (let more = true; more; ) {
    // One migration a transaction; the lock goes with it, and the next turn looks again what is left to do.
    const file = await database.transaction((tx) => applyNext(tx, migrations), {
      statementTimeoutMs: MIGRATION_TIMEOUT_MS,
    });
    if (file === undefined) more = false;
    else applied.push(file);
  }
  return applied;
}

async function applyNext(tx: Queryable, migrations: Migration[]): Promise<string | undefined> {
  await tx.query('select pg_advisory_xact_lock($1)', [ADVISORY_LOCK]);
  await tx.query(`create table if not exists schema_migration (
    number      integer primary key,
    file        text not null,
    checksum    text not null,
    applied_at  timestamptz not null default now()
  )`);
  const { rows } = await tx.query<Applied>(
    'select number, file, checksum from schema_migration order by number',
  );
  const next = nextMigration(migrations, rows);
  if (next === undefined) return undefined;
  try {
    await tx.query(next.sql);
  } catch (error) {
    if (!(error instanceof Failure) || error.kind === 'unavailable') throw error;
    throw new Failure('internal', `The migration ${next.file} failed and was rolled back. ${error.message}`, {
      cause: error,
    });
  }
  await tx.query('insert into schema_migration (number, file, checksum) values ($1, $2, $3)', [
    next.number,
    next.file,
    next.checksum,
  ]);
  return next.file;
}

/** The first file that is not applied, after everything applied was found again unchanged. */
function nextMigration(migrations: Migration[], applied: Applied[]): Migration | undefined {
  for (const [index, done] of applied.entries()) {
    const file = migrations.find((migration) => migration.number === done.number);
    if (file === undefined)
      throw new Failure(
        'conflict',
        `The database has the migration ${done.file}, which this version of Isocenter does not know. Start the newer version.`,
      );
    if (file.checksum !== done.checksum)
      throw new Failure(
        'conflict',
        `The migration ${file.file} was edited after this database had applied it. Restore the file and put the change into a new migration.`,
      );
    const skipped = migrations[index];
    if (skipped !== undefined && skipped.number < done.number)
      throw new Failure(
        'conflict',
        `The migration ${skipped.file} comes before ${done.file}, which this database has applied already. Give it the next free number.`,
      );
  }
  return migrations[applied.length];
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const migrations: Migration[] = [];
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()) {
    const number = Number(NAME.exec(file)?.[1] ?? Number.NaN);
    if (Number.isNaN(number))
      throw new Failure(
        'invalid',
        `The migration ${file} in ${folder} is not named like 0001_name.sql (small letters).`,
      );
    const twin = migrations.at(-1);
    if (twin?.number === number)
      throw new Failure('invalid', `The migrations ${twin.file} and ${file} have the same number.`);
    const sql = await readFile(path.join(folder, file), 'utf8');
    // A checkout may have turned line ends around; that is not an edit.
    const checksum = createHash('sha256').update(sql.replaceAll('\r\n', '\n')).digest('hex');
    migrations.push({ number, file, sql, checksum });
  }
  return migrations;
}
