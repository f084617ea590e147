/**
 * Routes series that have been quiet for STABLE_AGE_S with no association for their study open, for rules at
 * 'series-stable'. route-study.ts notes which series received something; by Postgres' rows and clock alone, so it
 * survives a restart and any process may do it.
 */
import type { Database, Queryable } from '../archive/database/database.ts';
import { findStudy } from '../archive/study.ts';
import type { Log } from '../log.ts';
import { beginEvaluation, type EvaluateParts, evaluateUnit } from './evaluate.ts';

/** As archive/stable-study.ts: a node that has not been seen for this long has lost its associations. */
const NODE_GONE_S = 60;
const BATCH = 20;

export interface QuietSeriesParts extends EvaluateParts {
  database: Database;
  stableAgeS: number;
  log: Log;
}

/** @returns how many series were looked at */
export function routeQuietSeries(parts: QuietSeriesParts): Promise<number> {
  return parts.database.transaction(async (tx) => {
    const quiet = await takeQuiet(tx, parts.stableAgeS);
    if (quiet.length === 0) return 0;
    const evaluation = await beginEvaluation(parts, tx);
    for (const { studyUid, seriesUid } of quiet) {
      const study = await findStudy(tx, studyUid);
      if (study) await evaluateUnit(parts, tx, evaluation, 'series-stable', study, { seriesUid });
    }
    return quiet.length;
  });
}

async function takeQuiet(
  tx: Queryable,
  stableAgeS: number,
): Promise<{ studyUid: string; seriesUid: string }[]> {
  const { rows } = await tx.query<{ studyUid: string; seriesUid: string }>(
    `delete from series_watch where (study_uid, series_uid) in (
       select w.study_uid, w.series_uid from series_watch w
       where w.stored_at <= now() - make_interval(secs => $1)
         and not exists (
           select 1 from reception_study rs join reception r on r.id = rs.reception and r.closed_at is null
           join node n on n.name = r.node and n.seen_at > now() - make_interval(secs => $2)
           where rs.study_uid = w.study_uid)
       order by w.stored_at limit ${BATCH} for update skip locked)
     returning study_uid as "studyUid", series_uid as "seriesUid"`,
    [stableAgeS, NODE_GONE_S],
  );
  return rows;
}

export interface QuietSeries {
  start(): void;
  stop(): Promise<void>;
}

export function createQuietSeries(parts: QuietSeriesParts): QuietSeries {
  const everyMs = Math.min(1000, Math.max(200, (parts.stableAgeS * 1000) / 4));
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;

  const tick = async (): Promise<void> => {
    try {
      while (!stopped && (await routeQuietSeries(parts)) === BATCH);
    } catch (err) {
      parts.log.warn({ err }, 'quiet series could not be routed, trying again');
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
