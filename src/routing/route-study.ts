/**
 * Follows the archive's change feed and routes: instances as they are stored, studies once they are stable.
 * Decisions and debts are written in the transaction that moves the feed's cursor, so each change is routed exactly
 * once. What it owes goes to forwarding through the ledger; quiet-series.ts does the same for series.
 */
import type { Change } from '../archive/change-feed.ts';
import type { Queryable } from '../archive/database/database.ts';
import { findStudy, type StudyRecord } from '../archive/study.ts';
import { notifyDue } from './due.ts';
import { beginEvaluation, type EvaluateParts, type Evaluation, evaluateUnit } from './evaluate.ts';

export const ROUTED_KINDS = [
  'instance-stored',
  'instance-replaced',
  'instance-removed',
  'instance-deleted',
  'study-stable',
  'study-held',
  'study-released',
] as const;

/** Whatever was owed of the instance's bytes from before is not current any more. */
const OUTDATING: ReadonlySet<string> = new Set(['instance-replaced', 'instance-removed', 'instance-deleted']);

/** What a batch of changes says of one study. */
interface StudyNews {
  sopUids: Set<string>;
  seriesUids: Set<string>;
  /** Instances whose earlier bytes are no longer owed. */
  outdated: Set<string>;
  /** Versions declared stable. */
  stable: Set<number>;
  /** Held or released: the row says which it is now. */
  turned: boolean;
  released: boolean;
}

/** In the transaction of the feed's cursor. */
export async function routeChanges(
  parts: EvaluateParts,
  tx: Queryable,
  changes: readonly Change[],
): Promise<void> {
  const evaluation = await beginEvaluation(parts, tx);
  for (const [studyUid, news] of byStudy(changes)) {
    const study = await findStudy(tx, studyUid);
    if (study) await routeStudy(parts, tx, evaluation, study, news);
    // A study that was deleted owes nothing more.
    else if (news.outdated.size > 0) await forgetOutdated(tx, studyUid, [...news.outdated]);
  }
}

async function routeStudy(
  parts: EvaluateParts,
  tx: Queryable,
  evaluation: Evaluation,
  study: StudyRecord,
  news: StudyNews,
): Promise<void> {
  if (news.outdated.size > 0) await forgetOutdated(tx, study.studyUid, [...news.outdated]);
  if (news.turned) await holdDeliveries(tx, study);
  if (news.released) {
    // Whatever was passed over while it was held is looked at now.
    await watchSeries(tx, study.studyUid, undefined);
    await evaluateUnit(parts, tx, evaluation, 'instance', study, {});
    if (study.stableVersion === study.version)
      await evaluateUnit(parts, tx, evaluation, 'study-stable', study, {});
    return;
  }
  if (news.seriesUids.size > 0) await watchSeries(tx, study.studyUid, [...news.seriesUids]);
  if (news.sopUids.size > 0)
    await evaluateUnit(parts, tx, evaluation, 'instance', study, { sopUids: [...news.sopUids] });
  // A version that is no longer the study's is not stable any more; its successor will be declared in its turn.
  if (news.stable.has(study.version)) await evaluateUnit(parts, tx, evaluation, 'study-stable', study, {});
}

function byStudy(changes: readonly Change[]): Map<string, StudyNews> {
  const studies = new Map<string, StudyNews>();
  for (const change of changes) {
    let news = studies.get(change.studyUid);
    if (!news) {
      news = {
        sopUids: new Set(),
        seriesUids: new Set(),
        outdated: new Set(),
        stable: new Set(),
        turned: false,
        released: false,
      };
      studies.set(change.studyUid, news);
    }
    if (change.sopUid && OUTDATING.has(change.kind)) news.outdated.add(change.sopUid);
    if (change.kind === 'instance-removed' || change.kind === 'instance-deleted') continue;
    if (change.kind === 'instance-stored' || change.kind === 'instance-replaced') {
      if (change.sopUid) news.sopUids.add(change.sopUid);
      if (change.seriesUid) news.seriesUids.add(change.seriesUid);
    } else if (change.kind === 'study-stable') news.stable.add(change.studyVersion);
    else {
      news.turned = true;
      news.released = change.kind === 'study-released';
    }
  }
  return studies;
}

/**
 * Bytes that were owed and never sent, of a version that is not current any more: the current one's own debt follows.
 * What was delivered stays on record. Locks the deliveries against a worker that finishes them now.
 */
async function forgetOutdated(tx: Queryable, studyUid: string, sopUids: string[]): Promise<void> {
  await tx.query('select 1 from delivery where study_uid = $1 order by id for update', [studyUid]);
  await tx.query(
    `delete from delivery_instance di using delivery d
     where d.id = di.delivery and d.study_uid = $1 and di.sop_uid = any($2) and di.state in ('owed', 'failed')
       and not exists (select 1 from instance i where i.object = di.object)`,
    [studyUid, sopUids],
  );
}

/** Debts from before a conflict wait too. */
async function holdDeliveries(tx: Queryable, study: StudyRecord): Promise<void> {
  const held = study.held !== null;
  const { rowCount } = await tx.query(
    `update delivery set held = $2 or waits, changed_at = now() where study_uid = $1 and held <> ($2 or waits)`,
    [study.studyUid, held],
  );
  if (rowCount > 0 && !held) await notifyDue(tx);
}

/** From now on until they are quiet; all series of the study when none are named. */
async function watchSeries(tx: Queryable, studyUid: string, seriesUids: string[] | undefined): Promise<void> {
  await tx.query(
    `insert into series_watch (study_uid, series_uid)
     select s.study_uid, e.series_uid from study s join series e on e.study = s.id
     where s.study_uid = $1 and ($2::text[] is null or e.series_uid = any($2)) order by e.series_uid
     on conflict (study_uid, series_uid) do update set stored_at = now()`,
    [studyUid, seriesUids ?? null],
  );
}
