/**
 * The embedded Postgres: the server that runs when no DATABASE_URL is given, started, watched and stopped here.
 * It listens on a Unix socket in the data folder only, never on the network, and syncs everything it commits.
 * Called by connect.ts and by the tests; main.ts stops it last, after the drain.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { ensureCluster, ROLE, spawnPostgres } from './cluster.ts';
import { STOP_STEPS, stopOrphan } from './orphan.ts';
import { findPostgresBinaries } from './postgres-binaries.ts';
import { openPostgresLog } from './postgres-log.ts';
import { choosePostgresUser } from './postgres-user.ts';
import { openSocketFolder, SOCKET_PORT } from './socket-folder.ts';

export interface EmbeddedPostgresParts {
  /** The folder for cluster, socket and log, on a disk that keeps what it syncs; under the data folder's lock. */
  folder: string;
  log: Log;
  /** Told each time the server ends without being asked to; it is being started again by then. */
  onExit?: (how: { code: number | null; signal: NodeJS.Signals | null }) => void;
}

export interface EmbeddedPostgres {
  /** For pg: the socket's folder as host; no password, since nobody else can enter the folder. */
  readonly connection: { host: string; port: number; database: string; user: string; ssl: false };
  /** The postmaster's, while it runs. */
  pid(): number | undefined;
  /** Fast shutdown, bounded; the connections still open are ended. Stopping twice is allowed. */
  stop(): Promise<void>;
}

/** What Postgres may not be configured out of. Given as arguments, so that no file in the cluster can undo them. */
const SETTINGS: Record<string, string> = {
  listen_addresses: '',
  port: String(SOCKET_PORT),
  unix_socket_permissions: '0700',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  shared_buffers: '128MB',
  max_connections: '60',
  // Short queries, many at a time; containers often have 64 MB of /dev/shm or none.
  max_parallel_workers_per_gather: '0',
  dynamic_shared_memory_type: 'mmap',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Its log may hold no patient data: no statements, no parameters, no DETAIL lines (which quote keys), and not
  // even the text of errors, which quotes input ("invalid input syntax for type integer: ...").
  log_destination: 'stderr',
  logging_collector: 'off',
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
  log_duration: 'off',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_lock_waits: 'off',
};

const QUIET_START_MS = 60_000;
/** Replaying the WAL after a crash is bounded by max_wal_size; a very slow disk still gets through in this time. */
const RECOVERY_MS = 600_000;
const RECOVERS = /not properly shut down|redo (starts|in progress)/;
const LONGEST_RESTART_DELAY_MS = 30_000;

/**
 * Makes the cluster at the first start, stops an orphan of a killed run, starts the server and waits for it.
 * While it runs, a server that dies is started again, sooner at first and every 30 s at last.
 * @throws Failure 'unsupported' (no binaries, no user to run as), 'conflict' (another major version, an orphan that
 *         cannot be stopped), 'unavailable' (it does not come up; the sentence carries its last words)
 */
