/**
 * Storage commitment in the ledger (PS3.4 Annex J, as SCU): which delivered instances are to be asked for, what was
 * asked, and what the peer reported. Asking goes by the delivery's lease; a report is a fact from outside and counts
 * whenever it comes and whoever hears it. Called by forwarding/commitment-scu.ts and, for reports on other
 * associations, by scp.
 */
import type { Database, Queryable } from '../archive/database/database.ts';
import {
  type CommitmentReport,
  type FailedReference,
  failureReason,
  failureReasonWord,
} from '../dimse/storage-commitment.ts';
import { Failure } from '../failure.ts';
import type { Lease } from './claim.ts';
import type { CommitmentSettings } from './dimse-destination.ts';
import { notifyDue } from './due.ts';
import { UNCOMMITTED } from './uncommitted.ts';

export interface UncommittedInstance {
  /** Of the debt. */
  readonly id: number;
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
}

/** What is still awaited of a delivery's peer. */
export interface CommitmentStanding {
  /** Asked, and within their time or to be asked for again. */
  awaited: number;
  /** Asked as often as may be, and not answered in time. */
  exhausted: number;
  /** Until the first of those awaited is to be asked for again. */
  waitMs: number;
  /** Owed again, because the peer said that it has not got them. */
  resent: number;
  /** FailureReason that the exhausted were last reported with, if any. */
  reason: number | null;
}

export interface CommitmentLedger {
  /**
   * Instances delivered to this destination (of a group the member) that were never asked for, or not answered in time,
   * in the order they were owed.
   */
  toAsk(
    lease: Lease,
    destination: string,
    settings: CommitmentSettings,
    limit: number,
  ): Promise<UncommittedInstance[]>;
  /** Before the request leaves, so that a report finds its instances. @throws Failure 'conflict' when the lease is lost */
  begin(lease: Lease, transactionUid: string, ids: readonly number[]): Promise<void>;
  /** The peer took the request: its time begins. */
  asked(transactionUid: string): Promise<void>;
  /** Whether all of these transactions were reported on. */
  reported(transactionUids: readonly string[]): Promise<boolean>;
  standing(lease: Lease, destination: string, settings: CommitmentSettings): Promise<CommitmentStanding>;
  /** @returns false when the transaction is none of ours */
  report(report: CommitmentReport): Promise<boolean>;
}

/** A peer that has not got it yet is not flooded with it. */
const RESEND_WAIT_S = 60;

