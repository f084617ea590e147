/**
 * Whether instances are still owed to a destination, or sent and not committed to where storage commitment is on: asked
 * by dicomweb/delete.ts before they are deleted.
 */
import type { Queryable } from '../archive/database/database.ts';

/** @returns names of the destinations that are owed some of it, a parked delivery among them; at most 100 */
export async function stillOwedTo(
  db: Queryable,
  target: { studyUid: string; seriesUid?: string; sopUid?: string },
): Promise<string[]> {
  const { rows } = await db.query<{ destination: string }>(
    `select distinct d.destination from delivery d join delivery_instance di on di.delivery = d.id and (di.state = 'owed'
         or di.state in ('delivered', 'warning') and di.commitment is distinct from 'committed' and d.state <> 'delivered'
           and exists (select 1 from destination t where t.name = coalesce(di.via, d.destination)
             and t.settings #>> '{commitment,enabled}' = 'true'))
     where d.study_uid = $1 and d.state <> 'cancelled'
       and (($2::text is null and $3::text is null) or di.sop_uid in (
         select i.sop_uid from instance i join series e on e.id = i.series
         where ($2::text is null or e.series_uid = $2) and ($3::text is null or i.sop_uid = $3)))
     order by 1 limit 100`,
    [target.studyUid, target.seriesUid ?? null, target.sopUid ?? null],
  );
  return rows.map(({ destination }) => destination);
}