export async function startEmbeddedPostgres({
  folder,
  log,
  onExit,
}: EmbeddedPostgresParts): Promise<EmbeddedPostgres> {
  const binaries = findPostgresBinaries();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const data = path.join(folder, 'data');
  const user = choosePostgresUser(folder, binaries, log);
  await ensureCluster(data, binaries, user);
  const sockets = openSocketFolder(folder, user);
  const serverLog = openPostgresLog(path.join(folder, 'postgres.log'), log);
  const connection = {
    host: sockets.path,
    port: SOCKET_PORT,
    database: ROLE,
    user: ROLE,
    ssl: false,
  } as const;

  // A list for Postgres: quoted, so that a comma or a space in the path stays in it.
  const quoted = `"${sockets.path.replaceAll('"', '""')}"`;
  const settings = { ...SETTINGS, unix_socket_directories: quoted };
  const args = [
    '-D',
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  const stopping = new AbortController();
  let running: Server | undefined;
  let revival: Promise<void> | undefined;

  /** One server process, up to its first answer. */
  async function bringUp(): Promise<void> {
    await stopOrphan(data, log);
    sockets.clear();
    const server = watch(spawnPostgres(binaries.postgres, user, folder, args));
    if (server.child.stderr) serverLog.follow(server.child.stderr);
    running = server;
    try {
      await answers(server);
    } catch (error) {
      await end(server);
      throw error;
    }
    void server.ended.then((how) => {
      if (stopping.signal.aborted) return;
      log.error(how, 'Postgres ended unexpectedly; starting it again');
      onExit?.(how);
      revival = revive();
    });
  }

  async function revive(): Promise<void> {
    for (let delay = 100; !stopping.signal.aborted; delay = Math.min(delay * 2, LONGEST_RESTART_DELAY_MS)) {
      try {
        await sleep(delay, undefined, { signal: stopping.signal });
        await bringUp();
        log.info('Postgres is back');
        return;
      } catch (err) {
        if (!stopping.signal.aborted) log.error({ err }, 'Postgres does not start again yet');
      }
    }
  }

  async function answers(server: Server): Promise<void> {
    const begun = Date.now();
    for (let recovering = false, said = false; ; ) {
      const waited = Date.now() - begun;
      const state = server.how ?? (await knock({ ...connection, database: 'postgres' }));
      if (state === 'ready') return;
      recovering ||= state === 'recovering';
      // It refuses with the same code while it merely starts; only its log tells the two apart.
      if (recovering && !said && serverLog.lastLines().some((line) => RECOVERS.test(line))) {
        log.info('Postgres recovers what the last run left unfinished');
        said = true;
      }
      if (typeof state === 'object' || waited > (recovering ? RECOVERY_MS : QUIET_START_MS)) {
        // Its last words may come after its exit.
        await Promise.race([server.silent, sleep(500)]);
        throw new Failure(
          'unavailable',
          `The embedded Postgres in ${folder} does not start. Its log (postgres.log there) ends with: ${serverLog.lastLines().join(' / ')}`,
        );
      }
      await sleep(25, undefined, { signal: stopping.signal });
    }
  }

  async function stop(): Promise<void> {
    stopping.abort();
    await revival;
    if (running) await end(running);
    sockets.remove();
    serverLog.close();
  }

  try {
    await bringUpPastRests(bringUp, () => serverLog.lastLines(), log);
    await createDatabase(connection);
  } catch (error) {
    await stop();
    throw error;
  }
  return { connection, pid: () => (running?.how === undefined ? running?.child.pid : undefined), stop };
}

interface Server {
  child: ChildProcess;
  how: { code: number | null; signal: NodeJS.Signals | null } | undefined;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Its standard error has ended too. */
  silent: Promise<void>;
}

function watch(child: ChildProcess): Server {
  const server: Server = {
    child,
    how: undefined,
    ended: new Promise((resolve) => {
      const settle = (code: number | null, signal: NodeJS.Signals | null): void => {
        server.how ??= { code, signal };
        resolve(server.how);
      };
      child.once('exit', settle);
      // The program could not be started at all.
      child.once('error', () => settle(null, null));
    }),
    silent: new Promise((resolve) => child.once('close', () => resolve())),
  };
  return server;
}

async function end(server: Server): Promise<void> {
  for (const [signal, patienceMs] of STOP_STEPS) {
    if (server.how !== undefined) return;
    server.child.kill(signal);
    const patience = new AbortController();
    const timer = sleep(patienceMs, undefined, { signal: patience.signal }).catch((error: unknown) => {
      if (!patience.signal.aborted) throw error;
    });
    await Promise.race([server.ended, timer]);
    patience.abort();
  }
}

/**
 * Two rests of a killed run pass by themselves. A busy backend outlives its postmaster until its statement ends, and
 * a new postmaster refuses to share the memory with it; statements have a timeout, so waiting is bounded. And a
 * postmaster that was only just started when its parent was killed shows itself after we have looked for it.
 */
async function bringUpPastRests(
  bringUp: () => Promise<void>,
  lastLines: () => string[],
  log: Log,
): Promise<void> {
  for (let turn = 0; ; turn++) {
    try {
      await bringUp();
      return;
    } catch (error) {
      const rest = /pre-existing shared memory block|lock file .* already exists/;
      if (turn === 60 || !lastLines().some((line) => rest.test(line))) throw error;
      if (turn === 0) log.warn('waiting for what is left of a killed Postgres');
      await sleep(1000);
    }
  }
}

async function knock(connection: pg.ClientConfig): Promise<'ready' | 'recovering' | 'silent'> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 5000 });
  // After a failed connect pg may emit the same fault once more.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.end();
    return 'ready';
  } catch (error) {
    // 57P03 cannot_connect_now: it is there, and starts or recovers.
    return (error as { code?: string }).code === '57P03' ? 'recovering' : 'silent';
  }
}

/** Idempotent, so that a kill between initdb and here is harmless. */
async function createDatabase(connection: EmbeddedPostgres['connection']): Promise<void> {
  const client = new pg.Client({ ...connection, database: 'postgres' });
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [connection.database]);
    if (found.rowCount === 0)
      await client.query(`create database ${pg.escapeIdentifier(connection.database)}`);
  } finally {
    await client.end();
  }
}
