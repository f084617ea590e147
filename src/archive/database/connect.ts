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
    await reach(database, where, config.patienceS ?? 10, log);
  } catch (error) {
    await database.close();
    throw error;
  }
  return { database, connection, where, stop: () => database.close() };
}

async function reach(database: Database, where: string, patienceS: number, log: Log): Promise<void> {
  const until = Date.now() + patienceS * 1000;
  for (let delay = 100; ; delay = Math.min(delay * 2, 1000)) {
    try {
      await inspect(database, where, log);
      return;
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

/** A database that would lose names or acknowledged rows is not begun with. */
async function inspect(database: Database, where: string, log: Log): Promise<void> {
  const { rows } = await database.query<{
    encoding: string;
    version: number;
    fsync: string;
    fullPages: string;
  }>(
    `select current_setting('server_encoding') as encoding, current_setting('server_version_num')::int as version,
            current_setting('fsync') as fsync, current_setting('full_page_writes') as "fullPages"`,
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
  if (found.fsync !== 'on' || found.fullPages !== 'on')
    log.warn(
      { where },
      'this Postgres runs with fsync or full_page_writes off: a power cut can lose what was acknowledged',
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
