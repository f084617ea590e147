/**
 * Whether instances are still owed to a destination, or sent and not committed to where storage commitment is on: asked
 * by dicomweb/delete.ts before they are deleted.
 */
import type { Queryable } from '../archive/database/database.ts';
import { UNCOMMITTED } from './uncommitted.ts';

/** @returns names of the destinations that are owed some of it, a parked delivery among them; at most 100 */
export async function stillOwedTo(
  db: Queryable,
  target: { studyUid: string; seriesUid?: string; sopUid?: string },
): Promise<string[]> {
  const { rows } = await db.query<{ destination: string }>(
    `select distinct d.destination from delivery d join delivery_instance i on i.delivery = d.id
       and (i.state = 'owed' or (d.state <> 'delivered' and ${UNCOMMITTED}))
     where d.study_uid = $1 and d.state <> 'cancelled'
       and (($2::text is null and $3::text is null) or i.sop_uid in (
         select n.sop_uid from instance n join series e on e.id = n.series
         where ($2::text is null or e.series_uid = $2) and ($3::text is null or n.sop_uid = $3)))
     order by 1 limit 100`,
    [target.studyUid, target.seriesUid ?? null, target.sopUid ?? null],
  );
  return rows.map(({ destination }) => destination);
}
