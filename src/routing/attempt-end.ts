/**
 * What an attempt leaves behind: delivered, parked with the reason, or owed again after a wait.
 * In the transaction of ledger.ts' finish, under its lock on the delivery.
 */
import type { Queryable } from '../archive/database/database.ts';
import { type BackoffSettings, backoffMs } from './backoff.ts';

/** How an attempt ended. */
export type AttemptEnd =
  /** Everything owed was tried. */
  | { kind: 'done' }
  /** A transient fault of this delivery, or of the destination as a whole (down). */
  | { kind: 'retry'; reason: string; down: boolean; retryAfterMs?: number }
  /** The peer refuses it whole; trying the rest makes no sense. */
  | { kind: 'park'; reason: string }
  /** We stop; nobody is at fault. */
  | { kind: 'release' };

export type DeliveryState = 'owed' | 'sending' | 'delivered' | 'parked' | 'cancelled';

/** The delivery, locked by the caller under its lease. */
export interface Worked {
  id: number;
  destination: string;
  faults: number;
  failingSince: Date | null;
  failingMs: number;
  claimedAt: Date;
}

interface Counts {
  owed: number;
  failed: number;
  total: number;
  /** Instances with a final outcome written in this attempt. */
  progress: number;
  firstFailure: string | null;
}

async function countInstances(tx: Queryable, worked: Worked): Promise<Counts> {
  const { rows } = await tx.query<Counts>(
    `select count(*) filter (where state = 'owed') as owed, count(*) filter (where state = 'failed') as failed,
       count(*) as total, count(*) filter (where state <> 'owed' and at >= $2) as progress,
       (select comment from delivery_instance where delivery = $1 and state = 'failed' order by id limit 1) as "firstFailure"
     from delivery_instance where delivery = $1`,
    [worked.id, worked.claimedAt],
  );
  return rows[0]!;
}

/** @returns the state the delivery has now */
export async function endAttempt(
  tx: Queryable,
  worked: Worked,
  end: AttemptEnd,
  backoff: BackoffSettings,
  random: () => number,
): Promise<DeliveryState> {
  const counts = await countInstances(tx, worked);
  if (end.kind === 'park') return leave(tx, worked, 'parked', { error: end.reason });
  if (end.kind === 'release') return release(tx, worked);
  if (end.kind === 'retry' && counts.owed > 0) return retryLater(tx, worked, counts, end, backoff, random);
  if (counts.owed > 0) return leave(tx, worked, 'owed', {});
  if (counts.failed === 0) return leave(tx, worked, 'delivered', {});
  const why = counts.firstFailure ?? 'no reason was given';
  return leave(tx, worked, 'parked', {
    error: `${counts.failed} of ${counts.total} instances were refused: ${why}`,
  });
}

async function retryLater(
  tx: Queryable,
  worked: Worked,
  counts: Counts,
  end: AttemptEnd & { kind: 'retry' },
  backoff: BackoffSettings,
  random: () => number,
): Promise<DeliveryState> {
  const progressed = counts.progress > 0;
  if (end.down) await markDown(tx, worked.destination, end, backoff, random);
  if (!progressed && worked.failingMs > backoff.horizonMs) {
    const days = Math.round(backoff.horizonMs / 86_400_000);
    return leave(tx, worked, 'parked', {
      error: `given up after ${days} days without progress: ${end.reason}`,
    });
  }
  const faults = progressed ? 1 : worked.faults + 1;
  // While the destination as a whole is down its own wait governs; the delivery is due when that ends.
  const waitMs = end.down ? 0 : backoffMs(backoff, faults, random(), end.retryAfterMs);
  return leave(tx, worked, 'owed', {
    error: end.reason,
    faults,
    failing: progressed ? 'from now' : 'still',
    waitMs,
  });
}

async function markDown(
  tx: Queryable,
  destination: string,
  end: AttemptEnd & { kind: 'retry' },
  backoff: BackoffSettings,
  random: () => number,
): Promise<void> {
  const { rows } = await tx.query<{ faults: number }>(
    'select faults from destination where name = $1 for no key update',
    [destination],
  );
  const faults = (rows[0]?.faults ?? 0) + 1;
  await tx.query(
    `update destination set faults = $2, last_fault = $3, down_until = clock_timestamp() + make_interval(secs => $4 / 1000.0)
     where name = $1`,
    [destination, faults, end.reason, backoffMs(backoff, faults, random(), end.retryAfterMs)],
  );
}

/** As if the attempt had not been: what is known of earlier faults stays. */
async function release(tx: Queryable, { id }: Worked): Promise<DeliveryState> {
  await tx.query(
    `update delivery set state = 'owed', lease_owner = null, lease_until = null, changed_at = now(),
       next_attempt_at = now() where id = $1`,
    [id],
  );
  return 'owed';
}

interface Left {
  error?: string;
  faults?: number;
  failing?: 'from now' | 'still';
  waitMs?: number;
}

/** Ends the lease. Without an error the delivery counts as healthy. */
async function leave(
  tx: Queryable,
  worked: Worked,
  state: DeliveryState,
  left: Left,
): Promise<DeliveryState> {
  await tx.query(
    `update delivery set state = $2, lease_owner = null, lease_until = null, changed_at = now(), last_error = $3,
       faults = $4, failing_since = case $5 when 'from now' then now() when 'still' then coalesce(failing_since, now()) end,
       next_attempt_at = clock_timestamp() + make_interval(secs => $6 / 1000.0),
       delivered_at = case when $2 = 'delivered' then now() end
     where id = $1`,
    [worked.id, state, left.error ?? null, left.faults ?? 0, left.failing ?? null, left.waitMs ?? 0],
  );
  return state;
}
