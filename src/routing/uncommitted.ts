/**
 * Whether an instance was taken by a peer that is to commit to what it takes, and was not committed to: one condition for
 * the end of an attempt (attempt-end.ts), for a report (commitment.ts) and for a deletion (still-owed.ts).
 */

/** Of `delivery_instance i` and its `delivery d`. Of a group the member that took it counts. */
export const UNCOMMITTED = `(i.state in ('delivered', 'warning') and i.commitment is distinct from 'committed'
  and exists (select 1 from destination t where t.name = coalesce(i.via, d.destination)
    and t.settings #>> '{commitment,enabled}' = 'true')
  and exists (select 1 from object o where o.id = i.object))`;