export function createCommitmentLedger({ database }: { database: Database }): CommitmentLedger {
  return {
    async toAsk(lease, destination, { waitS, tries }, limit) {
      const { rows } = await database.query<UncommittedInstance>(
        `select i.id, o.sop_class as "sopClassUid", coalesce(i.sent_sop_uid, i.sop_uid) as "sopInstanceUid"
         from delivery_instance i join object o on o.id = i.object
         where i.delivery = $1 and i.state in ('delivered', 'warning') and (i.commitment is null
           or i.commitment = 'asked' and i.commitment_tries < $3
             and i.commitment_at <= clock_timestamp() - make_interval(secs => $2))
           and coalesce(i.via, (select destination from delivery where id = $1)) = $5
         order by i.id limit $4`,
        [lease.delivery, waitS, tries, limit, destination],
      );
      return rows;
    },

    async begin(lease, transactionUid, ids) {
      const { rowCount } = await database.query(
        `insert into commitment_transaction (transaction_uid, delivery, instances)
         select $3, id, $4 from delivery where id = $1 and lease_token = $2 and state = 'sending'`,
        [lease.delivery, lease.token, transactionUid, ids],
      );
      if (rowCount === 0) throw new Failure('conflict', `The lease on delivery ${lease.delivery} is lost`);
    },

    async asked(transactionUid) {
      // The report may have been quicker than the response: what it said stays.
      await database.query(
        `with t as (update commitment_transaction set asked_at = clock_timestamp() where transaction_uid = $1
           returning delivery, instances)
         update delivery_instance i set commitment = 'asked', commitment_tries = commitment_tries + 1,
           commitment_at = clock_timestamp()
         from t where i.delivery = t.delivery and i.id = any(t.instances) and i.state in ('delivered', 'warning')
           and i.commitment is distinct from 'committed'`,
        [transactionUid],
      );
    },

    async reported(transactionUids) {
      const { rowCount } = await database.query(
        'select 1 from commitment_transaction where transaction_uid = any($1) and reported_at is null limit 1',
        [transactionUids],
      );
      return rowCount === 0;
    },

    async standing(lease, destination, { waitS, tries }) {
      const { rows } = await database.query<CommitmentStanding>(
        `select count(*) filter (where stand = 'awaited') as awaited, count(*) filter (where stand = 'resent') as resent,
           count(*) filter (where stand = 'exhausted') as exhausted,
           max(commitment_reason) filter (where stand = 'exhausted') as reason,
           coalesce(greatest(extract(epoch from min(ends) filter (where stand = 'awaited') - clock_timestamp()) * 1000, 0), 0)
             ::float8 as "waitMs"
         from (select commitment_reason, commitment_at + make_interval(secs => $2) as ends, case
             when state = 'owed' then 'resent'
             when commitment_tries < $3 or commitment_at + make_interval(secs => $2) > clock_timestamp() then 'awaited'
             else 'exhausted' end as stand
           from delivery_instance where delivery = $1 and (state in ('delivered', 'warning') and commitment = 'asked'
             or state = 'owed' and commitment_resends > 0)
             and coalesce(via, (select destination from delivery where id = $1)) = $4) asked`,
        [lease.delivery, waitS, tries, destination],
      );
      return rows[0]!;
    },

    report: (report) =>
      database.transaction(async (tx) => {
        const found = await lockTransaction(tx, report.transactionUid);
        if (!found) return false;
        await noteCommitted(tx, found, report);
        // Failures of a report that comes again were acted on the first time.
        const resent = found.reportedAt === null ? await noteFailed(tx, found, report.failed) : 0;
        await tx.query(
          `update commitment_transaction set reported_at = coalesce(reported_at, clock_timestamp())
           where transaction_uid = $1`,
          [report.transactionUid],
        );
        await settle(tx, found, resent);
        return true;
      }),
  };
}

interface Transaction {
  delivery: number;
  instances: number[];
  reportedAt: Date | null;
  state: string;
  /** Null when the destination is gone or asks for none any more. */
  tries: number | null;
  waitS: number | null;
}

/** The delivery is locked first, as everywhere. */
async function lockTransaction(tx: Queryable, transactionUid: string): Promise<Transaction | undefined> {
  await tx.query(
    `select 1 from delivery where id = (select delivery from commitment_transaction where transaction_uid = $1)
     for update`,
    [transactionUid],
  );
  const { rows } = await tx.query<Transaction>(
    `select t.delivery, t.instances, t.reported_at as "reportedAt", d.state,
       (n.settings #>> '{commitment,tries}')::integer as tries, (n.settings #>> '{commitment,waitS}')::float8 as "waitS"
     from commitment_transaction t join delivery d on d.id = t.delivery
       left join delivery_instance i on i.id = t.instances[1]
       left join destination n on n.name = coalesce(i.via, d.destination)
     where t.transaction_uid = $1`,
    [transactionUid],
  );
  return rows[0];
}

/**
 * Also of one that was to be sent again meanwhile because of a report: the peer has it, and that was what we wanted. Not of
 * one that a person sends again: that report is of before. What the report names as committed and as failed is not proved.
 */
async function noteCommitted(tx: Queryable, { delivery, instances }: Transaction, report: CommitmentReport) {
  const failed = new Set(report.failed.map(({ sopInstanceUid }) => sopInstanceUid));
  const committed = report.committed.map(({ sopInstanceUid }) => sopInstanceUid);
  await tx.query(
    `update delivery_instance set commitment = 'committed', commitment_at = clock_timestamp(), commitment_reason = null,
       state = case when state in ('delivered', 'warning') then state else 'delivered' end,
       comment = case when state in ('delivered', 'warning') then comment end
     where delivery = $1 and id = any($2) and coalesce(sent_sop_uid, sop_uid) = any($3)
       and commitment is distinct from 'committed'
       and (state in ('delivered', 'warning') or commitment_resends > 0 or commitment = 'refused')`,
    [delivery, instances, committed.filter((uid) => !failed.has(uid))],
  );
}

