/**
 * The rows of what a person must look at, and the holds that follow from them: a study is held while an identity
 * conflict of it is open. Written by study-index.ts with the objects, by compare-versions.ts once content is compared,
 * and by settle-conflict.ts; always under the study's lock.
 */
import type { NewChange } from './change-feed.ts';
import type { Queryable } from './database/database.ts';
import type { FoundConflict } from './decide-indexing.ts';

export interface NewConflict extends FoundConflict {
  studyUid: string;
  seriesUid: string;
  sopUid: string;
  /** row id of the version that came */
  object: number;
  sourceAe: string | null;
}

/** Who settles what a policy settles. */
export const BY_POLICY = 'CONFLICT_POLICY';
/** Who settles what turns out to have equal values. */
export const BY_COMPARISON = 'comparison';

/** The same again makes no second row. */
export async function insertConflicts(tx: Queryable, conflicts: readonly NewConflict[]): Promise<void> {
  if (conflicts.length === 0) return;
  await tx.query(
    `insert into conflict (kind, study_uid, series_uid, sop_uid, object, reason, source_ae, content_hash, against,
       other_study_uid, settlement, settled_at, settled_by)
     select r.kind, r.study_uid, r.series_uid, r.sop_uid, r.object, r.reason, r.source_ae,
       (select content_hash from object o where o.id = r.object), decode(r.against, 'hex'), r.other_study_uid, r.settled,
       case when r.settled is not null then now() end,
       case r.settled when 'set-aside' then (select decided_by from patient_decision d join object o on o.id = r.object
           where d.study_uid = r.study_uid and d.patient_id = o.patient_id and d.issuer = o.issuer)
         when 'replaced' then '${BY_POLICY}' end
     from jsonb_to_recordset($1) as r(kind text, study_uid text, series_uid text, sop_uid text, object bigint,
       reason text, source_ae text, against text, other_study_uid text, settled text)
     on conflict do nothing`,
    [
      JSON.stringify(
        conflicts.map((conflict) => ({
          kind: conflict.kind,
          study_uid: conflict.studyUid,
          series_uid: conflict.seriesUid,
          sop_uid: conflict.sopUid,
          object: conflict.object,
          reason: conflict.reason,
          source_ae: conflict.sourceAe,
          against: conflict.against ?? null,
          other_study_uid: conflict.otherStudyUid ?? null,
          settled: conflict.settled ?? null,
        })),
      ),
    ],
  );
}

/**
 * Holds the studies that have an open identity conflict, and releases the others. A study may have had its conflict
 * before it had an instance of its own.
 */
export async function reconcileHolds(tx: Queryable, studyUids: readonly string[]): Promise<NewChange[]> {
  const { rows } = await tx.query<{ studyUid: string; version: number; held: string | null }>(
    `update study s set held = c.reason
     from (select u.uid, (select reason from conflict where study_uid = u.uid and settled_at is null
             and kind <> 'content' order by id limit 1) as reason from unnest($1::text[]) as u(uid)) c
     where s.study_uid = c.uid and (s.held is null) <> (c.reason is null)
     returning s.study_uid as "studyUid", s.version, s.held`,
    [studyUids],
  );
  return rows.map(({ studyUid, version, held }) => ({
    kind: held === null ? 'study-released' : 'study-held',
    studyUid,
    studyVersion: version,
  }));
}

/** Versions whose values are to be compared with the current ones, now or as soon as somebody can. */
export async function queueComparisons(
  tx: Queryable,
  versions: readonly { object: number; refusable: boolean }[],
): Promise<void> {
  if (versions.length === 0) return;
  await tx.query(
    `insert into comparison (object, refusable) select object, refusable
     from jsonb_to_recordset($1) as r(object bigint, refusable boolean) on conflict (object) do nothing`,
    [JSON.stringify(versions)],
  );
  await tx.query("select pg_notify('isocenter_comparison', '')");
}

/** Each kind, also those of which there is none. */
export async function countOpenConflicts(db: Queryable): Promise<{ kind: string; count: number }[]> {
  const { rows } = await db.query<{ kind: string; count: number }>(
    `select k.kind, (select count(*) from conflict c where c.kind = k.kind and c.settled_at is null) as count
     from unnest(array['content', 'patient', 'series-study', 'instance-series']) as k(kind)`,
  );
  return rows;
}
