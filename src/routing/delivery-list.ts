/**
 * The ledger as people see and steer it: listed, looked into, tried again, cancelled.
 * Called by forwarding/routes.ts and the destinations' routes; the work itself goes through ledger.ts.
 */
import type { Database } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import type { DeliveryState } from './attempt-end.ts';
import { notifyDue } from './due.ts';

export interface DeliveryView {
  id: number;
  study: string;
  destination: string;
  /** Names of the rules that owe it, separated by commas. */
  rule: string;
  state: DeliveryState;
  total: number;
  /** With warning included. */
  delivered: number;
  failed: number;
  attempts: number;
  /** Null unless it is owed. */
  nextAttempt: Date | null;
  lastError: string | null;
}

export interface DeliveryInstanceView {
  sop: string;
  state: 'owed' | 'delivered' | 'warning' | 'failed';
  status: number | null;
  comment: string | null;
  at: Date | null;
}

export interface DeliveryQuery {
  study?: string | undefined;
  destination?: string | undefined;
  state?: DeliveryState | undefined;
  limit: number;
  offset: number;
}

export interface DeliveryList {
  /** Newest first. */
  list(query: DeliveryQuery): Promise<DeliveryView[]>;
  find(id: number): Promise<DeliveryView>;
  /** In the order they were owed. */
  instances(id: number, limit: number, offset: number): Promise<DeliveryInstanceView[]>;
  /** Everything not delivered is owed again, now. @throws Failure 'not-found' | 'conflict' */
  retry(id: number): Promise<DeliveryView>;
  /** Nothing more of it is sent, late images included, until a retry. @throws Failure 'not-found' | 'conflict' */
  cancel(id: number, by: string): Promise<DeliveryView>;
  /** Deliveries by destination and state, for /metrics. */
  counts(): Promise<{ destination: string; state: DeliveryState; count: number }[]>;
}

const VIEW = `select d.id, d.study_uid as study, d.destination, array_to_string(d.rules, ', ') as rule, d.state,
    n.total, n.delivered, n.failed, d.attempts, d.last_error as "lastError",
    case when d.state = 'owed' and not d.held then greatest(d.next_attempt_at, t.down_until) end as "nextAttempt"
  from delivery d left join destination t on t.name = d.destination
  cross join lateral (
    select count(*) as total, count(*) filter (where i.state in ('delivered', 'warning')) as delivered,
      count(*) filter (where i.state = 'failed') as failed
    from delivery_instance i where i.delivery = d.id) n`;

export function createDeliveryList({ database }: { database: Database }): DeliveryList {
  async function find(id: number): Promise<DeliveryView> {
    const { rows } = await database.query<DeliveryView>(`${VIEW} where d.id = $1`, [id]);
    if (!rows[0]) throw new Failure('not-found', `There is no delivery ${id}`);
    return rows[0];
  }

  return {
    async list({ study, destination, state, limit, offset }) {
      const { rows } = await database.query<DeliveryView>(
        `${VIEW} where ($1::text is null or d.study_uid = $1) and ($2::text is null or d.destination = $2)
           and ($3::text is null or d.state = $3) order by d.id desc limit $4 offset $5`,
        [study ?? null, destination ?? null, state ?? null, limit, offset],
      );
      return rows;
    },

    find,

    async instances(id, limit, offset) {
      const { rows } = await database.query<DeliveryInstanceView>(
        `select sop_uid as sop, state, status, comment, at from delivery_instance where delivery = $1
         order by id limit $2 offset $3`,
        [id, limit, offset],
      );
      return rows;
    },

    async retry(id) {
      await database.transaction(async (tx) => {
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
              : `Delivery ${id} is delivered: there is nothing to try again`,
          );
        // A person says now: the wait of a destination that was down ends as well.
        const there = await tx.query('update destination set down_until = null where name = $1', [
          found.destination,
        ]);
        if (there.rowCount === 0)
          throw new Failure('conflict', `${found.destination} is no destination any more; create it first`);
        await tx.query(
          `update delivery_instance set state = 'owed' where delivery = $1 and state = 'failed'`,
          [id],
        );
        await tx.query(
          `update delivery set state = 'owed', faults = 0, failing_since = null, last_error = null,
             next_attempt_at = now(), changed_at = now() where id = $1`,
          [id],
        );
        await notifyDue(tx);
      });
      return find(id);
    },

    async cancel(id, by) {
      const { rowCount } = await database.query(
        `update delivery set state = 'cancelled', lease_owner = null, lease_until = null,
           lease_token = lease_token + 1, last_error = $2, changed_at = now()
         where id = $1 and state in ('owed', 'sending', 'parked')`,
        [id, `cancelled by ${by || 'someone'}`],
      );
      const now = await find(id);
      if (rowCount === 0) throw new Failure('conflict', `Delivery ${id} is ${now.state} already`);
      return now;
    },

    async counts() {
      const { rows } = await database.query<{ destination: string; state: DeliveryState; count: number }>(
        'select destination, state, count(*) as count from delivery group by 1, 2 order by 1, 2 limit 10000',
      );
      return rows;
    },
  };
}
