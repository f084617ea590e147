/**
 * Writes a debt: these instances of a study are owed to this destination. In the transaction that decided it.
 * The same instance in the same form is owed once, whatever the number of rules; what comes late re-opens the delivery
 * with the added instances alone. Called by evaluate.ts.
 */
import type { Queryable } from '../archive/database/database.ts';
import { cameFromSql, sendersOf } from './came-from.ts';
import type { Destination, PeerSettings } from './destination.ts';
import { notifyDue } from './due.ts';
import type { UnitScope } from './unit-facts.ts';

export interface Debt {
  studyUid: string;
  scope: UnitScope;
  destination: Destination;
  rule: string;
  priority: number;
  /** '' for the bytes as stored. */
  form: string;
  /** It waits until a person releases it. */
  hold?: boolean | undefined;
}

/** @returns what became of it, to stand in the decision's reason */
export async function owe(tx: Queryable, debt: Debt): Promise<string> {
  const { name } = debt.destination;
  const unit = await unitValues(tx, debt);
  const { wanted, own } = await countWanted(tx, unit);
  if (wanted === 0) return own > 0 ? `nothing for ${name}, which sent it to us` : `nothing for ${name}`;
  // Locks the delivery against a worker that finishes it now, until the new instances are committed.
  const { rows } = await tx.query<{ id: number; state: string }>(
    `insert into delivery as d (study_uid, destination, form, rules, priority) values ($1, $2, $3, array[$4::text], $5)
     on conflict (study_uid, destination, form) do update set priority = greatest(d.priority, excluded.priority),
       rules = case when $4 = any(d.rules) then d.rules else d.rules || $4::text end
     returning id, state`,
    [debt.studyUid, name, debt.form, debt.rule, debt.priority],
  );
  const delivery = rows[0]!;
  const added = await addInstances(tx, unit, delivery.id);
  const kept = own > 0 ? `, ${own} came from there and are not sent back` : '';
  if (added === 0) {
    const stopped = debt.hold && (await askPerson(tx, delivery.id)) ? ', and it waits for a person' : '';
    return `${name} is owed nothing new${stopped}${kept}`;
  }
  if (delivery.state === 'cancelled')
    return `${name} is owed nothing: the delivery was cancelled by a person`;
  // One rule that asks for a person is enough, but what was released once does not wait again.
  const waiting = await tx.query<{ waits: boolean }>(
    `update delivery set state = case when state = 'sending' then state else 'owed' end, changed_at = now(),
       waits = waits or ($2 and released_at is null), held = held or ($2 and released_at is null),
       next_attempt_at = case when state in ('delivered', 'parked') or committing then now() else next_attempt_at end,
       committing = false,
       faults = case when state in ('delivered', 'parked') then 0 else faults end,
       failing_since = case when state in ('delivered', 'parked') then null else failing_since end,
       delivered_at = null
     where id = $1 returning waits`,
    [delivery.id, debt.hold ?? false],
  );
  await notifyDue(tx);
  const waits = waiting.rows[0]?.waits ? ' once a person releases it' : '';
  const known = added < wanted ? `, ${wanted - added} were before` : '';
  return `${added} owed to ${name}${waits}${known}${kept}`;
}

/** What another rule owes already, and is not sent yet, waits as well: in whatever order the rules are asked. */
async function askPerson(tx: Queryable, delivery: number): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update delivery set waits = true, held = true, changed_at = now()
     where id = $1 and not waits and released_at is null and state in ('owed', 'sending')
       and exists (select 1 from delivery_instance i where i.delivery = $1 and i.state = 'owed')`,
    [delivery],
  );
  return rowCount > 0;
}

/** $1 study, $2 series or null, $3 SOP UIDs or null, $4 and $5 who the destination, or its members, are as senders. */
const UNIT = `from study s join series e on e.study = s.id join instance i on i.series = e.id join object o on o.id = i.object
  where s.study_uid = $1 and ($2::text is null or e.series_uid = $2) and ($3::text[] is null or i.sop_uid = any($3))`;
const FROM_THERE = cameFromSql('$4', '$5');

async function unitValues(tx: Queryable, { studyUid, scope, destination }: Debt): Promise<unknown[]> {
  const { aeTitles, addresses } = sendersOf(await peersOf(tx, destination));
  return [studyUid, scope.seriesUid ?? null, scope.sopUids ?? null, aeTitles, addresses];
}

/** What one member of a group has sent to us the group has. */
async function peersOf(tx: Queryable, { settings }: Destination): Promise<PeerSettings[]> {
  if (settings.kind !== 'group') return [settings];
  const { rows } = await tx.query<{ settings: PeerSettings }>(
    `select settings from destination where name = any($1) and kind <> 'group'`,
    [settings.members],
  );
  return rows.map((row) => row.settings);
}

async function countWanted(tx: Queryable, unit: unknown[]): Promise<{ wanted: number; own: number }> {
  const { rows } = await tx.query<{ wanted: number; own: number }>(
    `select count(*) filter (where not ${FROM_THERE}) as wanted, count(*) filter (where ${FROM_THERE}) as own ${UNIT}`,
    unit,
  );
  return rows[0]!;
}

async function addInstances(tx: Queryable, unit: unknown[], delivery: number): Promise<number> {
  const { rowCount } = await tx.query(
    `insert into delivery_instance (delivery, sop_uid, content_hash, object)
     select $6, i.sop_uid, o.content_hash, o.id ${UNIT} and not ${FROM_THERE}
     order by e.series_uid, i.number, i.id
     on conflict (delivery, sop_uid, content_hash) do nothing`,
    [...unit, delivery],
  );
  return rowCount;
}
