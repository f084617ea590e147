/**
 * What an owed delivery waits for, in a sentence: a person, a switch, a destination that is down, a window, its own next
 * try. SQL over the ledger's tables, for delivery-list.ts and the timeline of admin; it quotes UIDs, names of
 * destinations and our own words alone.
 */

/** Of the ways by which `d` can leave the one that is open first. */
const FIRST_UP = `select m.name, m.last_fault, l.up_at, m.down_until > now() as is_down
  from lane l join destination m on m.name = l.via where l.owner = d.destination order by l.up_at, l.rank limit 1`;

/** When `d` is due, and a way is open; null where a person has to do something before. */
export const NEXT_ATTEMPT = `case when d.state = 'owed' and not d.held then (select greatest(d.next_attempt_at, min(l.up_at))
  from lane l where l.owner = d.destination having count(*) > 0) end`;

/** Of the delivery `d`; null when nothing is owed, or when it is next in its turn. */
export const WAITS_FOR = `case when d.state = 'owed' then (
  select case
    when exists (select 1 from study s where s.study_uid = d.study_uid and s.held is not null)
      then 'a person: the study has a conflict that nobody has settled (/api/conflicts)'
    when d.held then 'a person: a rule holds it until POST /api/deliveries/' || d.id || '/release'
    when first.name is null then d.destination || ': it, or each member of it, is switched off'
    when first.is_down then first.name || ' to be back: ' || coalesce(first.last_fault, 'it did not answer')
    when first.up_at > now() then 'the next window of ' || first.name
    when d.next_attempt_at > now() and d.committing then 'the storage commitment of ' || first.name
    when d.next_attempt_at > now() then 'its next attempt'
  end from (values (1)) as one left join lateral (${FIRST_UP}) as first on true) end`;
