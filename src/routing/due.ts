/**
 * The word that something became due: a Postgres notification that carries nothing and may be lost.
 * Said in the transaction that makes deliveries due; heard by forwarding's clocks, which then ask the ledger.
 */
import type { Queryable } from '../archive/database/database.ts';

export const DUE_CHANNEL = 'isocenter_due';

export async function notifyDue(tx: Queryable): Promise<void> {
  await tx.query(`select pg_notify('${DUE_CHANNEL}', '')`);
}
