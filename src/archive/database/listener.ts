/**
 * LISTEN on one connection of its own, shared by all channels of a Database and reconnected when it breaks.
 * A notification only wakes: after each connect every follower is called without a payload and looks by itself.
 * Called by database.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Log } from '../../log.ts';
import { databaseFailure } from './database-failure.ts';

export interface Listening {
  stop(): Promise<void>;
}

export interface Listener {
  /** @throws DatabaseFailure when the first connection cannot be made; nothing is followed then */
  listen(channel: string, onNotify: (payload: string | undefined) => void): Promise<Listening>;
  close(): Promise<void>;
}

type OnNotify = (payload: string | undefined) => void;

const LONGEST_DELAY_MS = 10_000;
/** A connection cut without a word (a firewall, a failover) is found by asking, this often. */
const PROBE_MS = 30_000;
const PROBE_PATIENCE_MS = 5000;

export function createListener(connection: pg.ClientConfig, log: Log): Listener {
  const followers = new Map<string, Set<OnNotify>>();
  const closing = new AbortController();
  let client: pg.Client | undefined;
  let connecting: Promise<void> | undefined;
  let returning: Promise<void> | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  /** One statement at a time: pg's client wants its caller to wait. A failure is its own caller's, not the next one's. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = turn.then(work);
    turn = Promise.allSettled([result]);
    return result;
  }

  async function connect(): Promise<void> {
    const next = new pg.Client({ ...connection, query_timeout: PROBE_PATIENCE_MS });
    let lost = false;
    const onLost = (): void => {
      if (lost) return;
      lost = true;
      clearInterval(probe);
      if (client !== next) return;
      client = undefined;
      void next.end().catch((err: unknown) => log.debug({ err }, 'a lost connection did not close'));
      if (!closing.signal.aborted) returning ??= comeBack();
    };
    const probe = setInterval(
      () => void inTurn(() => next.query('select 1')).catch(onLost),
      PROBE_MS,
    ).unref();
    next.on('error', onLost);
    next.on('end', onLost);
    next.on('notification', ({ channel, payload }) => call(channel, payload));
    try {
      await next.connect();
      for (const channel of followers.keys()) await next.query(`listen ${pg.escapeIdentifier(channel)}`);
    } catch (error) {
      clearInterval(probe);
      await next.end().catch((err: unknown) => log.debug({ err }, 'a failed connection did not close'));
      throw databaseFailure(error);
    }
    client = next;
    for (const channel of followers.keys()) call(channel, undefined);
  }

  /** Connects again, sooner at first, every 10 s at last. */
  async function comeBack(): Promise<void> {
    log.warn('the connection for notifications was lost');
    for (let delay = 50; !closing.signal.aborted; delay = Math.min(delay * 2, LONGEST_DELAY_MS)) {
      try {
        await sleep(delay, undefined, { signal: closing.signal });
        await connect();
        break;
      } catch (err) {
        if (!closing.signal.aborted) log.debug({ err }, 'the connection for notifications is still lost');
      }
    }
    returning = undefined;
  }

  function call(channel: string, payload: string | undefined): void {
    for (const onNotify of followers.get(channel) ?? []) {
      try {
        onNotify(payload);
      } catch (err) {
        log.error({ err, channel }, 'a follower of a channel failed');
      }
    }
  }

  function unfollow(channel: string, onNotify: OnNotify): boolean {
    const set = followers.get(channel);
    if (!set?.delete(onNotify) || set.size > 0) return false;
    followers.delete(channel);
    return true;
  }

  async function say(what: 'listen' | 'unlisten', channel: string): Promise<void> {
    await inTurn(async () => client?.query(`${what} ${pg.escapeIdentifier(channel)}`));
  }

  return {
    async listen(channel, onNotify) {
      followers.set(channel, (followers.get(channel) ?? new Set<OnNotify>()).add(onNotify));
      try {
        // While a lost connection comes back it takes up every channel by itself.
        if (!client && !returning) {
          connecting ??= connect().finally(() => {
            connecting = undefined;
          });
          await connecting;
        }
        // Listening twice is one listening; the channel may have come after connect() went through the others.
        await say('listen', channel);
      } catch (error) {
        unfollow(channel, onNotify);
        throw databaseFailure(error);
      }
      onNotify(undefined);
      return {
        async stop() {
          if (!unfollow(channel, onNotify)) return;
          // Not waited for: nobody hears the channel any more. When it cannot be said the connection is broken, and its
          // successor will not listen to this channel.
          void say('unlisten', channel).catch((err: unknown) => log.debug({ err }, 'unlisten failed'));
        },
      };
    },

    async close() {
      closing.abort();
      followers.clear();
      await Promise.allSettled([connecting, returning]);
      const last = client;
      client = undefined;
      await last?.end();
    },
  };
}
