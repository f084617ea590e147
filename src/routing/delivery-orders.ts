/**
 * What people order of the ledger: try again, send again, cancel; one delivery, a study, or all of a destination.
 * Called by forwarding/routes.ts. A worker that holds the delivery meanwhile finds out by its lease or at its end.
 */
import type { Database, Queryable } from '../archive/database/database.ts';
import { findStudy } from '../archive/study.ts';
import { Failure } from '../failure.ts';
import type { DeliveryState } from './attempt-end.ts';
import { cancelDeliveries, cancelOwedTo, inBatches } from './cancel-deliveries.ts';
import type { DeliveryList, DeliveryView } from './delivery-list.ts';
import { notifyDue } from './due.ts';
import { type LetGo, type LetGoOrder, letGo } from './let-go.ts';
import { owe } from './owe.ts';
import { reopen } from './reopen.ts';
import type { DestinationRecord, RoutingTable } from './routing-table.ts';

export interface Resent {
  destination: string;
  /** Owed now that were not before. */
  instances: number;
  /** What became of it. */
  message: string;
}

export interface DeliveryOrders {
  /** Everything not delivered is owed again, now. @throws Failure 'not-found' | 'conflict' */
  retry(id: number): Promise<DeliveryView>;
  /** Nothing more of it is sent, late images included, until a retry. @throws Failure 'not-found' | 'conflict' */
  cancel(id: number, by: string): Promise<DeliveryView>;
  /** A person has looked: what a rule held back goes, late images included. @throws Failure 'not-found' | 'conflict' */
  release(id: number, by: string): Promise<DeliveryView>;
  /** A person has looked at instances that may show text, and they go (let-go.ts). @throws Failure 'not-found' | 'conflict' */
  letGo(order: LetGoOrder): Promise<LetGo>;
  /** What is parked, and what waits, is owed now. @returns how many deliveries. @throws Failure 'not-found' */
  retryAll(destination: string): Promise<number>;
  /** What is not delivered is cancelled. @returns how many deliveries. @throws Failure 'not-found' */
  cancelAll(destination: string, by: string): Promise<number>;
  /**
   * The whole study as it is now is owed again, what was delivered and what was cancelled included.
   * @param destinations names; without them, wherever it was owed before
   * @throws Failure 'not-found' for the study, 'invalid' for a destination, 'conflict' while it is held
   */
  resend(studyUid: string, destinations: readonly string[] | undefined, by: string): Promise<Resent[]>;
}

export interface DeliveryOrdersParts {
  database: Database;
  table: Pick<RoutingTable, 'destination'>;
  deliveries: Pick<DeliveryList, 'find'>;
}

export function createDeliveryOrders({ database, table, deliveries }: DeliveryOrdersParts): DeliveryOrders {
  async function known(name: string): Promise<void> {
    if (!(await table.destination(name))) throw new Failure('not-found', `There is no destination ${name}`);
  }

  return {
    async retry(id) {
      await database.transaction((tx) => retryOne(tx, id));
      return deliveries.find(id);
    },

    async cancel(id, by) {
      const cancelled = await cancelDeliveries(database, [id], `cancelled by ${by || 'someone'}`);
      const now = await deliveries.find(id);
      if (cancelled === 0) throw new Failure('conflict', `Delivery ${id} is ${now.state} already`);
      return now;
    },

    async release(id, by) {
      const { rowCount } = await database.query(
        `update delivery d set waits = false, released_at = now(), released_by = $2, changed_at = now(),
           held = exists (select 1 from study s where s.study_uid = d.study_uid and s.held is not null)
         where d.id = $1 and d.waits`,
        [id, by || 'someone'],
      );
      if (rowCount > 0) await notifyDue(database);
      const now = await deliveries.find(id);
      if (rowCount === 0) throw new Failure('conflict', `Delivery ${id} does not wait for a person`);
      return now;
    },

    letGo: (order) => letGo(database, order),

    async retryAll(destination) {
      await known(destination);
      await endWait(database, destination);
      const count = await inBatches(
        database,
        destination,
        `state = 'parked' or (state = 'owed' and next_attempt_at > now())`,
        retryDeliveries,
      );
      await notifyDue(database);
      return count;
    },

    async cancelAll(destination, by) {
      await known(destination);
      return cancelOwedTo(
        database,
        destination,
        `cancelled by ${by || 'someone'} with all of ${destination}`,
      );
    },

    resend: (studyUid, names, by) =>
      database.transaction(async (tx) => {
        const study = await findStudy(tx, studyUid);
        if (!study) throw new Failure('not-found', `There is no study ${studyUid}`);
        if (study.held !== null)
          throw new Failure(
            'conflict',
            `The study ${studyUid} is held until a person decides on its conflict; settle that first`,
          );
        const destinations = await destinationsOf(tx, table, studyUid, names);
        const resent: Resent[] = [];
        for (const destination of destinations)
          resent.push(await resendTo(tx, studyUid, destination, `(resent by ${by || 'someone'})`));
        await notifyDue(tx);
        return resent;
      }),
  };
}

