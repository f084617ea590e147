/**
 * What a person decides on a conflict: which version is current, which one goes, whether a stranger's objects belong to
 * a study. Each settlement names who and when, stands in the change feed, and changes nothing when it comes twice.
 * Called by admin/conflict-routes.ts. Bytes go only by `drop`, never those of the current version.
 */
import { toDicomJson } from '../dicom/dicom-json.ts';
import { Failure } from '../failure.ts';
import { appendChanges, type NewChange } from './change-feed.ts';
import { reconcileHolds } from './conflict-rows.ts';
import type { Database, Queryable } from './database/database.ts';
import type { InstanceContent } from './incoming-object.ts';
import { makeCurrent, removeInstance } from './instance-rows.ts';
import { lockUids } from './known-index.ts';
import { readHeader } from './read-header.ts';
import type { ObjectReader } from './read-object.ts';
import { type RemoveBytes, removeVersion } from './removal.ts';
import { findCurrent, findVersion, type StoredVersion } from './stored-object.ts';

/**
 * keep: the version that is current stays. make-current: another takes its place. drop: one that is not current goes,
 * with its bytes. release: the study goes on with what it has, and a patient's objects belong to it from now on.
 * set-aside: what contradicts leaves the study, its bytes stay, and so do a patient's later objects.
 */
export const CONFLICT_ACTIONS = ['keep', 'make-current', 'drop', 'release', 'set-aside'] as const;
export type ConflictAction = (typeof CONFLICT_ACTIONS)[number];

type Settlement = 'kept' | 'made-current' | 'dropped' | 'released' | 'set-aside';

export interface Settled {
  id: number;
  settlement: string;
  settledBy: string;
  settledAt: Date;
  /** Nothing holds the study any more. */
  studyReleased: boolean;
}

export interface SettleParts {
  database: Database;
  reader: ObjectReader;
  removeBytes: RemoveBytes;
}

interface ConflictRow {
  id: number;
  kind: 'content' | 'patient' | 'series-study' | 'instance-series';
  studyUid: string;
  seriesUid: string | null;
  sopUid: string;
  object: number | null;
  version: string | null;
  against: string | null;
  otherStudyUid: string | null;
  settlement: string | null;
  settledBy: string | null;
  settledAt: Date | null;
}

interface Wish {
  action: ConflictAction;
  actor: string;
  /** Content hash, hex, of the version that is meant. */
  version?: string | undefined;
}

/**
 * @throws Failure 'not-found' for an unknown conflict or version; 'conflict' when it was settled in another way, or
 *         when the action is none for its kind or would leave no current version; 'unavailable' when bytes are away
 */
export async function settleConflict(parts: SettleParts, id: number, wish: Wish): Promise<Settled> {
  for (let attempt = 1; ; attempt++) {
    const conflict = await findConflict(parts.database, id);
    const target = await targetOf(parts.database, conflict, wish);
    const content =
      wish.action === 'make-current' && target ? await contentOf(parts.reader, target) : undefined;
    const locks = await uidsOf(parts.database, conflict, target);
    const done = await parts.database.transaction(async (tx) => {
      await lockUids(tx, locks);
      // The instance may have moved to another series between the look and the lock.
      const now = await uidsOf(tx, await findConflict(tx, id), target);
      if (now.some((uid) => !locks.includes(uid))) return undefined;
      return settleLocked(tx, id, wish, target, content);
    });
    if (!done) {
      if (attempt === 5) throw new Failure('unavailable', 'the instance is being moved', { retryAfterS: 1 });
      continue;
    }
    // What cannot be removed now is removed later (archive.ts); the settlement stands.
    if (done.key !== undefined) await parts.removeBytes(done.key);
    return done.settled;
  }
}

async function settleLocked(
  tx: Queryable,
  id: number,
  wish: Wish,
  target: StoredVersion | undefined,
  content: InstanceContent | undefined,
): Promise<{ settled: Settled; key?: string }> {
  const conflict = await findConflict(tx, id, 'for update');
  const settlement = settlementOf(conflict, wish, target);
  const repeated = conflict.settlement === settlement;
  if (conflict.settlement !== null && !repeated && !mayStillBeSettled(conflict, wish.action))
    throw new Failure(
      'conflict',
      `the conflict was settled before: ${conflict.settlement} by ${conflict.settledBy}`,
    );
  let key: string | undefined;
  const changes: NewChange[] = [];
  let ids = [id];
  switch (wish.action) {
    case 'keep':
      if (conflict.kind !== 'content') await needsCurrent(tx, conflict);
      break;
    case 'make-current':
      changes.push(...(await makeChosenCurrent(tx, target, content)));
      break;
    case 'drop':
      if (!repeated || (wish.version !== undefined && target))
        ({ key, ids } = await drop(tx, conflict, target, wish.actor));
      break;
    case 'release':
      ids = await release(tx, conflict, wish.actor, true);
      break;
    case 'set-aside':
      ids = await release(tx, conflict, wish.actor, false);
      changes.push(...(await setAside(tx, conflict, ids)));
  }
  const { rows } = await tx.query<{ sopUid: string }>(
    `update conflict set settled_at = now(), settled_by = $2, settlement = $3
     where id = any($1) and settlement is distinct from $3 returning sop_uid as "sopUid"`,
    [ids, wish.actor, settlement],
  );
  const studies = [conflict.studyUid, ...(conflict.otherStudyUid === null ? [] : [conflict.otherStudyUid])];
  const turned = await reconcileHolds(tx, studies);
  const studyVersion = await versionOf(tx, conflict.studyUid);
  const settled = rows.map(
    ({ sopUid }): NewChange => ({
      kind: 'conflict-settled',
      studyUid: conflict.studyUid,
      sopUid,
      studyVersion,
    }),
  );
  await appendChanges(tx, [...changes, ...settled, ...turned]);
  const now = await findConflict(tx, id);
  return {
    settled: {
      id,
      settlement: now.settlement!,
      settledBy: now.settledBy!,
      settledAt: now.settledAt!,
      studyReleased: !(await isHeld(tx, conflict.studyUid)),
    },
    ...(key !== undefined && { key }),
  };
}

