/**
 * The ledger as people see it: listed, looked into, counted.
 * Called by forwarding/routes.ts and /metrics; what people order of it stands in delivery-orders.ts.
 */
import type { Database } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import type { DeliveryState } from './attempt-end.ts';
import { NEXT_ATTEMPT, WAITS_FOR } from './waits-for.ts';

export interface DeliveryView {
  id: number;
  study: string;
  destination: string;
  /** Of a group: the member it goes, or last went, through. */
  via: string | null;
  /** Names of the rules that owe it, separated by commas. */
  rule: string;
  /** 'committing': all is sent, and the peer's storage commitment is awaited. */
  state: DeliveryState | 'committing';
  total: number;
  /** With warning included. */
  delivered: number;
  /** Of those, by the peer's storage commitment; 0 where it is not asked for. */
  committed: number;
  failed: number;
  /** Of those, because a person has to look at them first: they may show text that names the patient. */
  toLook: number;
  attempts: number;
  /** A rule asked a person to look first, and nobody has released it. */
  waits: boolean;
  /** Null unless it is owed, and while only a person can let it go. */
  nextAttempt: Date | null;
  /** While it is owed, and it is not just its turn: what keeps it, in words. */
  waitsFor: string | null;
  lastError: string | null;
}

export interface DeliveryInstanceView {
  sop: string;
  /** The SOP Instance UID that the peer got, where a rule gave it another. */
  sentSop: string | null;
  state: 'owed' | 'delivered' | 'warning' | 'failed';
  status: number | null;
  comment: string | null;
  at: Date | null;
  /** Of a group: the member that answered. */
  via: string | null;
  commitment: 'asked' | 'committed' | 'refused' | null;
  /** When it was last asked for, or reported. */
  commitmentAt: Date | null;
  /** It failed because a person has to look at it first. */
  toLook: boolean;
  /** Who looked at it and let it go, and why, in this form. */
  lookedAt: { at: string; by: string; why: string } | null;
}

export interface DeliveryQuery {
  study?: string | undefined;
  destination?: string | undefined;
  state?: DeliveryView['state'] | undefined;
  /** Only those that wait for a person. */
  waits?: boolean | undefined;
  /** Only those of which a person has to look at instances first. */
  toLook?: boolean | undefined;
  limit: number;
  offset: number;
}

export interface DeliveryList {
  /** Newest first. */
  list(query: DeliveryQuery): Promise<DeliveryView[]>;
  find(id: number): Promise<DeliveryView>;
  /** In the order they were owed. */
  instances(id: number, limit: number, offset: number): Promise<DeliveryInstanceView[]>;
  /** Deliveries that are not at their end, by destination and state, for /metrics. */
  openCounts(): Promise<{ destination: string; state: DeliveryView['state']; count: number }[]>;
}

const STATE = `case when d.state = 'owed' and d.committing then 'committing' else d.state end`;

/** In words that an index knows. */
const STATE_IS: Readonly<Record<DeliveryView['state'], string>> = {
  owed: `d.state = 'owed' and not d.committing`,
  committing: `d.state = 'owed' and d.committing`,
  sending: `d.state = 'sending'`,
  delivered: `d.state = 'delivered'`,
  parked: `d.state = 'parked'`,
  cancelled: `d.state = 'cancelled'`,
};

const TO_LOOK = `select delivery from delivery_instance where to_look and state = 'failed'`;

const VIEW = `select d.id, d.study_uid as study, d.destination, d.via, array_to_string(d.rules, ', ') as rule,
    ${STATE} as state, n.total, n.delivered, n.committed, n.failed, n."toLook", d.attempts, d.waits, d.last_error as "lastError",
    ${NEXT_ATTEMPT} as "nextAttempt",
    ${WAITS_FOR} as "waitsFor"
  from delivery d
  cross join lateral (
    select count(*) as total, count(*) filter (where i.state in ('delivered', 'warning')) as delivered,
      count(*) filter (where i.commitment = 'committed') as committed,
      count(*) filter (where i.state = 'failed') as failed,
      count(*) filter (where i.state = 'failed' and i.to_look) as "toLook"
    from delivery_instance i where i.delivery = d.id) n`;

export function createDeliveryList({ database }: { database: Database }): DeliveryList {
  async function find(id: number): Promise<DeliveryView> {
    const { rows } = await database.query<DeliveryView>(`${VIEW} where d.id = $1`, [id]);
    if (!rows[0]) throw new Failure('not-found', `There is no delivery ${id}`);
    return rows[0];
  }

  return {
    async list({ study, destination, state, waits, toLook, limit, offset }) {
      const values: unknown[] = [limit, offset];
      const holds = (column: string, value: string): string => `d.${column} = $${values.push(value)}`;
      const conditions = [
        ...(study === undefined ? [] : [holds('study_uid', study)]),
        ...(destination === undefined ? [] : [holds('destination', destination)]),
        ...(state === undefined ? [] : [STATE_IS[state]]),
        ...(waits ? [`d.waits and d.state <> 'cancelled'`] : []),
        ...(toLook ? [`d.state <> 'cancelled' and d.id in (${TO_LOOK})`] : []),
      ];
      // The page first: what is passed over is not counted instance by instance.
      const { rows } = await database.query<DeliveryView>(
        `with page as materialized (
           select d.id from delivery d ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
           order by d.id desc limit $1 offset $2)
         ${VIEW} where d.id = any(array(select id from page)) order by d.id desc`,
        values,
      );
      return rows;
    },

    find,

    async instances(id, limit, offset) {
      const { rows } = await database.query<DeliveryInstanceView>(
        `select i.sop_uid as sop, i.sent_sop_uid as "sentSop", i.state, i.status, i.comment, i.at, i.via, i.commitment,
           i.commitment_at as "commitmentAt", i.to_look and i.state = 'failed' as "toLook",
           case when l.at is not null then jsonb_build_object('at', l.at, 'by', l.by, 'why', l.why) end as "lookedAt"
         from delivery_instance i join delivery d on d.id = i.delivery
         left join looked_at l on l.form = d.form and l.sop_uid = i.sop_uid and l.content_hash = i.content_hash
         where i.delivery = $1 order by i.id limit $2 offset $3`,
        [id, limit, offset],
      );
      return rows;
    },

    async openCounts() {
      const { rows } = await database.query<{
        destination: string;
        state: DeliveryView['state'];
        count: number;
      }>(
        `select d.destination, ${STATE} as state, count(*) as count from delivery d
         where d.state in ('owed', 'sending', 'parked') group by 1, 2 order by 1, 2 limit 10000`,
      );
      return rows;
    },
  };
}
