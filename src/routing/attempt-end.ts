/**
 * What an attempt leaves behind: delivered, parked with the reason, or owed again after a wait.
 * In the transaction of ledger.ts' finish, under its lock on the delivery.
 */
import type { Queryable } from '../archive/database/database.ts';
import { type BackoffSettings, backoffMs, backoffOf, isGivenUp, type RetrySettings } from './backoff.ts';
import { UNCOMMITTED } from './uncommitted.ts';

/** How an attempt ended. */
export type AttemptEnd =
  /** Everything owed was tried. */
  | { kind: 'done' }
  | Retry
  /** Everything was tried, and the peer's storage commitment is awaited for so long. */
  | { kind: 'await'; waitMs: number }
  /** The peer refuses it whole; trying the rest makes no sense. */
  | { kind: 'park'; reason: string }
  /** We stop; nobody is at fault. */
  | { kind: 'release' };

/** A transient fault of this delivery, or of the destination as a whole (down). */
export interface Retry {
  kind: 'retry';
  reason: string;
  down: boolean;
  /** Down, but at this delivery's own instances: it may be the cause, so the next to ask is another one. */
  amid?: boolean;
  retryAfterMs?: number;
}

export type DeliveryState = 'owed' | 'sending' | 'delivered' | 'parked' | 'cancelled';

/** The delivery, locked by the caller under its lease. */
export interface Worked {
  id: number;
  /** Where it was sent: of a group the member. */
  destination: string;
  /** Of its own, since the last progress. */
  faults: number;
  /** Of the destination it is owed to. */
  retry: RetrySettings | null;
  /** Ways it can go: of a group as many as it has members. */
  members: number;
  claimedAt: Date;
}

/** So long another delivery has the first word when a destination's wait is over. */
const PROBE_GAP_MS = 2000;

/** What one member of a group took is asked of that member: it is looked for again when its turn may have come. */
const OTHER_MEMBER_MS = 60_000;

interface Counts {
  owed: number;
  failed: number;
  total: number;
  /** Taken by a peer that is to commit to what it takes, and not committed to. */
  uncommitted: number;
  /** Instances with a final outcome written in this attempt. */
  progress: number;
  firstFailure: string | null;
}

