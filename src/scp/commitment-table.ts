/**
 * What others asked us to commit to, as the database keeps it until they have our report: taken down, worked under a
 * lease, decided, reported. A request outlives the association and the process. Used by commitment.ts; Postgres' clock.
 */
import type { Database } from '../archive/database/database.ts';
import type { CommitmentRequest, FailedReference, InstanceReference } from '../dimse/storage-commitment.ts';
import { Failure } from '../failure.ts';

/** Who asked. */
export interface Asker {
  aeTitle: string;
  /** Our AE title, as it called us: the report comes from there. */
  calledAe: string;
  address: string;
}

export interface ClaimedRequest extends Asker {
  id: number;
  token: number;
  transactionUid: string;
  instances: InstanceReference[];
  /** 'deciding': whether all is in its place is still to be seen. */
  state: 'deciding' | 'reporting';
  askedAt: Date;
  /** For how long it has been asked. */
  ageMs: number;
  failed: FailedReference[];
  /** Attempts at the report so far. */
  tries: number;
}

export interface RequestView {
  id: number;
  transaction: string;
  aeTitle: string;
  state: string;
  askedAt: Date;
  instances: number;
  /** Null while it is not decided. */
  committed: number | null;
  tries: number;
  /** Null when nothing is to be done any more. */
  nextTry: Date | null;
  lastError: string | null;
  reportedAt: Date | null;
}

export interface CommitmentTable {
  /**
   * Takes a request down, leased by this node. The same again is looked at and reported anew.
   * @returns its id. @throws Failure 'conflict' when the transaction UID was used for other instances;
   *          'no-space' when too many requests wait
   */
  add(request: CommitmentRequest, from: Asker): Promise<number>;
  /** A due request that nobody else works, leased; none of `busy`. What is to be decided goes before what is to be told. */
  claim(busy: readonly number[]): Promise<ClaimedRequest | undefined>;
  /** @returns false when the lease is lost */
  extend(claimed: ClaimedRequest): Promise<boolean>;
  /** Looked at again after a while, by this node as long as it lives. */
  wait(claimed: ClaimedRequest, waitMs: number): Promise<void>;
  /** Written before it is reported: the report is the same however often it is tried. */
  decide(claimed: ClaimedRequest, failed: readonly FailedReference[]): Promise<void>;
  reported(claimed: ClaimedRequest): Promise<void>;
  /** @param waitMs undefined gives it up */
  notReported(claimed: ClaimedRequest, why: string, waitMs: number | undefined): Promise<void>;
  /** The AE cannot be reached: its other reports wait as long, so that it costs the others nothing. */
  rest(claimed: ClaimedRequest, waitMs: number): Promise<void>;
  /** Until the next of those this node may claim is due; undefined when none waits. */
  nextDueMs(): Promise<number | undefined>;
  /** Reports that wait are tried now: an address may have been named. */
  hurry(): Promise<void>;
  list(query: {
    state?: string | undefined;
    ae?: string | undefined;
    limit: number;
    offset: number;
  }): Promise<RequestView[]>;
  /** Decides and reports anew. @throws Failure 'not-found' */
  retry(id: number): Promise<RequestView>;
  counts(): Promise<{ state: string; count: number }[]>;
  /** Forgets what was done long ago. */
  sweep(): Promise<void>;
}

export const COMMITMENT_CHANNEL = 'isocenter_commitment';

/** Longer than a report on two associations may take. */
const LEASE_S = 60;
const MAX_WAITING = 10_000;
const KEPT_DAYS = 30;

const VIEW = `select id, transaction_uid as transaction, ae_title as "aeTitle", state, asked_at as "askedAt",
  jsonb_array_length(instances) as instances,
  case when failed is not null then jsonb_array_length(instances) - jsonb_array_length(failed) end as committed, tries,
  case when state in ('deciding', 'reporting') then next_try_at end as "nextTry", last_error as "lastError",
  reported_at as "reportedAt" from commitment_request`;

