/**
 * The ledger of links: table fhir_link, one row per study the EHR should know. All times are Postgres'.
 * Called by fhir.ts (marks what the change feed names), worker.ts (claims, settles) and routes.ts (lists, retries).
 * A claim is a lease with a fencing token; settling with an old token changes nothing.
 */
import type { Queryable } from '../archive/database/database.ts';

export type LinkState = 'waiting' | 'linked' | 'unlinked' | 'parked';

export interface Claim {
  studyUid: string;
  leaseToken: number;
  asked: number;
  /** This try included. */
  attempts: number;
  server: string | null;
  resourceId: string | null;
  versionId: string | null;
  contentHash: Buffer | null;
}

/** What a try came to. */
export type LinkOutcome =
  | {
      state: 'linked';
      /** Undefined for a study that is gone. */
      studyVersion?: number;
      /** Undefined where the EHR need not have one. */
      resourceId: string | undefined;
      versionId: string | undefined;
      contentHash: Buffer;
      /** In words, what of a deleted study the EHR was told. */
      reason?: string;
    }
  /** delayMs undefined: only the change feed or a person makes it due again. */
  | { state: 'waiting' | 'unlinked' | 'parked'; reason: string; delayMs?: number };

export interface OpenLink {
  study: string;
  state: LinkState;
  reason: string | null;
  since: Date;
  attempts: number;
  nextAttempt: Date | null;
}

export interface Link extends OpenLink {
  server: string | null;
  resourceId: string | null;
  versionId: string | null;
  studyVersion: number | null;
  changedAt: Date;
}

/** Notified when links become due, at commit. */
export const DUE_CHANNEL = 'isocenter_fhir_due';

/** Makes the links of these studies due; called in the transaction that moves the feed's cursor. */
export async function markDue(tx: Queryable, studyUids: readonly string[]): Promise<void> {
  await tx.query(
    `insert into fhir_link (study_uid) select distinct unnest($1::text[]) order by 1
     on conflict (study_uid) do update set asked = fhir_link.asked + 1, state = 'waiting', reason = null,
       state_since = case when fhir_link.state = 'waiting' then fhir_link.state_since else now() end,
       attempts = 0, next_attempt_at = now(), changed_at = now()`,
    [studyUids],
  );
  await tx.query(`select pg_notify('${DUE_CHANNEL}', '')`);
}

/** Takes what is due, oldest first, under a lease that nobody else holds. */
export async function claimDue(
  db: Queryable,
  owner: string,
  limit: number,
  leaseMs: number,
): Promise<Claim[]> {
  const claimed = await db.query<Claim>(
    `update fhir_link set lease_owner = $1, lease_token = lease_token + 1, attempts = attempts + 1,
       lease_until = now() + make_interval(secs => $3::float8 / 1000)
     where study_uid in (
       select study_uid from fhir_link
       where next_attempt_at <= now() and (lease_until is null or lease_until <= now())
       order by next_attempt_at limit $2 for update skip locked)
     returning study_uid as "studyUid", lease_token as "leaseToken", asked, attempts, server,
       resource_id as "resourceId", version_id as "versionId", content_hash as "contentHash"`,
    [owner, limit, leaseMs],
  );
  return claimed.rows;
}

/** @returns false when the lease went to somebody else: nothing may be written to the EHR any more */
export async function renewLease(db: Queryable, claim: Claim, leaseMs: number): Promise<boolean> {
  const renewed = await db.query(
    `update fhir_link set lease_until = now() + make_interval(secs => $3::float8 / 1000)
     where study_uid = $1 and lease_token = $2 and lease_until is not null`,
    [claim.studyUid, claim.leaseToken, leaseMs],
  );
  return renewed.rowCount === 1;
}

/**
 * Writes the outcome and gives the lease back. Where the link was asked for again meanwhile, it is due again.
 * @returns false when the lease was lost: the outcome is not written
 */