function settlementOf(
  conflict: ConflictRow,
  { action }: Wish,
  target: StoredVersion | undefined,
): Settlement {
  switch (action) {
    case 'keep':
      return 'kept';
    case 'drop':
      return 'dropped';
    case 'set-aside':
      return 'set-aside';
    case 'release':
      return conflict.kind === 'content' ? 'kept' : 'released';
    case 'make-current':
      return target?.contentHash.toString('hex') === conflict.version ? 'made-current' : 'kept';
  }
}

/** Which version is current can be decided again, and one that is not can be dropped, as long as it is stored. */
function mayStillBeSettled({ settlement }: ConflictRow, action: ConflictAction): boolean {
  if (action === 'make-current') return true;
  return settlement !== 'dropped' && (action === 'drop' || action === 'keep');
}

async function findConflict(db: Queryable, id: number, lock: 'for update' | '' = ''): Promise<ConflictRow> {
  const { rows } = await db.query<ConflictRow>(
    `select id, kind, study_uid as "studyUid", series_uid as "seriesUid", sop_uid as "sopUid", object,
       encode(content_hash, 'hex') as version, encode(against, 'hex') as against, other_study_uid as "otherStudyUid",
       settlement, settled_by as "settledBy", settled_at as "settledAt"
     from conflict where id = $1 ${lock}`,
    [id],
  );
  if (!rows[0]) throw new Failure('not-found', `there is no conflict ${id}`);
  return rows[0];
}

/** The version the wish is about: the one it names; else the newcomer, or for drop the one of the two that is not current. */
async function targetOf(
  db: Queryable,
  conflict: ConflictRow,
  wish: Wish,
): Promise<StoredVersion | undefined> {
  if (wish.action !== 'make-current' && wish.action !== 'drop') return undefined;
  const { sopUid } = conflict;
  const named = wish.version ?? conflict.version;
  const found = named === null ? undefined : await findVersion(db, { sopUid, contentHash: named });
  const isOther = wish.action === 'drop' && wish.version === undefined && found?.role === 'current';
  const target =
    isOther && conflict.against !== null
      ? await findVersion(db, { sopUid, contentHash: conflict.against })
      : found;
  if (!target && conflict.settlement !== 'dropped')
    throw new Failure('not-found', 'no such version of the instance is stored');
  if (!target && wish.action === 'make-current')
    throw new Failure('conflict', 'the version was dropped and is not stored any more');
  return target;
}

async function contentOf(reader: ObjectReader, version: StoredVersion): Promise<InstanceContent> {
  const { dataSet } = await readHeader(reader, version);
  return {
    sopClassUid: version.sopClass,
    sopInstanceUid: version.sopUid,
    studyInstanceUid: version.studyUid,
    seriesInstanceUid: version.seriesUid,
    header: toDicomJson(dataSet, { bulkDataUri: () => undefined }),
  };
}

/** Everything a settlement may touch, by the UIDs under which studies and series are locked. */
async function uidsOf(
  db: Queryable,
  conflict: ConflictRow,
  target: StoredVersion | undefined,
): Promise<string[]> {
  const { rows } = await db.query<{ study: string; series: string }>(
    `select s.study_uid as study, e.series_uid as series from instance i join series e on e.id = i.series
       join study s on s.id = e.study where i.sop_uid = $1`,
    [conflict.sopUid],
  );
  return [
    conflict.studyUid,
    conflict.seriesUid,
    conflict.otherStudyUid,
    target?.studyUid,
    target?.seriesUid,
    rows[0]?.study,
    rows[0]?.series,
  ].filter((uid): uid is string => typeof uid === 'string');
}

/** Of an identity conflict whose object stands in the study itself there is no other version to keep. */
async function needsCurrent(tx: Queryable, { sopUid, object }: ConflictRow): Promise<void> {
  const current = await findCurrent(tx, sopUid);
  if (!current || current.id === object)
    throw new Failure('conflict', 'the object itself stands in the study: release it or set it aside');
}

