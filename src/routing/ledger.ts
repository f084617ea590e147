/**
 * The ledger of what is owed, as forwarding works it: claim by lease, outcomes under a fencing token, an end.
 * Every statement that writes an outcome checks the token, so a worker that lost its lease changes nothing.
 * Times are Postgres' own. Who owes what is written by owe.ts; what people ask and order, by delivery-list.ts.
 */
import type { Database } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import { type AttemptEnd, type DeliveryState, endAttempt, type Worked } from './attempt-end.ts';
import { type BackoffSettings, DEFAULT_BACKOFF } from './backoff.ts';
import { type ClaimedDelivery, claimDelivery, type Lease } from './claim.ts';
import { notifyDue } from './due.ts';
import { createSealedSecrets, type SealedSecrets } from './sealed-secrets.ts';

export interface OwedInstance {
  /** Of the debt, for its outcome. */
  readonly id: number;
  readonly sopUid: string;
  readonly object: number;
  /** A person has looked at it and lets it go in the form it is owed in (let-go.ts). */
  readonly released: boolean;
}

export interface Outcome {
  readonly id: number;
  /** 'owed' notes a transient fault and leaves the instance to the next attempt. */
  readonly state: 'delivered' | 'warning' | 'failed' | 'owed';
  readonly status?: number;
  readonly comment?: string;
  /** What the peer got, where a rule gave it another SOP Instance UID. */
  readonly sentSopUid?: string;
  /** It failed because a person has to look at it first. */
  readonly toLook?: boolean;
}

export interface DueDelivery {
  readonly delivery: number;
  /** Until it may be claimed; 0 when it may be now. */
  readonly waitMs: number;
}

export interface LedgerParts {
  database: Database;
  /** The running program; what an earlier run of the same node left claimed is returned at start. */
  nodeName: string;
  /** A lease that is not extended for so long is lost. */
  leaseS?: number;
  /** Where a destination has no `retry` of its own. */
  backoff?: BackoffSettings;
  random?: () => number;
  /** Credentials stand in the clear without. */
  secrets?: SealedSecrets;
}

export interface Ledger {
  readonly leaseS: number;
  /**
   * The most urgent, then oldest due delivery of a destination that has room, destinations taking turns.
   * @param delivery only from the destination of this delivery
   */
  claim(delivery?: number): Promise<ClaimedDelivery | undefined>;
  /** @throws Failure 'conflict' when the lease is lost */
  extend(lease: Lease): Promise<void>;
  /** Distinct SOP classes and transfer syntaxes of what is owed next, for the presentation contexts. */
  owedKinds(lease: Lease): Promise<{ sopClassUid: string; transferSyntaxUid: string }[]>;
  /**
   * The next owed instances after `after` (an OwedInstance.id), in the order they were owed; none while the study is held,
   * and after the first page none while something more urgent waits for the same destination, or once the destination was
   * changed or switched off: the rest has its turn later, by the settings of then.
   */
  owedInstances(lease: Lease, after: number, limit: number): Promise<OwedInstance[]>;
  /**
   * Writes outcomes and extends the lease; from then on they outlive this program, and with finish() a power cut as well.
   * @throws Failure 'conflict' when the lease is lost: nothing is written
   */
  writeOutcomes(lease: Lease, outcomes: readonly Outcome[]): Promise<void>;
  /** The destination answered: it is not down (any more). */
  answered(destination: string): Promise<void>;
  /** @returns the state the delivery has now. @throws Failure 'conflict' when the lease is lost */
  finish(lease: Lease, end: AttemptEnd): Promise<DeliveryState>;
  /** Leases that ran out return to owed. @returns how many */
  returnExpired(): Promise<number>;
  /** Leases that this node held before it was started again return to owed. @returns how many */
  returnOwn(): Promise<number>;
  /** The next deliveries of every destination, at most `perDestination` of each, soonest first. */
  window(perDestination: number): Promise<DueDelivery[]>;
}

const LEASE_S = 30;
const MAX_KINDS = 2000;
/** A peer that is only asked whether it is back must not cost a look at a million instances; the rest has its turn later. */
const KINDS_AHEAD = 10_000;

