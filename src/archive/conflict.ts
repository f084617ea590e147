/**
 * What a person settles: releasing an identity conflict lets the study go on to routing and the EHR.
 * Conflicts are written by study-index.ts and listed by admin; this is the one call that changes them.
 */
import { Failure } from '../failure.ts';
import { appendChanges } from './change-feed.ts';
import type { Database } from './database/database.ts';

/**
 * Settles one conflict. When it was the study's last one that holds, the study is released.
 * @throws Failure 'not-found' when there is no such open conflict
 */
export function releaseConflict(
  database: Database,
  id: number,
  actor: string,
): Promise<{ studyReleased: boolean }> {
  return database.transaction(async (tx) => {
    // Two people who settle a study's last two conflicts at once must each see the other's.
    await tx.query(
      'select 1 from study where study_uid = (select study_uid from conflict where id = $1) for update',
      [id],
    );
    const settled = await tx.query<{ study_uid: string }>(
      `update conflict set settled_at = now(), settled_by = $2 where id = $1 and settled_at is null
       returning study_uid`,
      [id, actor],
    );
    const studyUid = settled.rows[0]?.study_uid;
    if (studyUid === undefined) throw new Failure('not-found', `there is no open conflict ${id}`);
    const released = await tx.query<{ version: number }>(
      `update study set held = null where study_uid = $1 and held is not null and not exists (
         select 1 from conflict where study_uid = $1 and settled_at is null and kind <> 'content')
       returning version`,
      [studyUid],
    );
    const version = released.rows[0]?.version;
    if (version === undefined) return { studyReleased: false };
    await appendChanges(tx, [{ kind: 'study-released', studyUid, studyVersion: version }]);
    return { studyReleased: true };
  });
}
