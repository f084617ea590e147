/**
 * Opens the database the configuration names: the Postgres at DATABASE_URL, or the embedded one in the data folder.
 * Called by main.ts and the command line; `stop()` comes last in a drain, since every other room needs it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { DataFolder } from '../data-folder.ts';
import { type Database, openDatabase } from './database.ts';
import { DatabaseFailure } from './database-failure.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';

export interface DatabaseConfig {
  databaseUrl?: string | undefined;
  dataFolder: Pick<DataFolder, 'postgres'>;
  /** Connections of this pool at most (10). */
  maxConnections?: number;
  /** How long a Postgres at DATABASE_URL may be away at start (10). */
  patienceS?: number;
}

export interface ConfiguredDatabase {
  readonly database: Database;
  /** For further pools, such as a worker thread's; structured-clonable. May hold a password: not for logs. */
  readonly connection: pg.PoolConfig;
  /** Where it is, for the lines at start: `HOST:PORT`, or `embedded`. Without user and password. */
  readonly where: string;
  /** What a power cut could take of it, in a sentence for the administrator, as its settings were at the start. */
  readonly atRisk: string | undefined;
  /** Closes the pool, then stops the embedded server. */
  stop(): Promise<void>;
}

/**
 * @throws Failure 'unavailable' when Postgres does not answer, 'invalid' when it refuses who we are or holds text
 *         in another encoding than UTF-8, and what startEmbeddedPostgres throws
 */
export async function openConfiguredDatabase(config: DatabaseConfig, log: Log): Promise<ConfiguredDatabase> {
  const { databaseUrl, maxConnections: max = 10 } = config;
  if (databaseUrl === undefined) {
    const embedded = await startEmbeddedPostgres({ folder: config.dataFolder.postgres, log });
    const database = openDatabase(embedded.connection, { max, log });
    return {
      database,
      connection: embedded.connection,
      where: 'embedded',
      atRisk: undefined,
      async stop() {
        await database.close();
        await embedded.stop();
      },
    };
  }
  const where = whereIs(databaseUrl);
  const connection = { connectionString: databaseUrl };
  const database = openDatabase(connection, { max, log });
  try {
    const atRisk = await reach(database, where, config.patienceS ?? 10, log);
    if (atRisk !== undefined) log.warn({ where }, atRisk);
    return { database, connection, where, atRisk, stop: () => database.close() };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** @returns as ConfiguredDatabase.atRisk */
async function reach(
  database: Database,
  where: string,
  patienceS: number,
  log: Log,
): Promise<string | undefined> {
  const until = Date.now() + patienceS * 1000;
  for (let delay = 100; ; delay = Math.min(delay * 2, 1000)) {
    try {
      return await inspect(database, where);
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== 'unavailable') throw refusal(error, where);
      if (Date.now() + delay > until)
        throw new Failure(
          'unavailable',
          `Postgres at ${where} does not answer (tried for ${patienceS} s; ${codeOf(error) ?? 'no code'}). ` +
            'Start it, or correct DATABASE_URL.',
          { cause: error, retryAfterS: 5 },
        );
      if (delay === 100) log.info({ where }, 'waiting for Postgres');
      await sleep(delay);
    }
  }
}

/**
 * A database that would lose names or is too old is not begun with. One that may lose its last commits in a power cut
 * is: its settings are its administrator's, and the objects do not depend on them.
 * @returns as ConfiguredDatabase.atRisk
 */
async function inspect(database: Database, where: string): Promise<string | undefined> {
  const { rows } = await database.query<{ encoding: string; version: number; off: string[] }>(
    `select current_setting('server_encoding') as encoding, current_setting('server_version_num')::int as version,
            array(select name from unnest(array['fsync', 'full_page_writes', 'synchronous_commit']) as name
                  where current_setting(name) = 'off') as off`,
  );
  const found = rows[0];
  if (found === undefined || found.version < 140_000)
    throw new Failure(
      'invalid',
      `Postgres at ${where} is older than version 14, the oldest that Isocenter works with.`,
    );
  if (found.encoding !== 'UTF8')
    throw new Failure(
      'invalid',
      `The database at ${where} is encoded in ${found.encoding}. Make one with: create database isocenter encoding 'UTF8' template template0`,
    );
  if (found.off.length === 0) return undefined;
  return (
    `Postgres at ${where} runs with ${found.off.join(' and ')} off: a power cut can take rows of objects that were ` +
    'acknowledged; their bytes stay, and `npx isocenter reindex` lists them again. Turn it on.'
  );
}

function refusal(error: unknown, where: string): unknown {
  const code = codeOf(error) ?? '';
  const reasons: Record<string, string> = {
    '28P01': 'refused the password',
    '28000': 'does not let this user in',
    '3D000': 'has no database of that name',
    '42501': 'does not allow this user what Isocenter needs',
  };
  const reason = reasons[code];
  if (reason !== undefined)
    return new Failure('invalid', `Postgres at ${where} ${reason} (${code}). Correct DATABASE_URL.`, {
      cause: error,
    });
  // What stops pg before the first statement (TLS, the way to log in) quotes nothing of the URL.
  if (error instanceof Failure && error.cause instanceof Error)
    return new Failure('invalid', `Postgres at ${where} cannot be talked to: ${error.cause.message}.`, {
      cause: error,
    });
  return error;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof DatabaseFailure ? error.code : undefined;
}

function whereIs(databaseUrl: string): string {
  // The URL parser quotes its input, password and all, so its error is no cause to keep.
  if (!URL.canParse(databaseUrl) || !/^postgres(ql)?:$/.test(new URL(databaseUrl).protocol))
    throw new Failure(
      'invalid',
      'DATABASE_URL is not a URL such as postgres://USER:PASSWORD@HOST:5432/DATABASE.',
    );
  const url = new URL(databaseUrl);
  return `${url.searchParams.get('host') ?? (url.hostname || 'localhost')}:${url.port || (url.searchParams.get('port') ?? '5432')}`;
}
