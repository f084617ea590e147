/**
 * Deletes a study, series or instance for good: its rows, all its versions and their bytes, in steps, each of which is
 * one transaction with its line in the audit table `deletion` and its changes in the feed. Bytes follow by removal.ts,
 * also after a crash. A study waiting for a person's decision is not deleted, nor what has not reached the store.
 * Called by dicomweb/delete.ts.
 */
import { Failure } from '../failure.ts';
import { appendChanges, type NewChange } from './change-feed.ts';
import type { Database, Queryable } from './database/database.ts';
import { removeInstances } from './instance-rows.ts';
import { lockUids } from './known-index.ts';
import { removeVersions } from './removal.ts';

export interface DeletionTarget {
  readonly studyUid: string;
  readonly seriesUid?: string;
  readonly sopUid?: string;
}

export interface DeletedBy {
  readonly actor: string;
  readonly address: string;
}

/** Instances of one step: what it locks, others wait for. */
const BATCH = 500;
const WAIT_S = 2;

/** $1 study, $2 series or null, $3 instance or null. */
const TARGET = `instance i join series e on e.id = i.series join study s on s.id = e.study
  where s.study_uid = $1 and ($2::text is null or e.series_uid = $2) and ($3::text is null or i.sop_uid = $3)`;

const values = ({ studyUid, seriesUid, sopUid }: DeletionTarget): unknown[] => [
  studyUid,
  seriesUid ?? null,
  sopUid ?? null,
];

/**
 * What arrives meanwhile stays. Interrupted, it may be asked for again: what is left goes then.
 * @returns how many instances went; 0 when there is none
 * @throws Failure 'conflict' when a person must decide first, 'unavailable' while versions are on their way to the store
 */
export async function deleteInstances(
  database: Database,
  target: DeletionTarget,
  by: DeletedBy,
): Promise<number> {
  const { rows } = await database.query<{ last: number | null }>(
    `select max(i.id) as last from ${TARGET}`,
    values(target),
  );
  const last = rows[0]?.last ?? null;
  if (last === null) return 0;
  await checkFree(database, target);
  let deleted = 0;
  for (;;) {
    const step = await database.transaction((tx) => deleteStep(tx, target, last, by));
    deleted += step;
    if (step === 0) return deleted;
  }
}

async function deleteStep(
  tx: Queryable,
  target: DeletionTarget,
  last: number,
  by: DeletedBy,
): Promise<number> {
  const series = await tx.query<{ uid: string }>(
    `select distinct e.series_uid as uid from ${TARGET}`,
    values(target),
  );
  await lockUids(tx, [target.studyUid, ...series.rows.map(({ uid }) => uid)]);
  await checkFree(tx, target);
  // What came into another series between the look and the lock is left for the next step.
  const found = await tx.query<{ sopUid: string }>(
    `select i.sop_uid as "sopUid" from ${TARGET} and i.id <= $4 and e.series_uid = any($5) order by i.id limit ${BATCH}`,
    [...values(target), last, series.rows.map(({ uid }) => uid)],
  );
  const sopUids = found.rows.map(({ sopUid }) => sopUid);
  if (sopUids.length === 0) return 0;
  // A version that says it is of another study was never this one's.
  const versions = await tx.query<{ id: number; key: string; sopUid: string }>(
    `select id, key, sop_uid as "sopUid" from object
     where sop_uid = any($1) and coalesce(study_uid, $2) = $2 order by id for update`,
    [sopUids, target.studyUid],
  );
  await tx.query('update conflict set object = null where object = any($1)', [
    versions.rows.map(({ id }) => id),
  ]);
  const removed = await removeInstances(tx, sopUids);
  await removeVersions(
    tx,
    versions.rows.map((version) => ({ ...version, studyUid: target.studyUid })),
    by.actor,
  );
  const changes: NewChange[] = removed.map((change) => ({ ...change, kind: 'instance-deleted' }));
  changes.push(...(await forgetStudy(tx, target.studyUid)));
  await tx.query(
    `insert into deletion (deleted_by, address, study_uid, series_uid, sop_uid, instances)
     values ($1, $2, $3, $4, $5, $6)`,
    [by.actor, by.address, ...values(target), sopUids.length],
  );
  await appendChanges(tx, changes);
  return sopUids.length;
}

/** Nothing that is still to be decided, compared or placed may go. */
async function checkFree(db: Queryable, target: DeletionTarget): Promise<void> {
  const { rows } = await db.query<{ held: string | null; open: boolean; underWay: boolean }>(
    `with gone as (select i.sop_uid from ${TARGET})
     select (select held from study where study_uid = $1) as held,
       exists (select from conflict c join gone g on g.sop_uid = c.sop_uid where c.settled_at is null) as open,
       exists (select from object o join gone g on g.sop_uid = o.sop_uid
         where o.location <> 'store' or o.role = 'undecided') as "underWay"`,
    values(target),
  );
  const { held = null, open = false, underWay = false } = rows[0] ?? {};
  if (held !== null || open)
    throw new Failure(
      'conflict',
      'The study, or one of its instances, waits for a person to decide: settle its conflicts first (/api/conflicts)',
    );
  if (underWay)
    throw new Failure('unavailable', 'Some of it is still on its way to the store', { retryAfterS: WAIT_S });
}

/** A study goes with its last instance; its next version, should it come again, counts on (study-rows.ts). */
async function forgetStudy(tx: Queryable, studyUid: string): Promise<NewChange[]> {
  const { rows } = await tx.query<{ version: number }>(
    `delete from study s where s.study_uid = $1 and s.instance_count = 0
       and not exists (select from series e where e.study = s.id) returning s.version`,
    [studyUid],
  );
  if (!rows[0]) return [];
  await tx.query(
    `delete from patient_decision where study_uid = $1 and not exists (select from object where study_uid = $1)`,
    [studyUid],
  );
  return [{ kind: 'study-deleted', studyUid, studyVersion: rows[0].version }];
}

/** Whether something of it was deleted. */
export async function wasDeleted(
  db: Queryable,
  { studyUid, seriesUid, sopUid }: DeletionTarget,
): Promise<boolean> {
  const { rows } = await db.query(
    `select 1 from change where study_uid = $1 and kind = 'instance-deleted'
       and ($2::text is null or series_uid = $2) and ($3::text is null or sop_uid = $3) limit 1`,
    [studyUid, seriesUid ?? null, sopUid ?? null],
  );
  return rows.length > 0;
}
