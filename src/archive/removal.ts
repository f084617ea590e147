/**
 * Removes from the store the bytes of versions that a person dropped, or that were never kept: the table `removal`
 * says which. The row of the object is gone before its bytes go, and the bytes stay when the same object came again
 * meanwhile: under the study's lock either its row is there, or its bytes may go.
 * Called by settle-conflict.ts, compare-versions.ts and delete-instances.ts, and by archive.ts for what a crash left.
 */
import type { Log } from '../log.ts';
import type { Database, Queryable } from './database/database.ts';
import { dropPieces } from './header-pack-rows.ts';
import { lockUids } from './known-index.ts';
import type { ObjectStore } from './object-store/object-store.ts';

export interface RemovedVersion {
  id: number;
  key: string;
  studyUid: string;
  sopUid: string;
}

/**
 * In the transaction that decides it: the versions' rows go, with what is kept of their headers, and their bytes are
 * noted for removal.
 * @param by who says so
 */
export async function removeVersions(
  tx: Queryable,
  versions: readonly RemovedVersion[],
  by: string,
): Promise<void> {
  const ids = versions.map(({ id }) => id);
  await dropPieces(tx, ids);
  await tx.query('delete from object where id = any($1)', [ids]);
  await tx.query(
    `insert into removal (key, study_uid, sop_uid, dropped_by)
     select key, study_uid, sop_uid, $4 from unnest($1::text[], $2::text[], $3::text[]) as r (key, study_uid, sop_uid)
     on conflict do nothing`,
    [
      versions.map(({ key }) => key),
      versions.map(({ studyUid }) => studyUid),
      versions.map(({ sopUid }) => sopUid),
      by,
    ],
  );
}

export const removeVersion = (tx: Queryable, version: RemovedVersion, by: string): Promise<void> =>
  removeVersions(tx, [version], by);

export interface PlacedBytes {
  key: string;
  studyUid: string;
  sopUid: string;
  contentHash: Buffer;
}

/**
 * Bytes that came into the store after their version was dropped: the same object had come once more before that, and
 * waited for the store. They are noted for removal, or the drop would not hold, and a reindex bring the version back.
 */
export async function noteDropped(tx: Queryable, placed: readonly PlacedBytes[]): Promise<void> {
  await tx.query(
    `insert into removal (key, study_uid, sop_uid, dropped_by)
     select p.key, p.study_uid, p.sop_uid, 'CAME_AGAIN'
     from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) as p (key, study_uid, sop_uid, content_hash)
     where not exists (select 1 from object o where o.sop_uid = p.sop_uid and o.content_hash = p.content_hash)
     on conflict do nothing`,
    [
      placed.map(({ key }) => key),
      placed.map(({ studyUid }) => studyUid),
      placed.map(({ sopUid }) => sopUid),
      placed.map(({ contentHash }) => contentHash),
    ],
  );
}

export type RemoveBytes = (key: string) => Promise<void>;

const BATCH = 100;

/** An object that comes again is placed only once its row is committed (intake/placer.ts), so nothing is lost. */
export async function removeBytes(database: Database, store: ObjectStore, key: string): Promise<void> {
  const { rows } = await database.query<{ study_uid: string; sop_uid: string }>(
    'select study_uid, sop_uid from removal where key = $1',
    [key],
  );
  if (!rows[0]) return;
  const { study_uid: studyUid, sop_uid: sopUid } = rows[0];
  await database.transaction(async (tx) => {
    await lockUids(tx, [studyUid]);
    const known = await tx.query('select 1 from object where sop_uid = $1 and key = $2', [sopUid, key]);
    if (known.rows.length === 0) await store.remove(key);
    await tx.query('delete from removal where key = $1', [key]);
  });
}

/**
 * What is still to be removed, all of it; one that fails is tried again later.
 * @param goesOn asked between two batches
 * @returns how many went
 */
export async function removeLeftOver(
  database: Database,
  store: ObjectStore,
  log: Log,
  goesOn: () => boolean = () => true,
): Promise<number> {
  for (let all = 0; ; ) {
    const removed = await removeSome(database, store, log);
    all += removed;
    if (removed < BATCH || !goesOn()) return all;
  }
}

async function removeSome(database: Database, store: ObjectStore, log: Log): Promise<number> {
  const { rows } = await database.query<{ key: string }>(
    `select key from removal order by dropped_at limit ${BATCH}`,
  );
  let removed = 0;
  for (const { key } of rows)
    try {
      await removeBytes(database, store, key);
      removed++;
    } catch (err) {
      log.warn({ err }, 'bytes of a dropped version could not be removed, trying again later');
    }
  return removed;
}
