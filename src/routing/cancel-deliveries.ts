/**
 * Cancels deliveries, and walks those of a destination in batches, however many there are.
 * Called by delivery-orders.ts for a person, and by routing-table.ts when a destination goes.
 */
import type { Database, Queryable } from '../archive/database/database.ts';

/** Deliveries changed in one transaction: a million are many short ones, and nobody waits for long. */
const BATCH = 1000;

/** Everything not delivered to it is cancelled, a batch at a time. @returns how many deliveries */
export function cancelOwedTo(database: Database, destination: string, words: string): Promise<number> {
  return inBatches(database, destination, `state in ('owed', 'sending', 'parked')`, (tx, ids) =>
    cancelDeliveries(tx, ids, words),
  );
}

/** @returns how many of them were not at their end already */
export async function cancelDeliveries(
  tx: Queryable,
  ids: readonly number[],
  words: string,
): Promise<number> {
  const { rowCount } = await tx.query(
    `update delivery set state = 'cancelled', lease_owner = null, lease_until = null,
       lease_token = lease_token + 1, last_error = $2, changed_at = now()
     where id = any($1) and state in ('owed', 'sending', 'parked')`,
    [ids, words],
  );
  return rowCount;
}

/** By id, up to the newest there is when it begins, so that it ends however much is owed meanwhile. */
export async function inBatches(
  database: Database,
  destination: string,
  condition: string,
  change: (tx: Queryable, ids: number[]) => Promise<unknown>,
): Promise<number> {
  const newest = await database.query<{ id: number | null }>(
    'select max(id) as id from delivery where destination = $1',
    [destination],
  );
  let [after, count] = [0, 0];
  for (let full = true; full; ) {
    const ids = await database.transaction(async (tx) => {
      const { rows } = await tx.query<{ id: number }>(
        `select id from delivery where destination = $1 and id > $2 and id <= $3 and (${condition})
         order by id limit ${BATCH} for update`,
        [destination, after, newest.rows[0]?.id ?? 0],
      );
      const found = rows.map(({ id }) => id);
      if (found.length > 0) await change(tx, found);
      return found;
    });
    after = ids.at(-1) ?? after;
    count += ids.length;
    full = ids.length === BATCH;
  }
  return count;
}
