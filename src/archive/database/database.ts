/**
 * The way to Postgres for every room: queries, transactions that survive deadlocks, notifications.
 * Opened by connect.ts from DATABASE_URL or the embedded server. Everything it throws is a Failure:
 * 'unavailable' when the database is away (doors answer 503), never with a value of a row in its words.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { databaseFailure, isRetryable } from './database-failure.ts';
import { createListener, type Listening } from './listener.ts';

export interface Rows<Row> {
  rows: Row[];
  /** Rows returned, or changed by an insert, update or delete without returning. */
  rowCount: number;
}

export interface Queryable {
  /**
   * One statement with $1, $2 parameters; without values also several statements.
   * int8 comes as number (as bigint beyond 2^53), date and timestamp without zone as text, xid8 as text.
   * @throws DatabaseFailure
   */
  query<Row extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<Rows<Row>>;
}

export interface TransactionOptions {
  isolation?: 'read committed' | 'repeatable read' | 'serializable';
  readOnly?: boolean;
  /** Milliseconds per statement in this transaction instead of the default; 0 is none. */
  statementTimeoutMs?: number;
}

export interface Database extends Queryable {
  /**
   * Runs `work` in one transaction and commits it; rolls back when it throws. On a deadlock or serialization
   * failure the whole work runs again (5 times at most), so it may touch nothing but the database.
   * A lost connection is not tried again here: whether the commit arrived is unknown, and only callers know
   * that their work is idempotent.
   */
  transaction<T>(work: (tx: Queryable) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /**
   * Follows a NOTIFY channel on a connection of its own that comes back by itself. `onNotify` gets the payload;
   * it gets undefined whenever notifications may have been missed (at each connect), so that the follower looks itself.
   */
  listen(channel: string, onNotify: (payload: string | undefined) => void): Promise<Listening>;
  /** Waits for the queries under way and ends the connections. Closing twice is allowed. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  log: Log;
  /** Connections at most; further queries wait for one, 10 s at most. */
  max?: number;
  /** As pg_stat_activity shows it. */
  applicationName?: string;
  /** Default per statement, milliseconds. */
  statementTimeoutMs?: number;
}

const ATTEMPTS = 5;
/** How much longer than the server's own timeout a client waits before it takes the connection for dead. */
const GRACE_MS = 5000;

/** Opens no connection yet: the first query does. */
export function openDatabase(connection: pg.PoolConfig, options: DatabaseOptions): Database {
  const { log, max = 10, applicationName = 'isocenter', statementTimeoutMs = 30_000 } = options;
  const common: pg.PoolConfig = {
    ...connection,
    application_name: applicationName,
    types: { getTypeParser: typeParser },
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
  };
  const pool = new pg.Pool({
    ...common,
    max,
    idleTimeoutMillis: 30_000,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: 60_000,
    query_timeout: statementTimeoutMs + GRACE_MS,
  });
  // An idle connection that breaks is dropped by the pool; the next query opens another.
  pool.on('error', (error) => log.warn({ err: databaseFailure(error) }, 'a database connection was lost'));
  const listener = createListener(common, log);
  let closing: Promise<void> | undefined;

  async function attempt<T>(work: (tx: Queryable) => Promise<T>, options: TransactionOptions): Promise<T> {
    const client = await pool.connect();
    let broken: unknown;
    // Without a listener a connection lost between two statements would end the process.
    const onError = (error: Error): void => {
      broken = error;
    };
    client.on('error', onError);
    try {
      const { isolation = 'read committed', readOnly = false, statementTimeoutMs: timeout } = options;
      await client.query(`begin isolation level ${isolation}${readOnly ? ' read only' : ''}`);
      try {
        if (timeout !== undefined) await client.query(`set local statement_timeout = ${Math.trunc(timeout)}`);
        const result = await work(onClient(client, timeout));
        const { command } = await client.query('commit');
        // After a failed statement that `work` let pass, Postgres answers a commit by rolling back.
        if (command !== 'COMMIT')
          throw new Failure(
            'internal',
            'The database rolled a transaction back: one of its statements had failed before',
          );
        return result;
      } catch (error) {
        // A connection that takes no rollback is not given back to the pool; its end is a rollback too.
        await client.query('rollback').catch((lost: unknown) => {
          broken ??= lost;
        });
        throw error;
      }
    } catch (error) {
      const failure = databaseFailure(error);
      if (failure.kind === 'unavailable' && !isRetryable(failure)) broken ??= failure;
      throw failure;
    } finally {
      client.off('error', onError);
      client.release(broken !== undefined);
    }
  }

  return {
    ...onClient(pool),

    async transaction(work, options = {}) {
      for (let tries = 1; ; tries++) {
        try {
          return await attempt(work, options);
        } catch (error) {
          if (tries === ATTEMPTS || !isRetryable(error)) throw databaseFailure(error);
          await sleep(2 ** tries * 5 * (1 + Math.random()));
        }
      }
    },

    listen: (channel, onNotify) => listener.listen(channel, onNotify),

    close() {
      closing ??= Promise.all([listener.close(), pool.end()]).then(() => undefined);
      return closing;
    },
  };
}

function onClient(client: pg.Pool | pg.PoolClient, timeout?: number): Queryable {
  return {
    async query<Row extends object>(text: string, values?: readonly unknown[]): Promise<Rows<Row>> {
      try {
        const limit = timeout === undefined ? {} : { query_timeout: timeout === 0 ? 0 : timeout + GRACE_MS };
        const answer = await client.query<Row>({ text, ...limit, ...(values && { values: [...values] }) });
        // Several statements answer with a list, of which the last counts.
        const last = Array.isArray(answer) ? ((answer as pg.QueryResult<Row>[]).at(-1) ?? answer) : answer;
        return { rows: last.rows, rowCount: last.rowCount ?? 0 };
      } catch (error) {
        throw databaseFailure(error);
      }
    },
  };
}

const asText = (value: string): string => value;

function asInteger(value: string): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : BigInt(value);
}

/** pg's own parsers, but for int8 (it gives text) and for dates without a zone (it gives local midnight). */
function typeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if (format === 'binary') return pg.types.getTypeParser(oid, format) as (value: string) => unknown;
  const { INT8, DATE, TIMESTAMP } = pg.types.builtins;
  if (oid === INT8) return asInteger;
  if (oid === DATE || oid === TIMESTAMP) return asText;
  return pg.types.getTypeParser(oid) as (value: string) => unknown;
}