export async function settle(
  db: Queryable,
  claim: Claim,
  server: string,
  outcome: LinkOutcome,
): Promise<boolean> {
  const linked = outcome.state === 'linked' ? outcome : undefined;
  const other = outcome.state === 'linked' ? undefined : outcome;
  const settled = await db.query(
    `update fhir_link set
       state = case when asked = $3 then $4 else 'waiting' end,
       state_since = case when state = case when asked = $3 then $4 else 'waiting' end then state_since else now() end,
       reason = case when asked = $3 then $5 end,
       next_attempt_at = case when asked = $3 then now() + make_interval(secs => $6::float8 / 1000) else now() end,
       attempts = case when asked = $3 then attempts else 0 end,
       server = $8,
       resource_id = coalesce($7, resource_id),
       version_id = case when $7::text is null then version_id else $9 end,
       study_version = coalesce($10, study_version),
       content_hash = coalesce($11, content_hash),
       lease_owner = null, lease_until = null, changed_at = now()
     where study_uid = $1 and lease_token = $2`,
    [
      claim.studyUid,
      claim.leaseToken,
      claim.asked,
      outcome.state,
      outcome.reason ?? null,
      other?.delayMs ?? null,
      linked?.resourceId ?? null,
      server,
      linked?.versionId ?? null,
      linked?.studyVersion ?? null,
      linked?.contentHash ?? null,
    ],
  );
  return settled.rowCount === 1;
}

/**
 * Before something else is told: the EHR may take it and we not hear of it, and what was told before must not count then
 * when it becomes true again.
 */
export async function forgetTold(db: Queryable, studyUid: string): Promise<void> {
  await db.query('update fhir_link set content_hash = null where study_uid = $1', [studyUid]);
}

/** @returns milliseconds until the next link is due, 0 when one is, undefined when none will be */
export async function nextDueMs(db: Queryable): Promise<number | undefined> {
  const next = await db.query<{ ms: number | null }>(
    `select extract(epoch from min(greatest(next_attempt_at, lease_until)) - now())::float8 * 1000 as ms
     from fhir_link where next_attempt_at is not null`,
  );
  const ms = next.rows[0]?.ms ?? null;
  return ms === null ? undefined : Math.max(0, ms);
}

/** What was told to another server is not known to this one: all of it becomes due. */
export async function moveToServer(db: Queryable, server: string): Promise<number> {
  const moved = await db.query(
    `update fhir_link set state = 'waiting', state_since = now(), asked = asked + 1, attempts = 0, reason = null,
       resource_id = null, version_id = null, content_hash = null, study_version = null, server = null,
       next_attempt_at = now(), changed_at = now()
     where server <> $1`,
    [server],
  );
  return moved.rowCount;
}

/**
 * A person wants it tried again, all of it: what the EHR was told before does not count, nor which Endpoint we had.
 * @param studyUid undefined for everything that is not linked
 * @returns how many links became due
 */
export async function retry(db: Queryable, studyUid: string | undefined): Promise<number> {
  const due = await db.query(
    `with forgotten as (update fhir_endpoint set resource_id = null, address = null)
     update fhir_link set state = 'waiting', asked = asked + 1, attempts = 0, reason = null, content_hash = null,
       state_since = case when state = 'waiting' then state_since else now() end,
       next_attempt_at = now(), changed_at = now()
     where ($1::text is null and state <> 'linked') or study_uid = $1`,
    [studyUid ?? null],
  );
  if (due.rowCount > 0) await db.query(`select pg_notify('${DUE_CHANNEL}', '')`);
  return due.rowCount;
}

const OPEN = `study_uid as study, state, reason, state_since as since, attempts, next_attempt_at as "nextAttempt"`;

/** What could not be linked so far, longest first: unlinked and parked studies, and waiting ones with a failure. */
export async function findOpenLinks(
  db: Queryable,
  page: { limit: number; offset: number },
): Promise<OpenLink[]> {
  const open = await db.query<OpenLink>(
    `select ${OPEN} from fhir_link
     where state <> 'linked' and (state <> 'waiting' or reason is not null)
     order by state_since, study_uid limit $1 offset $2`,
    [page.limit, page.offset],
  );
  return open.rows;
}

export async function findLink(db: Queryable, studyUid: string): Promise<Link | undefined> {
  const link = await db.query<Link>(
    `select ${OPEN}, server, resource_id as "resourceId", version_id as "versionId",
       study_version as "studyVersion", changed_at as "changedAt"
     from fhir_link where study_uid = $1`,
    [studyUid],
  );
  return link.rows[0];
}

export interface StateCount {
  state: LinkState;
  count: number;
}

export async function countLinks(db: Queryable): Promise<StateCount[]> {
  const { rows } = await db.query<StateCount>(
    'select state, count(*) from fhir_link group by state order by state',
  );
  return rows;
}
