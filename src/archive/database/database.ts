/**
 * The way to Postgres for every room: queries, transactions that survive deadlocks, notifications.
 * Opened by connect.ts from DATABASE_URL or the embedded server. Everything it throws is a Failure:
 * 'unavailable' when the database is away (doors answer 503), never with a value of a row in its words.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { databaseFailure, isConnectionLost, isRetryable, isStalePlan } from './database-failure.ts';
import { createListener, type Listening } from './listener.ts';
import { createPulse } from './pulse.ts';

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
  /** Settings of Postgres for this transaction, as constants of the program: they are sent as they are. */
  settings?: Readonly<Record<string, string>>;
}

export interface Database extends Queryable {
  /** As query, but the statement is parsed once a connection and soon planned for any values: for small, frequent ones. */
  prepared<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[],
  ): Promise<Rows<Row>>;
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
  /** Waits for the queries under way, as long as a statement may take, and ends the connections. Closing twice is allowed. */
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
  /** Statements with values are parsed and planned once a connection: for who asks the same again and again. */
  prepare?: boolean;
}

/** More different statements than this are not prepared: each costs memory on the server. */
const MOST_PREPARED = 200;

const ATTEMPTS = 5;
/** How much longer than the server's own timeout a client waits before it takes the connection for dead. */
const GRACE_MS = 5000;
const FOREVER_MS = 2 ** 31 - 1;

/** Opens no connection yet: the first query does. */
export function openDatabase(connection: pg.PoolConfig, options: DatabaseOptions): Database {
  const { log, max = 10, applicationName = 'isocenter', statementTimeoutMs = 30_000 } = options;
  const ask = asker(options.prepare ?? false);
  const askPrepared = asker(true, 'isocenter_hot');
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
  const pulse = createPulse(common, log);
  /** After how many silences each connection was made. */
  const madeAt = new WeakMap<pg.ClientBase, number>();
  pool.on('connect', (client) => madeAt.set(client, pulse.silences));
  let closing: Promise<void> | undefined;

  async function connect(): Promise<pg.PoolClient> {
    let connecting: Promise<pg.PoolClient> | undefined;
    try {
      for (;;) {
        const client = await pulse.attend(() => {
          connecting = pool.connect();
          return connecting;
        });
        if (madeAt.get(client) === pulse.silences) return client;
        client.release(true);
        connecting = undefined;
      }
    } catch (error) {
      // One that comes after we gave up is nobody's.
      connecting?.then(
        (late) => late.release(true),
        () => undefined, // the same fault as ours, or its consequence
      );
      throw databaseFailure(error);
    }
  }

  /** Lends a connection; one that was lost under the work is not taken back. */
  async function borrow<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    let lost = false;
    // Without this a connection that breaks between two statements would end the process.
    const onError = (): void => {
      lost = true;
    };
    const client = await connect();
    client.on('error', onError);
    try {
      return await pulse.attend(() => work(client));
    } catch (error) {
      lost ||= isConnectionLost(error) || isStalePlan(error);
      throw error;
    } finally {
      client.off('error', onError);
      client.release(lost);
    }
  }

  async function run<T>(
    client: pg.PoolClient,
    work: (tx: Queryable) => Promise<T>,
    {
      isolation = 'read committed',
      readOnly = false,
      statementTimeoutMs: timeoutMs,
      settings = {},
    }: TransactionOptions,
  ): Promise<T> {
    let over = false;
    const begin = `begin isolation level ${isolation}${readOnly ? ' read only' : ''}`;
    // In one message: each costs a searcher its way there and back.
    const local = {
      ...settings,
      ...(timeoutMs !== undefined && { statement_timeout: Math.trunc(timeoutMs) }),
    };
    const set = Object.entries(local).map(([name, value]) => `; set local ${name} = ${value}`);
    try {
      await ask(client, begin + set.join(''));
      const result = await work({
        async query(text, values) {
          // A statement nobody awaited would run in whatever the connection does next.
          if (over) throw new Failure('internal', 'A statement came after its transaction had ended');
          return ask(client, text, values, timeoutMs);
        },
      });
      over = true;
      const { command } = await ask(client, 'commit');
      // After a failed statement that `work` let pass, Postgres answers a commit by rolling back.
      if (command !== 'COMMIT')
        throw new Failure(
          'internal',
          'A transaction was rolled back: one of its statements had failed before',
        );
      return result;
    } catch (error) {
      over = true;
      // A lost connection takes no rollback; giving it up is one.
      if (!isConnectionLost(error)) await ask(client, 'rollback');
      throw error;
    }
  }

  async function end(): Promise<void> {
    // A server that went silent answers no goodbye either; by then every query has run out of its time.
    const patience = sleep(statementTimeoutMs + GRACE_MS, undefined, { ref: false });
    const goodbye = Promise.all([listener.close(), pool.end()]);
    try {
      await pulse.attend(() => Promise.race([goodbye, patience]));
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      log.warn({ err: error }, 'connections to a silent Postgres are left to the end of the process');
      goodbye.catch((err: unknown) => log.debug({ err }, 'a connection did not end well'));
    } finally {
      pulse.close();
    }
  }

  return {
    query: (text, values) => borrow((client) => ask(client, text, values)),
    prepared: (text, values) => borrow((client) => askPrepared(client, text, values)),

    async transaction(work, options = {}) {
      for (let tries = 1; ; tries++) {
        try {
          return await borrow((client) => run(client, work, options));
        } catch (error) {
          if (tries === ATTEMPTS || !isRetryable(error)) throw error;
          await sleep(2 ** tries * 5 * (1 + Math.random()));
        }
      }
    },

    listen: (channel, onNotify) => listener.listen(channel, onNotify),

    close() {
      closing ??= end();
      return closing;
    },
  };
}

