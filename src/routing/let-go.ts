/**
 * A person has looked at objects that may show text which names the patient, and lets them go as their rule asks.
 * Called by forwarding/routes.ts. On record in looked_at, for that object in that form, to whichever destination.
 */
import type { Database, Queryable } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import { notifyDue } from './due.ts';
import { reopen } from './reopen.ts';

export interface LetGoOrder {
  delivery: number;
  /** One instance; without it all of the delivery that wait for a look. */
  sopUid?: string | undefined;
  by: string;
  /** In the person's words. */
  why: string;
}

export interface LetGo {
  delivery: number;
  /** That wait no longer; 0 when they were let go before. */
  instances: number;
}

/** Of those that are not cancelled: a person stopped those. @throws Failure 'not-found' | 'conflict' */
export function letGo(database: Database, order: LetGoOrder): Promise<LetGo> {
  return database.transaction(async (tx) => {
    const { delivery: id, sopUid } = order;
    const { rows } = await tx.query<{ study: string; form: string; state: string }>(
      'select study_uid as study, form, state from delivery where id = $1',
      [id],
    );
    const found = rows[0];
    if (!found) throw new Failure('not-found', `There is no delivery ${id}`);
    if (found.state === 'cancelled')
      throw new Failure('conflict', `Delivery ${id} is cancelled: nothing of it is sent until it is retried`);
    const looked = await record(tx, order, found);
    if (looked === 0 && !(await isKnown(tx, order, found.form)))
      throw new Failure(
        'conflict',
        sopUid === undefined
          ? `Nothing of delivery ${id} waits for a person to look at it`
          : `Instance ${sopUid} of delivery ${id} does not wait for a person to look at it`,
      );
    await oweAgain(tx, found);
    return { delivery: id, instances: looked };
  });
}

async function record(
  tx: Queryable,
  { delivery, sopUid, by, why }: LetGoOrder,
  { study, form }: { study: string; form: string },
): Promise<number> {
  const { rowCount } = await tx.query(
    `insert into looked_at (form, sop_uid, content_hash, study_uid, by, why)
     select $1, i.sop_uid, i.content_hash, $2, $3, $4 from delivery_instance i
     where i.delivery = $5 and i.to_look and i.state = 'failed' and ($6::text is null or i.sop_uid = $6)
     on conflict do nothing`,
    [form, study, by || 'someone', why, delivery, sopUid ?? null],
  );
  return rowCount;
}

/** The same order again: it was done. */
async function isKnown(tx: Queryable, { delivery, sopUid }: LetGoOrder, form: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `select 1 from looked_at l join delivery_instance i on i.sop_uid = l.sop_uid and i.content_hash = l.content_hash
     where l.form = $1 and i.delivery = $2 and ($3::text is null or i.sop_uid = $3) limit 1`,
    [form, delivery, sopUid ?? null],
  );
  return rowCount > 0;
}

/** Wherever the study is owed in this form. In the order of ids, as every transaction that changes several. */
async function oweAgain(tx: Queryable, { study, form }: { study: string; form: string }): Promise<void> {
  const { rows } = await tx.query<{ id: number }>(
    `select d.id from delivery d where d.study_uid = $1 and d.form = $2 and d.state <> 'cancelled' order by d.id for update`,
    [study, form],
  );
  const changed = await tx.query<{ delivery: number }>(
    `update delivery_instance i set state = 'owed', to_look = false from looked_at l
     where i.delivery = any($1) and i.to_look and i.state = 'failed'
       and l.form = $2 and l.sop_uid = i.sop_uid and l.content_hash = i.content_hash
     returning i.delivery`,
    [rows.map(({ id }) => id), form],
  );
  const ids = [...new Set(changed.rows.map(({ delivery }) => delivery))];
  if (ids.length === 0) return;
  await reopen(tx, ids);
  await notifyDue(tx);
}
