/**
 * Declares a study stable once it has been quiet for STABLE_AGE_S with no association for it open, and says so in the
 * change feed. By Postgres' clock and rows alone, so it survives a restart and any node may do it.
 * A late image moves the version, and the study becomes stable again after it; followers send only what is new.
 */
import type { Log } from '../log.ts';
import { appendChanges } from './change-feed.ts';
import type { Database } from './database/database.ts';

/** A node that has not been seen for this long has lost its associations. */
const NODE_GONE_S = 60;
const BATCH = 100;

/** @returns how many studies became stable */
export function declareStable(database: Database, stableAgeS: number): Promise<number> {
  return database.transaction(async (tx) => {
    const stable = await tx.query<{ studyUid: string; studyVersion: number }>(
      `update study set stable_version = version, stable_at = now()
       where id in (
         select s.id from study s
         where s.stable_version is distinct from s.version
           and s.last_received_at <= now() - make_interval(secs => $1)
           and not exists (
             select 1 from reception_study rs
             join reception r on r.id = rs.reception and r.closed_at is null
             join node n on n.name = r.node and n.seen_at > now() - make_interval(secs => $2)
             where rs.study_uid = s.study_uid)
         order by s.last_received_at limit ${BATCH} for update of s skip locked)
       returning study_uid as "studyUid", version as "studyVersion"`,
      [stableAgeS, NODE_GONE_S],
    );
    await appendChanges(
      tx,
      stable.rows.map((row) => ({ kind: 'study-stable', ...row })),
    );
    return stable.rows.length;
  });
}

export interface StableStudies {
  start(): void;
  stop(): Promise<void>;
}

export function createStableStudies(parts: {
  database: Database;
  stableAgeS: number;
  /** Says that this node lives: after a database was away, its open associations must not look like those of the dead. */
  heartbeat(): Promise<void>;
  log: Log;
}): StableStudies {
  const everyMs = Math.min(1000, Math.max(200, (parts.stableAgeS * 1000) / 4));
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  let away = false;

  const tick = async (): Promise<void> => {
    try {
      if (away) await parts.heartbeat();
      away = false;
      while (!stopped && (await declareStable(parts.database, parts.stableAgeS)) === BATCH);
    } catch (err) {
      away = true;
      parts.log.warn({ err }, 'stable studies could not be looked for, trying again');
    }
  };
  const schedule = (): void => {
    if (stopped) return;
    timer = setTimeout(() => {
      running = tick().finally(schedule);
    }, everyMs);
  };
  return {
    start: schedule,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