export function createCommitmentTable(database: Database, nodeName: string): CommitmentTable {
  const notify = `select pg_notify('${COMMITMENT_CHANNEL}', '')`;
  /** Every write of an outcome names the lease's token. */
  const write = async (
    { id, token }: ClaimedRequest,
    set: string,
    values: unknown[] = [],
  ): Promise<number> => {
    const { rowCount } = await database.query(
      `update commitment_request set ${set} where id = $1 and lease_token = $2`,
      [id, token, ...values],
    );
    return rowCount;
  };
  /** Reports that wait are due now, of one AE or of all. */
  const hurry = async (aeTitle: string | undefined): Promise<void> => {
    await database.query(
      `with due as (update commitment_request set next_try_at = now()
         where state = 'reporting' and next_try_at > now() and ($1::text is null or ae_title = $1) returning id)
       select pg_notify('${COMMITMENT_CHANNEL}', '') from due limit 1`,
      [aeTitle ?? null],
    );
  };
  const released = `lease_owner = null, lease_until = null`;

  return {
    add: ({ transactionUid, instances }, { aeTitle, calledAe, address }) =>
      database.transaction(async (tx) => {
        const waiting = await tx.query(
          `select 1 from commitment_request where state in ('deciding', 'reporting') offset ${MAX_WAITING - 1} limit 1`,
        );
        if (waiting.rowCount > 0)
          throw new Failure(
            'no-space',
            `${MAX_WAITING} requests for storage commitment wait: ask again later`,
          );
        const pairs = instances.map(({ sopClassUid, sopInstanceUid }) => [sopClassUid, sopInstanceUid]);
        const { rows } = await tx.query<{ id: number; same: boolean }>(
          `insert into commitment_request as r (transaction_uid, ae_title, called_ae, address, instances, lease_owner,
             lease_until)
           values ($1, $2, $3, $4, $5, $6, clock_timestamp() + interval '${LEASE_S} s')
           on conflict (ae_title, transaction_uid) do update set called_ae = excluded.called_ae,
             address = excluded.address
           returning id, instances = $5::jsonb as same`,
          [transactionUid, aeTitle, calledAe, address, JSON.stringify(pairs), nodeName],
        );
        const { id, same } = rows[0]!;
        if (!same)
          throw new Failure('conflict', '(0008,1195) TransactionUID was used before, for other instances');
        await tx.query(
          `update commitment_request set state = 'deciding', tries = 0, next_try_at = now(), failed = null,
             decided_at = null, reported_at = null, asked_at = now()
           where id = $1 and state in ('reported', 'given-up')`,
          [id],
        );
        await tx.query(notify);
        return id;
      }),

    async claim(busy) {
      const { rows } = await database.query<
        Omit<ClaimedRequest, 'instances' | 'failed'> & {
          pairs: [string, string][];
          failures: [string, string, number][] | null;
        }
      >(
        `update commitment_request set lease_owner = $1, lease_token = lease_token + 1,
           lease_until = clock_timestamp() + interval '${LEASE_S} s'
         where id = (select id from commitment_request where state in ('deciding', 'reporting')
           and next_try_at <= clock_timestamp() and id <> all($2)
           and (lease_until is null or lease_until < clock_timestamp() or lease_owner = $1)
           order by state, next_try_at limit 1 for update skip locked)
         returning id, lease_token as token, transaction_uid as "transactionUid", ae_title as "aeTitle",
           called_ae as "calledAe", address, instances as pairs, state, asked_at as "askedAt", tries,
           extract(epoch from clock_timestamp() - asked_at)::float8 * 1000 as "ageMs", failed as failures`,
        [nodeName, busy],
      );
      if (!rows[0]) return undefined;
      const { pairs, failures, ...row } = rows[0];
      return {
        ...row,
        instances: pairs.map(([sopClassUid, sopInstanceUid]) => ({ sopClassUid, sopInstanceUid })),
        failed: (failures ?? []).map(([sopClassUid, sopInstanceUid, reason]) => ({
          sopClassUid,
          sopInstanceUid,
          reason,
        })),
      };
    },

    extend: async (claimed) =>
      (await write(claimed, `lease_until = clock_timestamp() + interval '${LEASE_S} s'`)) > 0,

    async wait(claimed, waitMs) {
      // The lease stays: this node may still have the association that the report belongs on.
      await write(
        claimed,
        `next_try_at = clock_timestamp() + make_interval(secs => $3 / 1000.0),
         lease_until = clock_timestamp() + make_interval(secs => $3 / 1000.0) + interval '${LEASE_S} s'`,
        [waitMs],
      );
    },

    async decide(claimed, failed) {
      const rows = failed.map(({ sopClassUid, sopInstanceUid, reason }) => [
        sopClassUid,
        sopInstanceUid,
        reason,
      ]);
      const written = await write(
        claimed,
        `state = 'reporting', failed = $3, decided_at = clock_timestamp()`,
        [JSON.stringify(rows)],
      );
      if (written === 0) throw new Failure('conflict', 'The lease on a storage commitment is lost');
    },

    async reported(claimed) {
      await write(
        claimed,
        `state = 'reported', reported_at = clock_timestamp(), tries = tries + 1, last_error = null, ${released}`,
      );
      await hurry(claimed.aeTitle);
    },

    async notReported(claimed, why, waitMs) {
      await write(
        claimed,
        `state = case when $4::float8 is null then 'given-up' else state end, tries = tries + 1, last_error = $3,
         next_try_at = clock_timestamp() + make_interval(secs => coalesce($4::float8, 0) / 1000.0), ${released}`,
        [why, waitMs ?? null],
      );
    },

    async nextDueMs() {
      const { rows } = await database.query<{ ms: number | null }>(
        `select extract(epoch from min(greatest(next_try_at,
             case when lease_owner = $1 then null else lease_until end)) - clock_timestamp())::float8 * 1000 as ms
         from commitment_request where state in ('deciding', 'reporting')`,
        [nodeName],
      );
      return rows[0]?.ms ?? undefined;
    },

    hurry: () => hurry(undefined),

    async rest({ id, aeTitle }, waitMs) {
      await database.query(
        `update commitment_request set next_try_at = clock_timestamp() + make_interval(secs => $3 / 1000.0)
         where ae_title = $2 and id <> $1 and state = 'reporting' and (lease_until is null or lease_until < now())
           and next_try_at < clock_timestamp() + make_interval(secs => $3 / 1000.0)`,
        [id, aeTitle, waitMs],
      );
    },

    async list({ state, ae, limit, offset }) {
      const { rows } = await database.query<RequestView>(
        `${VIEW} where ($1::text is null or state = $1) and ($2::text is null or ae_title = $2)
         order by id desc limit $3 offset $4`,
        [state ?? null, ae ?? null, limit, offset],
      );
      return rows;
    },

    async retry(id) {
      const { rowCount } = await database.query(
        `update commitment_request set state = 'deciding', tries = 0, next_try_at = now(), failed = null,
           decided_at = null, asked_at = now(), lease_token = lease_token + 1, ${released} where id = $1`,
        [id],
      );
      if (rowCount === 0) throw new Failure('not-found', `There is no storage commitment ${id}`);
      await database.query(notify);
      const { rows } = await database.query<RequestView>(`${VIEW} where id = $1`, [id]);
      return rows[0]!;
    },

    async counts() {
      const { rows } = await database.query<{ state: string; count: number }>(
        'select state, count(*) as count from commitment_request group by 1 order by 1',
      );
      return rows;
    },

    async sweep() {
      await database.query(
        `delete from commitment_request where id in (select id from commitment_request
           where state in ('reported', 'given-up') and asked_at < now() - interval '${KEPT_DAYS} days' limit 10000)`,
      );
    },
  };
}
