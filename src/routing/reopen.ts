/**
 * Makes deliveries owed again when a person orders it: what is sent again, and what is let go.
 * Called by delivery-orders.ts and let-go.ts, which say which instances.
 */
import type { Queryable } from '../archive/database/database.ts';

/** Owed from now on, with a clean slate; one that is being sent goes on, and its end sees what was added. */
export async function reopen(tx: Queryable, ids: readonly number[]): Promise<void> {
  // What is sent again, or was not committed to in time, is asked for anew.
  await tx.query(
    `update delivery_instance set commitment = null, commitment_tries = 0, commitment_resends = 0
     where delivery = any($1) and (state = 'owed' or commitment = 'asked')
       and (commitment is not null or commitment_resends > 0)`,
    [ids],
  );
  await tx.query(
    `update delivery set state = case when state = 'sending' then state else 'owed' end, faults = 0,
       failing_since = null, last_error = null, committing = false, delivered_at = null, next_attempt_at = now(), changed_at = now()
     where id = any($1)`,
    [ids],
  );
}
