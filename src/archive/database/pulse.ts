/**
 * Tells a Postgres that has gone silent (stopped, cut off, on a disk that hangs) from one that is only slow, so that
 * nobody waits out a whole statement timeout for nothing. Work that takes longer than a moment makes it knock on a
 * connection of its own; without an answer, all work under way is given up and new work is refused at once, until the
 * server answers again. Called by database.ts around everything it asks of the server.
 */
import pg from 'pg';
import type { Log } from '../../log.ts';
import { DatabaseFailure, databaseFailure } from './database-failure.ts';

export interface Pulse {
  /**
   * What `work` gives, or a failure as soon as the server is known to be silent; `work` is not begun when it is so
   * already. Whoever began it must then give its connection up.
   * @throws DatabaseFailure 'unavailable' beside what `work` throws
   */
  attend<T>(work: () => Promise<T>): Promise<T>;
  /** How often it has gone silent: a connection from before may be dead without a word. */
  readonly silences: number;
  close(): void;
}

/** Work that takes longer makes us look; a door has answered within this, the patience and a little more. */
const LOOK_AFTER_MS = 1000;
const PATIENCE_MS = 3000;
/** A timer this late means that our own process stood still: nothing is known of the server then. */
const LATE_MS = 500;

export function createPulse(connection: pg.ClientConfig, log: Log): Pulse {
  /** In the order they began. */
  const underWay = new Set<{ since: number; giveUp: (why: DatabaseFailure) => void }>();
  let silent: DatabaseFailure | undefined;
  let timer: NodeJS.Timeout | undefined;
  let silences = 0;
  let looking = false;
  let closed = false;

  const lookIn = (ms: number): void => {
    if (!closed && !looking) timer ??= setTimeout(look, ms).unref();
  };

  const look = (): void => {
    timer = undefined;
    const [oldest] = underWay;
    if (!silent && !oldest) return;
    const age = silent ? Number.POSITIVE_INFINITY : Date.now() - oldest!.since;
    if (age < LOOK_AFTER_MS) {
      lookIn(LOOK_AFTER_MS - age);
      return;
    }
    looking = true;
    void knock(connection).then((fault) => {
      looking = false;
      if (closed) return;
      if (fault && !silent) {
        silences++;
        log.warn({ err: fault }, 'Postgres has gone silent');
      }
      if (!fault && silent) log.info('Postgres answers again');
      silent = fault;
      if (fault) for (const { giveUp } of underWay) giveUp(fault);
      lookIn(LOOK_AFTER_MS);
    });
  };

  return {
    async attend(work) {
      if (silent) throw silent;
      const { promise, reject } = Promise.withResolvers<never>();
      const entry = { since: Date.now(), giveUp: reject };
      underWay.add(entry);
      lookIn(LOOK_AFTER_MS);
      try {
        return await Promise.race([work(), promise]);
      } finally {
        underWay.delete(entry);
      }
    },
    get silences() {
      return silences;
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** @returns undefined when the server answers, be it with a refusal: then the work under way hears of it by itself */
async function knock(connection: pg.ClientConfig): Promise<DatabaseFailure | undefined> {
  const client = new pg.Client({
    ...connection,
    connectionTimeoutMillis: PATIENCE_MS,
    query_timeout: PATIENCE_MS,
  });
  // After a failed connect pg may emit the same fault once more.
  client.on('error', () => undefined);
  const begun = Date.now();
  try {
    await client.connect();
    await client.query('select 1');
    return undefined;
  } catch (thrown) {
    const failure = databaseFailure(thrown);
    const answered = !(failure instanceof DatabaseFailure) || /^[0-9A-Z]{5}$/.test(failure.code ?? '');
    return answered || Date.now() - begun > 2 * PATIENCE_MS + LATE_MS ? undefined : failure;
  } finally {
    void client.end().catch(() => undefined); // it has said what it knows; a silent one cannot say goodbye
  }
}
