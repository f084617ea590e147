/**
 * Every step of one study, from the association that brought it to the EHR link, in order of time.
 * A read model over the tables of archive, routing and fhir; asked by routes.ts. It holds UIDs, AE titles, counts and
 * our own sentences, no patient data.
 */
import type { Queryable } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import { NEXT_ATTEMPT, WAITS_FOR } from '../routing/waits-for.ts';

export interface TimelineStep {
  at: Date;
  step: string;
  /** What belongs to the step: reception, rule, delivery, reason, counts. */
  [detail: string]: unknown;
}

export interface Timeline {
  study: string;
  steps: TimelineStep[];
  /** Offset of the next page; absent on the last. */
  next?: number;
}

/** Each source as (at, rank, step, detail); rank orders what happened in the same instant. $1 is the study UID. */
const SOURCES = [
  `select r.opened_at as at, 1 as rank, 'reception-opened' as step, jsonb_build_object('reception', r.id, 'kind', r.kind,
     'callingAe', r.calling_ae, 'calledAe', r.called_ae, 'address', r.address, 'actor', r.actor) as detail
   from reception_study rs join reception r on r.id = rs.reception where rs.study_uid = $1`,
  // Objects that came again are counted by the reception and are no instance of it.
  `select max(o.received_at), 2, 'instances-stored', jsonb_build_object('reception', o.reception,
     'instances', count(*), 'series', count(distinct i.series), 'first', min(o.received_at))
   from study s join series e on e.study = s.id join instance i on i.series = e.id join object o on o.id = i.object
   where s.study_uid = $1 group by o.reception`,
  `select r.closed_at, 3, 'reception-closed', jsonb_build_object('reception', r.id, 'outcome', r.outcome,
     'objects', rs.stored, 'refused', r.refused)
   from reception_study rs join reception r on r.id = rs.reception where rs.study_uid = $1 and r.closed_at is not null`,
  `select c.created_at, 4, 'conflict', jsonb_build_object('conflict', c.id, 'kind', c.kind, 'reason', c.reason,
     'sop', c.sop_uid, 'sourceAe', c.source_ae) from conflict c where c.study_uid = $1`,
  `select c.settled_at, 5, 'conflict-settled', jsonb_build_object('conflict', c.id, 'by', c.settled_by,
     'settlement', c.settlement)
   from conflict c where c.study_uid = $1 and c.settled_at is not null`,
  `select c.at, 6, c.kind, jsonb_build_object('version', c.study_version)
   from change c where c.study_uid = $1 and c.kind like 'study-%'`,
  `select max(c.at), 6, case c.kind when 'instance-replaced' then 'instances-replaced' else 'instances-removed' end,
     jsonb_build_object('instances', count(*), 'version', max(c.study_version), 'first', min(c.at))
   from change c where c.study_uid = $1 and c.kind in ('instance-replaced', 'instance-removed')
   group by c.kind, date_trunc('minute', c.at)`,
  `select d.at, 6, 'deleted', jsonb_build_object('by', d.deleted_by, 'address', d.address, 'series', d.series_uid,
     'sop', d.sop_uid, 'instances', d.instances) from deletion d where d.study_uid = $1`,
  `select d.at, 7, 'rule-decided', jsonb_build_object('rule', d.rule, 'ruleVersion', d.rule_version, 'unit', d.rule_at,
     'series', nullif(d.unit, ''), 'matched', d.matched, 'reason', d.reason, 'version', d.study_version,
     'decided', nullif(d.decided, '[]'::jsonb), 'held', nullif(d.held, false), 'lookedAt', d.seen,
     'met', case when d.rule_at = 'instance' then d.met end, 'last', d.last_at)
   from decision d where d.study_uid = $1`,
  `select d.created_at, 8, 'delivery-owed', jsonb_build_object('delivery', d.id, 'destination', d.destination,
     'rules', d.rules, 'waits', nullif(d.waits, false), 'waitsFor', ${WAITS_FOR}) from delivery d where d.study_uid = $1`,
  `select d.released_at, 9, 'delivery-released', jsonb_build_object('delivery', d.id, 'destination', d.destination,
     'by', d.released_by) from delivery d where d.study_uid = $1 and d.released_at is not null`,
  `select l.at, 9, 'instances-let-go', jsonb_build_object('by', l.by, 'why', l.why, 'instances', count(*))
   from looked_at l where l.study_uid = $1 group by l.form, l.at, l.by, l.why`,
  `select d.claimed_at, 9, 'delivery-tried', jsonb_build_object('delivery', d.id, 'destination', d.destination,
     'attempts', d.attempts) from delivery d where d.study_uid = $1 and d.claimed_at is not null`,
  `select max(i.at), 10, 'instances-' || i.state, jsonb_build_object('delivery', d.id, 'destination', d.destination,
     'via', i.via,
     'instances', count(*), 'first', min(i.at), 'status', min(i.status))
   from delivery d join delivery_instance i on i.delivery = d.id
   where d.study_uid = $1 and i.state <> 'owed' and i.at is not null group by d.id, d.destination, i.via, i.state`,
  `select max(i.commitment_at), 10, case i.commitment when 'asked' then 'commitment-asked' when 'committed'
     then 'instances-committed' else 'commitment-refused' end, jsonb_build_object('delivery', d.id,
     'destination', d.destination, 'instances', count(*), 'first', min(i.commitment_at), 'reason', min(i.commitment_reason))
   from delivery d join delivery_instance i on i.delivery = d.id
   where d.study_uid = $1 and i.commitment is not null group by d.id, d.destination, i.commitment`,
  `select coalesce(d.delivered_at, d.changed_at), 11, case when d.state = 'owed' then 'delivery-failed'
     else 'delivery-' || d.state end, jsonb_build_object('delivery', d.id, 'destination', d.destination,
     'attempts', d.attempts, 'reason', d.last_error,
     'nextAttempt', ${NEXT_ATTEMPT})
   from delivery d where d.study_uid = $1
     and (d.state in ('delivered', 'parked', 'cancelled') or (d.state = 'owed' and d.last_error is not null))`,
  `select l.created_at, 12, 'ehr-link-owed', '{}'::jsonb from fhir_link l where l.study_uid = $1`,
  // A study that was deleted is linked with a reason: the EHR was told.
  `select l.state_since, 13, 'ehr-' || case when l.state = 'linked' and l.reason is not null then 'withdrawn' else l.state end, jsonb_build_object('reason', l.reason, 'attempts', l.attempts,
     'nextAttempt', l.next_attempt_at, 'resource', 'ImagingStudy/' || l.resource_id, 'version', l.study_version)
   from fhir_link l where l.study_uid = $1 and (l.state <> 'waiting' or l.reason is not null)`,
  // A viewer asks frame by frame: by hour, who and how, one step.
  `select max(d.at), 14, 'disclosed', jsonb_build_object('channel', d.channel, 'recipient', d.recipient,
     'address', d.address, 'action', d.detail ->> 'action', 'times', count(*), 'first', min(d.at),
     'instances', max(d.instances))
   from disclosure d where d.study_uid = $1
   group by d.channel, d.recipient, d.address, d.detail ->> 'action', date_trunc('hour', d.at)`,
];

/**
 * @param page steps from `offset`, at most `limit`
 * @throws Failure 'not-found' when nothing of the study was ever received
 */
export async function studyTimeline(
  db: Queryable,
  studyUid: string,
  page: { limit: number; offset: number },
): Promise<Timeline> {
  const found = await db.query<{ at: Date; step: string; detail: Record<string, unknown> }>(
    `select at, step, jsonb_strip_nulls(detail) as detail from (${SOURCES.join(' union all ')}) as steps
     order by at, rank, detail::text limit $2 offset $3`,
    [studyUid, page.limit + 1, page.offset],
  );
  if (found.rows.length === 0 && page.offset === 0)
    throw new Failure('not-found', 'Nothing of this study was received.');
  const steps = found.rows.slice(0, page.limit).map(({ at, step, detail }) => ({ at, step, ...detail }));
  const more = found.rows.length > page.limit;
  return { study: studyUid, steps, ...(more && { next: page.offset + page.limit }) };
}