async function countInstances(tx: Queryable, worked: Worked): Promise<Counts> {
  const { rows } = await tx.query<Counts>(
    `select count(*) filter (where i.state = 'owed') as owed, count(*) filter (where i.state = 'failed') as failed,
       count(*) as total, count(*) filter (where ${UNCOMMITTED}) as uncommitted,
       count(*) filter (where i.state <> 'owed' and i.at >= $2) as progress,
       (select comment from delivery_instance where delivery = $1 and state = 'failed' order by id limit 1) as "firstFailure"
     from delivery d join delivery_instance i on i.delivery = d.id where d.id = $1`,
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
  const unfinished = counts.owed > 0 || counts.uncommitted > 0;
  if (end.kind === 'retry' && unfinished) return retryLater(tx, worked, counts, end, backoff, random);
  if (counts.owed > 0) return leave(tx, worked, 'owed', {});
  if (counts.uncommitted > 0) {
    const waitMs = end.kind === 'await' ? end.waitMs : OTHER_MEMBER_MS;
    return leave(tx, worked, 'owed', { waitMs, committing: true });
  }
  if (counts.failed === 0) return leave(tx, worked, 'delivered', {});
  const why = counts.firstFailure ?? 'no reason was given';
  return leave(tx, worked, 'parked', {
    error: `${counts.failed} of ${counts.total} instances were refused: ${why}`,
  });
}

/**
 * Faults of the destination cost a delivery nothing: it stays owed, however long that takes. Its own faults are counted,
 * and only one that comes while the destination is known to be up can be the last.
 */
async function retryLater(
  tx: Queryable,
  worked: Worked,
  counts: Counts,
  end: Retry,
  otherwise: BackoffSettings,
  random: () => number,
): Promise<DeliveryState> {
  const backoff = backoffOf(worked.retry, otherwise);
  const progressed = counts.progress > 0;
  const down = end.down ? await markDown(tx, worked, end, otherwise, random) : undefined;
  const own = !end.down || end.amid === true;
  const wasUp = down === undefined || down.faults <= 1;
  if (own && wasUp && !progressed && isGivenUp(backoff, Math.floor(worked.faults / worked.members)))
    return leave(tx, worked, 'parked', { error: givenUp(backoff, end.reason) });
  const faults = (progressed ? 0 : worked.faults) + (own ? 1 : 0);
  return leave(tx, worked, 'owed', {
    error: end.reason,
    committing: counts.owed === 0,
    faults,
    failing: progressed ? 'from now' : 'still',
    waitMs: ownWaitMs(worked, end, faults, down?.waitMs, backoff, random),
  });
}

/**
 * While the destination as a whole is down its own wait governs; the delivery is due when that ends. A group is gone
 * through once, member by member, before a fault of the delivery's own makes it wait.
 */
function ownWaitMs(
  { members }: Worked,
  end: Retry,
  faults: number,
  downMs: number | undefined,
  backoff: BackoffSettings,
  random: () => number,
): number {
  if (downMs === undefined) return backoffMs(backoff, faults, random(), end.retryAfterMs);
  if (!end.amid || faults % members > 0) return 0;
  const ownMs = backoffMs(backoff, faults / members, random());
  return members > 1 ? ownMs : Math.max(ownMs, downMs + Math.min(PROBE_GAP_MS, backoff.firstMs));
}

function givenUp({ horizonMs }: BackoffSettings, reason: string): string {
  const hours = Math.round(horizonMs / 3_600_000);
  const span = hours >= 48 && hours % 24 === 0 ? `${hours / 24} days` : `${hours} h`;
  return `given up after ${span} of waiting without progress, while the destination was there: ${reason}`;
}

/**
 * Several deliveries under way find out together that a destination is away: that is one fault. And what an attempt
 * under settings of before found says nothing of those it has now.
 * @returns its faults in a row with this one, and how long it rests
 */
async function markDown(
  tx: Queryable,
  { destination, claimedAt }: Worked,
  end: Retry,
  otherwise: BackoffSettings,
  random: () => number,
): Promise<{ faults: number; waitMs: number }> {
  const { rows } = await tx.query<{
    faults: number;
    restsMs: number;
    changed: boolean;
    retry: RetrySettings | null;
  }>(
    `select faults, settings -> 'retry' as retry, changed_at > $2 as changed,
       coalesce(extract(epoch from down_until - clock_timestamp()) * 1000, 0)::float8 as "restsMs"
     from destination where name = $1 for no key update`,
    [destination, claimedAt],
  );
  const { faults: before = 0, restsMs = 0, changed = false, retry = null } = rows[0] ?? {};
  if (changed) return { faults: before, waitMs: 0 };
  const isKnown = before > 0 && restsMs > 0;
  const faults = isKnown ? before : before + 1;
  const backoff = backoffOf(retry, otherwise);
  const asked = Math.min(end.retryAfterMs ?? 0, backoff.capMs);
  const waitMs = isKnown ? Math.max(restsMs, asked) : backoffMs(backoff, faults, random(), end.retryAfterMs);
  await tx.query(
    `update destination set faults = $2, last_fault = $3, down_until = clock_timestamp() + make_interval(secs => $4 / 1000.0)
     where name = $1`,
    [destination, faults, end.reason, waitMs],
  );
  return { faults, waitMs };
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
  committing?: boolean;
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
       delivered_at = case when $2 = 'delivered' then now() end, committing = $7
     where id = $1`,
    [
      worked.id,
      state,
      left.error ?? null,
      left.faults ?? 0,
      left.failing ?? null,
      left.waitMs ?? 0,
      left.committing ?? false,
    ],
  );
  return state;
}