export function createLedger(parts: LedgerParts): Ledger {
  const { database, nodeName, leaseS = LEASE_S, backoff = DEFAULT_BACKOFF, random = Math.random } = parts;
  const { secrets = createSealedSecrets({ seal: undefined }) } = parts;

  return {
    leaseS,

    claim: (delivery) =>
      database.transaction((tx) => claimDelivery(tx, { nodeName, leaseS, secrets }, delivery)),

    async extend(lease) {
      const { rowCount } = await database.query(
        `update delivery set lease_until = clock_timestamp() + make_interval(secs => $3)
         where id = $1 and lease_token = $2 and state = 'sending'`,
        [lease.delivery, lease.token, leaseS],
      );
      if (rowCount === 0) throw leaseLost(lease);
    },

    async owedKinds(lease) {
      const { rows } = await database.prepared<{ sopClassUid: string; transferSyntaxUid: string }>(
        `select o.sop_class as "sopClassUid", o.transfer_syntax as "transferSyntaxUid"
         from (select id, object from delivery_instance where delivery = $1 and state = 'owed'
           order by id limit ${KINDS_AHEAD}) di join object o on o.id = di.object
         group by 1, 2 order by min(di.id) limit ${MAX_KINDS}`,
        [lease.delivery],
      );
      return rows;
    },

    async owedInstances(lease, after, limit) {
      const { rows } = await database.prepared<OwedInstance>(
        `select i.id, i.sop_uid as "sopUid", i.object,
           d.form <> '' and exists (select 1 from looked_at l where l.form = d.form and l.sop_uid = i.sop_uid
             and l.content_hash = i.content_hash) as released
         from delivery_instance i join delivery d on d.id = i.delivery
         where i.delivery = $1 and i.state = 'owed' and i.id > $2 and not d.waits
           and not exists (select 1 from study s where s.study_uid = d.study_uid and s.held is not null)
           and ($2 = 0 or (select u.id from delivery u where u.destination = d.destination and u.state = 'owed'
             and not u.held and u.next_attempt_at <= now() and u.priority > d.priority
             -- In the order of the index: the planner would rather read all that is owed.
             order by u.priority desc, u.id limit 1) is null)
           and ($2 = 0 or not exists (select 1 from destination t
             where t.name in (d.destination, d.via) and t.changed_at > d.claimed_at))
         order by i.id limit $3`,
        [lease.delivery, after, limit],
      );
      return rows;
    },

    async writeOutcomes(lease, outcomes) {
      if (outcomes.length === 0) return;
      const { rows } = await database.prepared<{ fenced: number }>(
        // Not synced by themselves: what a crash of Postgres takes from the log's end is owed again, and the end of the
        // attempt, which is synced, takes all before it along. A sync for each batch would hold the peer up.
        `with fence as (
           select id, via, lease_until, set_config('synchronous_commit', 'off', true) from delivery
           where id = $1 and lease_token = $2 and state = 'sending' for no key update),
         -- Not by each batch: that would be a new version of the row each time.
         extended as (
           update delivery d set lease_until = clock_timestamp() + make_interval(secs => $4::float8) from fence
           where d.id = fence.id and fence.lease_until < clock_timestamp() + make_interval(secs => 0.9 * $4::float8)),
         written as (
           -- A planner that knows little of the table would read all of it to join it with a set of rows, and all of the
           -- delivery's where it may ask for those.
           update delivery_instance i set at = clock_timestamp(), via = fence.via,
             state = ($5::text[])[array_position($3::bigint[], i.id)],
             status = ($6::integer[])[array_position($3::bigint[], i.id)],
             comment = ($7::text[])[array_position($3::bigint[], i.id)],
             -- What the peer took last counts: it may have got it under another UID before.
             sent_sop_uid = case when ($5::text[])[array_position($3::bigint[], i.id)] in ('delivered', 'warning')
               then ($8::text[])[array_position($3::bigint[], i.id)]
               else coalesce(($8::text[])[array_position($3::bigint[], i.id)], i.sent_sop_uid) end,
             to_look = ($9::boolean[])[array_position($3::bigint[], i.id)]
           from fence where i.id = any($3::bigint[]) and i.delivery + 0 = fence.id)
         select count(*) as fenced from fence`,
        [
          lease.delivery,
          lease.token,
          outcomes.map(({ id }) => id),
          leaseS,
          outcomes.map(({ state }) => state),
          outcomes.map(({ status }) => status ?? null),
          outcomes.map(({ comment }) => comment ?? null),
          outcomes.map(({ sentSopUid }) => sentSopUid ?? null),
          outcomes.map(({ toLook }) => toLook ?? false),
        ],
      );
      if (rows[0]?.fenced !== 1) throw leaseLost(lease);
    },

    async answered(destination) {
      await database.query(
        `with up as (update destination set faults = 0, down_until = null, last_fault = null
           where name = $1 and (faults > 0 or down_until is not null) returning name)
         select pg_notify('isocenter_due', '') from up`,
        [destination],
      );
    },

    finish: (lease, end) =>
      database.transaction(async (tx) => {
        const { rows } = await tx.query<Worked>(
          `select d.id, coalesce(d.via, d.destination) as destination, d.faults, d.claimed_at as "claimedAt",
             t.settings -> 'retry' as retry, coalesce(jsonb_array_length(t.settings -> 'members'), 1) as members
           from delivery d left join destination t on t.name = d.destination
           where d.id = $1 and d.lease_token = $2 and d.state = 'sending' for update of d`,
          [lease.delivery, lease.token],
        );
        const worked = rows[0];
        if (!worked) throw leaseLost(lease);
        // Its statements see what was owed to it while we waited for the row.
        const state = await endAttempt(tx, worked, end, backoff, random);
        await notifyDue(tx);
        return state;
      }),

    async returnExpired() {
      const { rowCount } = await database.query(
        `with expired as (
           update delivery set state = 'owed', lease_owner = null, lease_until = null, changed_at = now(),
             next_attempt_at = now(), last_error = 'the program that was sending it went away; it is tried again'
           where id in (select id from delivery where state = 'sending' and lease_until < clock_timestamp()
             order by id limit 1000 for update skip locked) returning id)
         select pg_notify('isocenter_due', '') from expired`,
      );
      return rowCount;
    },

    async returnOwn() {
      const { rowCount } = await database.query(
        `update delivery set state = 'owed', lease_owner = null, lease_until = null, changed_at = now(),
           next_attempt_at = now() where state = 'sending' and lease_owner = $1`,
        [nodeName],
      );
      return rowCount;
    },

    async window(perDestination) {
      const { rows } = await database.query<DueDelivery>(
        `with room as (
           select distinct on (l.owner) l.owner, greatest(l.up_at, 'epoch') as up_at,
             least($1, case when l.faults > 0 then 1 else l.associations end - busy.count)::integer as room
           from lane l cross join lateral (
             select count(*) from delivery s where coalesce(s.via, s.destination) = l.via and s.state = 'sending') busy
           order by l.owner, l.up_at > now(), case when l.up_at > now() then l.up_at end,
             l.faults > 0 and busy.count > 0, l.rank),
         due as (
           select n.id as delivery, greatest(n.next_attempt_at, r.up_at) as at
           from room r cross join lateral (
             (select id, next_attempt_at from delivery where destination = r.owner and state = 'owed' and not held
                and next_attempt_at <= now() order by priority desc, id limit greatest(r.room, 0))
             union all
             (select id, next_attempt_at from delivery where destination = r.owner and state = 'owed' and not held
                and next_attempt_at > now() order by next_attempt_at, id limit greatest(r.room, 0))) n
           where r.up_at < 'infinity')
         select delivery, greatest(extract(epoch from at - clock_timestamp()) * 1000, 0)::float8 as "waitMs"
         from due order by at, delivery limit 10000`,
        [perDestination],
      );
      return rows;
    },
  };
}

function leaseLost({ delivery }: Lease): Failure {
  return new Failure(
    'conflict',
    `The lease on delivery ${delivery} is lost: another worker has it, or a person cancelled it`,
  );
}