/** @returns how many are to be sent again */
async function noteFailed(
  tx: Queryable,
  { delivery, instances, tries }: Transaction,
  failed: readonly FailedReference[],
): Promise<number> {
  const outcomes = failed.map(({ sopInstanceUid, reason }) => ({
    sop_uid: sopInstanceUid,
    reason,
    after: afterFailure(reason),
    words: `storage commitment was refused: ${failureReasonWord(reason)}`,
  }));
  const { rows } = await tx.query<{ state: string }>(
    `update delivery_instance i set commitment_reason = f.reason, commitment_at = clock_timestamp(),
       state = case when f.after = 'ask-again' then i.state
         when f.after = 'send-again' and i.commitment_resends < $4 then 'owed' else 'failed' end,
       commitment = case when f.after = 'ask-again' then i.commitment
         when f.after = 'send-again' and i.commitment_resends < $4 then null else 'refused' end,
       commitment_resends = i.commitment_resends + case when f.after = 'send-again' then 1 else 0 end,
       comment = case when f.after = 'ask-again' then i.comment else f.words end
     from jsonb_to_recordset($3::jsonb) as f(sop_uid text, reason integer, after text, words text)
     where i.delivery = $1 and i.id = any($2) and coalesce(i.sent_sop_uid, i.sop_uid) = f.sop_uid
       and i.state in ('delivered', 'warning')
       and i.commitment is distinct from 'committed'
     returning i.state`,
    [delivery, instances, JSON.stringify(outcomes), tries ?? 0],
  );
  return rows.filter(({ state }) => state === 'owed').length;
}

/** What becomes of an instance that the peer did not commit to (reasons of PS3.3 C.14.1.1). */
export function afterFailure(reason: number): 'send-again' | 'ask-again' | 'refused' {
  if (reason === failureReason.noSuchObjectInstance) return 'send-again';
  const passes =
    reason === failureReason.resourceLimitation || reason === failureReason.duplicateTransactionUid;
  return passes ? 'ask-again' : 'refused';
}

/** The delivery's state, unless somebody works it now and settles it then, or a person cancelled it. */
async function settle(tx: Queryable, { delivery, state, waitS }: Transaction, resent: number): Promise<void> {
  if (state === 'sending' || state === 'cancelled') return;
  const { rows } = await tx.query<{
    owed: number;
    failed: number;
    uncommitted: number;
    total: number;
    first: string | null;
  }>(
    `select count(*) filter (where i.state = 'owed') as owed, count(*) filter (where i.state = 'failed') as failed,
       count(*) filter (where ${UNCOMMITTED}) as uncommitted, count(*) as total,
       (select comment from delivery_instance where delivery = $1 and state = 'failed' order by id limit 1) as first
     from delivery d join delivery_instance i on i.delivery = d.id where d.id = $1`,
    [delivery],
  );
  const counts = rows[0]!;
  const to = async (next: string, error: string | null, waitMs = 0): Promise<void> => {
    await tx.query(
      `update delivery set state = $2, last_error = $3, committing = false, changed_at = now(), faults = 0,
         failing_since = null, next_attempt_at = clock_timestamp() + make_interval(secs => $4 / 1000.0),
         delivered_at = case when $2 = 'delivered' then now() end where id = $1`,
      [delivery, next, error, waitMs],
    );
    await notifyDue(tx);
  };
  if (resent > 0) {
    const again = `${resent} of ${counts.total} instances are not there by the peer's word and are sent again`;
    await to('owed', again, Math.min(waitS ?? RESEND_WAIT_S, RESEND_WAIT_S) * 1000);
  } else if (counts.owed > 0 || counts.uncommitted > 0) return;
  else if (counts.failed > 0)
    await to('parked', `${counts.failed} of ${counts.total} instances were refused: ${counts.first}`);
  else await to('delivered', null);
}