async function retryOne(tx: Queryable, id: number): Promise<void> {
  const { rows } = await tx.query<{ state: DeliveryState; destination: string }>(
    'select state, destination from delivery where id = $1 for update',
    [id],
  );
  const found = rows[0];
  if (!found) throw new Failure('not-found', `There is no delivery ${id}`);
  if (found.state === 'sending' || found.state === 'delivered')
    throw new Failure(
      'conflict',
      found.state === 'sending'
        ? `Delivery ${id} is being sent now`
        : `Delivery ${id} is delivered: there is nothing to try again; POST /api/studies/STUDY/resend sends it once more`,
    );
  if (!(await endWait(tx, found.destination)))
    throw new Failure('conflict', `${found.destination} is no destination any more; create it first`);
  await retryDeliveries(tx, [id]);
  await notifyDue(tx);
}

/** A person says now: the wait of a destination that was down, or of a group's members, ends as well. @returns whether there is one */
async function endWait(tx: Queryable, destination: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update destination set down_until = null where name = $1 or name in (
       select jsonb_array_elements_text(g.settings -> 'members') from destination g where g.name = $1 and g.kind = 'group')`,
    [destination],
  );
  return rowCount > 0;
}

async function retryDeliveries(tx: Queryable, ids: readonly number[]): Promise<void> {
  await tx.query(
    `update delivery_instance set state = 'owed' where delivery = any($1) and state = 'failed'`,
    [ids],
  );
  await reopen(tx, ids);
}

/** In the order of names, as every transaction that owes to several. */
async function destinationsOf(
  tx: Queryable,
  table: DeliveryOrdersParts['table'],
  studyUid: string,
  names: readonly string[] | undefined,
): Promise<DestinationRecord[]> {
  const { rows } = await tx.query<{ name: string }>(
    `select name from destination where name = any($2)
       or ($2::text[] is null and name in (select destination from delivery where study_uid = $1))
     order by name for key share`,
    [studyUid, names ?? null],
  );
  const unknown = (names ?? []).filter((name) => !rows.some((row) => row.name === name));
  if (unknown.length > 0)
    throw new Failure(
      'invalid',
      `The order has a fault: destinations: ${unknown.join(', ')} is no destination`,
    );
  if (rows.length === 0)
    throw new Failure(
      'conflict',
      `The study ${studyUid} was never owed to a destination that is still there: name some in "destinations"`,
    );
  const found: DestinationRecord[] = [];
  for (const { name } of rows) {
    const destination = await table.destination(name, tx);
    if (destination) found.push(destination);
  }
  return found;
}

async function resendTo(
  tx: Queryable,
  studyUid: string,
  destination: DestinationRecord,
  order: string,
): Promise<Resent> {
  const { name } = destination;
  const messages: string[] = [];
  for (const form of await formsFor(tx, studyUid, name))
    messages.push(await owe(tx, { studyUid, scope: {}, destination, rule: order, priority: 0, form }));
  const message = messages.join(', ');
  const { rows } = await tx.query<{ id: number }>(
    'select id from delivery where study_uid = $1 and destination = $2 order by id for update',
    [studyUid, name],
  );
  const ids = rows.map(({ id }) => id);
  // Bytes that are not the archive's current version stay on record and are not sent.
  await tx.query(
    `update delivery_instance di set state = 'owed', status = null, comment = null, at = null
     where di.delivery = any($1) and di.state <> 'owed'
       and exists (select 1 from instance i where i.object = di.object)`,
    [ids],
  );
  const owed = await tx.query<{ count: number }>(
    `select count(*) from delivery_instance where delivery = any($1) and state = 'owed'`,
    [ids],
  );
  const instances = owed.rows[0]?.count ?? 0;
  if (instances > 0) await reopen(tx, ids);
  return {
    destination: name,
    instances,
    message: instances > 0 ? `${instances} owed to ${name}` : message,
  };
}

/**
 * A study goes again as it went before. To a destination that rules send to only with changes nothing goes as it is
 * stored because a person forgot them.
 * @throws Failure 'conflict' when it was never owed there and a rule changes what goes there
 */
async function formsFor(tx: Queryable, studyUid: string, destination: string): Promise<string[]> {
  const owed = await tx.query<{ form: string }>(
    'select form from delivery where study_uid = $1 and destination = $2 order by form',
    [studyUid, destination],
  );
  if (owed.rows.length > 0) return owed.rows.map(({ form }) => form);
  const { rows } = await tx.query<{ name: string }>(
    `select name from rule where body -> 'send' ? $1 and body ? 'transform' order by name limit 1`,
    [destination],
  );
  if (rows[0])
    throw new Failure(
      'conflict',
      `The rule ${rows[0].name} changes what goes to ${destination}, and this study was never owed there: it would go as it is stored. Let a rule match it`,
    );
  return [''];
}
