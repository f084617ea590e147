/**
 * Whether the index and the store are there, looked at every few seconds: which is away, since when and why.
 * Made by archive.ts; /health/ready looks anew, /metrics reads what was last seen, so neither waits for what is away.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';

export interface Standing {
  kind: 'index' | 'store';
  /** Undefined while it is well. */
  away: { since: Date; why: string } | undefined;
}

export interface Standings {
  start(): void;
  stop(): void;
  /** As last seen. */
  known(): readonly Standing[];
  /** Looks anew; answers within `LOOK_LIMIT_MS` whatever is away. */
  look(): Promise<readonly Standing[]>;
}

const LOOK_EVERY_MS = 5000;
const LOOK_LIMIT_MS = 4500;

export function createStandings(
  checks: Readonly<Record<Standing['kind'], () => Promise<unknown>>>,
  log: Log,
): Standings {
  const watched = (['index', 'store'] as const).map((kind) => createWatched(kind, checks[kind], log));
  let timer: NodeJS.Timeout | undefined;
  const look = (): Promise<Standing[]> => Promise.all(watched.map((one) => one.look()));
  return {
    start() {
      timer = setInterval(() => void look(), LOOK_EVERY_MS).unref();
    },
    stop: () => clearInterval(timer),
    known: () => watched.map((one) => one.known()),
    look,
  };
}

function createWatched(
  kind: Standing['kind'],
  check: () => Promise<unknown>,
  log: Log,
): { known(): Standing; look(): Promise<Standing> } {
  let away: Standing['away'];
  /** One at a time: a check that hangs is not joined by others that hang. */
  let underWay: Promise<Failure | undefined> | undefined;

  const look = async (): Promise<Standing> => {
    underWay ??= check()
      .then(
        () => undefined,
        (thrown: unknown) => asFailure(thrown),
      )
      .finally(() => {
        underWay = undefined;
      });
    const limit = new AbortController();
    const late = sleep(LOOK_LIMIT_MS, new Failure('unavailable', 'it does not answer'), {
      signal: limit.signal,
    }).catch(() => undefined); // only ever aborted, when the answer is there
    const failure = await Promise.race([underWay, late]);
    limit.abort();
    if (failure && !away) log.error({ err: failure }, `the ${kind} is away`);
    if (!failure && away) log.info({ since: away.since }, `the ${kind} is back`);
    away = failure && { since: away?.since ?? new Date(), why: failure.message };
    return { kind, away };
  };
  return { known: () => ({ kind, away }), look };
}