/** How one statement is asked; prepared ones go by a name that stands for their text. */
function asker(prepare: boolean, prefix = 'isocenter') {
  const names = new Map<string, string>();
  const nameOf = (text: string): string | undefined => {
    const known = names.get(text);
    if (known !== undefined || names.size >= MOST_PREPARED) return known;
    const name = `${prefix}_${names.size}`;
    names.set(text, name);
    return name;
  };
  /** @param timeoutMs what the server was told for this statement, when it is not the pool's default */
  return async function ask<Row extends object>(
    client: pg.PoolClient,
    text: string,
    values?: readonly unknown[],
    timeoutMs?: number,
  ): Promise<Rows<Row> & { command: string }> {
    // pg takes a query_timeout of 0 for "the default".
    const patience =
      timeoutMs === undefined ? {} : { query_timeout: timeoutMs === 0 ? FOREVER_MS : timeoutMs + GRACE_MS };
    const name = prepare && values ? nameOf(text) : undefined;
    try {
      const answer = await client.query<Row>({
        text,
        ...(name !== undefined && { name }),
        ...patience,
        ...(values && { values: [...values] }),
      });
      // Several statements answer with a list, of which the last counts.
      const last = Array.isArray(answer) ? ((answer as pg.QueryResult<Row>[]).at(-1) ?? answer) : answer;
      return { rows: last.rows, rowCount: last.rowCount ?? 0, command: last.command };
    } catch (error) {
      throw databaseFailure(error);
    }
  };
}

/** The same database, whose every statement with values is a prepared one. */
export function preparing(database: Pick<Database, 'query' | 'prepared'>): Queryable {
  return {
    query: (text, values) => (values ? database.prepared(text, values) : database.query(text)),
  };
}

const asText = (value: string): string => value;

function asInteger(value: string): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : BigInt(value);
}

const INT8_ARRAY = 1016;

function asIntegers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asIntegers);
  return typeof value === 'string' ? asInteger(value) : value;
}

/** pg's own parsers, but for int8 (it gives text) and for dates without a zone (it gives local midnight). */
function typeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  const parse = pg.types.getTypeParser(oid, format) as (value: string) => unknown;
  if (format === 'binary') return parse;
  const { INT8, DATE, TIMESTAMP } = pg.types.builtins;
  if (oid === INT8) return asInteger;
  if (oid === INT8_ARRAY) return (value) => asIntegers(parse(value));
  if (oid === DATE || oid === TIMESTAMP) return asText;
  return parse;
}