async function makeChosenCurrent(
  tx: Queryable,
  target: StoredVersion | undefined,
  content: InstanceContent | undefined,
): Promise<NewChange[]> {
  const now = target && (await findVersion(tx, { id: target.id }));
  if (!now || !content) throw new Failure('not-found', 'no such version of the instance is stored');
  return makeCurrent(tx, content, now.id);
}

/** Takes the row away, and notes the bytes to be removed after the commit. All conflicts of the version end with it. */
async function drop(
  tx: Queryable,
  conflict: ConflictRow,
  target: StoredVersion | undefined,
  actor: string,
): Promise<{ key: string; ids: number[] }> {
  const version = target && (await findVersion(tx, { id: target.id }));
  if (!version) throw new Failure('not-found', 'no such version of the instance is stored');
  const current = await findCurrent(tx, conflict.sopUid);
  if (!current)
    throw new Failure('conflict', 'no version of the instance is current: the only one is never dropped');
  if (current.id === version.id)
    throw new Failure('conflict', 'the current version is never dropped: make another one current first');
  if (version.location !== 'store')
    throw new Failure('unavailable', 'the version is still on its way to the store', { retryAfterS: 2 });
  const { rows } = await tx.query<{ id: number }>(
    'update conflict set object = null where object = $1 returning id',
    [version.id],
  );
  await removeVersion(tx, version, actor);
  return { key: version.key, ids: [...new Set([conflict.id, ...rows.map(({ id }) => id)])] };
}

/**
 * Of another patient's object: what is said of one holds for all of that patient in the study, now and later.
 * @returns the conflicts that are settled by it
 */
async function release(
  tx: Queryable,
  conflict: ConflictRow,
  actor: string,
  together: boolean,
): Promise<number[]> {
  if (conflict.kind !== 'patient' || conflict.object === null) return [conflict.id];
  const decided = await tx.query<{ patient_id: string; issuer: string }>(
    `insert into patient_decision (study_uid, patient_id, issuer, together, decided_by)
     select $1, patient_id, coalesce(issuer, ''), $3, $4 from object where id = $2 and patient_id is not null
     on conflict (study_uid, patient_id, issuer) do update
       set together = excluded.together, decided_by = excluded.decided_by, decided_at = now()
     returning patient_id, issuer`,
    [conflict.studyUid, conflict.object, together, actor],
  );
  const patient = decided.rows[0];
  if (!patient) return [conflict.id];
  const { rows } = await tx.query<{ id: number }>(
    `select c.id from conflict c join object o on o.id = c.object
     where c.study_uid = $1 and c.kind = 'patient' and c.settled_at is null and o.patient_id = $2
       and coalesce(o.issuer, '') = $3 order by c.id`,
    [conflict.studyUid, patient.patient_id, patient.issuer],
  );
  return [...new Set([conflict.id, ...rows.map(({ id }) => id)])];
}

/** The instances leave the study; of a series under another study all of its instances there. */
async function setAside(tx: Queryable, conflict: ConflictRow, ids: readonly number[]): Promise<NewChange[]> {
  if (conflict.kind === 'content')
    throw new Failure(
      'conflict',
      'other content of an instance is kept, made current or dropped, not set aside',
    );
  const { rows } = await tx.query<{ sop: string }>(
    `select i.sop_uid as sop from instance i join series e on e.id = i.series join study s on s.id = e.study
     where s.study_uid = $1 and (($2 and e.series_uid = $3) or i.object in (select object from conflict where id = any($4)))
     order by i.id`,
    [conflict.studyUid, conflict.kind === 'series-study', conflict.seriesUid, ids],
  );
  const changes: NewChange[] = [];
  for (const { sop } of rows) {
    await tx.query("update object set role = 'conflict' where sop_uid = $1 and role = 'current'", [sop]);
    changes.push(...(await removeInstance(tx, sop)));
  }
  return changes;
}

async function versionOf(tx: Queryable, studyUid: string): Promise<number> {
  const { rows } = await tx.query<{ version: number }>('select version from study where study_uid = $1', [
    studyUid,
  ]);
  return rows[0]?.version ?? 0;
}

async function isHeld(tx: Queryable, studyUid: string): Promise<boolean> {
  const { rows } = await tx.query<{ held: boolean }>(
    'select held is not null as held from study where study_uid = $1',
    [studyUid],
  );
  return rows[0]?.held ?? false;
}

/** Settles can be many for one study: the same answer for all of its open conflicts that it can answer, a page at a time. */
export async function settleStudy(
  parts: SettleParts,
  studyUid: string,
  wish: Omit<Wish, 'version'>,
): Promise<{ settled: number; left: { id: number; reason: string }[] }> {
  const { rows } = await parts.database.query<{ id: number }>(
    'select id from conflict where study_uid = $1 and settled_at is null order by id limit 10000',
    [studyUid],
  );
  let settled = 0;
  const left: { id: number; reason: string }[] = [];
  for (const { id } of rows)
    try {
      await settleConflict(parts, id, wish);
      settled++;
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.kind !== 'conflict') throw thrown;
      left.push({ id, reason: thrown.message });
    }
  return { settled, left: left.slice(0, 100) };
}
