/**
 * Lets searches that no index answers alone (find-studies.ts) take turns: each may hold its connection for seconds, and
 * frames, headers and exact searches want one meanwhile. Made by dicomweb's routes; the statements go on to Postgres.
 */
import { Failure } from '../failure.ts';
import type { Database } from './database/database.ts';

export interface SearchTurns {
  /** Transactions at once. */
  readonly atOnce?: number;
  /** For a turn; one more is refused. */
  readonly mostWaiting?: number;
  /** Who has had no turn by then is refused. */
  readonly patienceMs?: number;
}

const RETRY_AFTER_S = 5;

/** The same database, whose transactions take turns. Its transaction() @throws Failure 'unavailable' too when none comes */
export function inTurns(
  database: Database,
  { atOnce = 5, mostWaiting = 200, patienceMs = 10_000 }: SearchTurns = {},
): Database {
  /** The one that came first, first. */
  const waiting = new Set<() => void>();
  let underWay = 0;

  const turn = async (): Promise<void> => {
    if (underWay < atOnce) {
      underWay++;
      return;
    }
    if (waiting.size >= mostWaiting) throw tooMany();
    await new Promise<void>((resolve, reject) => {
      const begin = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(begin);
        reject(tooMany());
      }, patienceMs);
      waiting.add(begin);
    });
  };

  /** The turn goes on to the next, or is free. */
  const end = (): void => {
    const [next] = waiting;
    if (!next) {
      underWay--;
      return;
    }
    waiting.delete(next);
    next();
  };

  return {
    ...database,
    async transaction(work, options) {
      await turn();
      try {
        return await database.transaction(work, options);
      } finally {
        end();
      }
    },
  };
}

const tooMany = (): Failure =>
  new Failure('unavailable', 'More searches that take long are under way than are made at once', {
    retryAfterS: RETRY_AFTER_S,
  });
