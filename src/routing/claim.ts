/**
 * Takes the next delivery that may be sent, under a lease: the most urgent, then the oldest, destinations taking turns;
 * never more at once than a destination takes, one alone where it was down, none outside its windows.
 * Called by ledger.ts, in its transaction; every moment that decides is Postgres'.
 */
import type { Queryable } from '../archive/database/database.ts';
import type { Peer, PeerSettings } from './destination.ts';
import type { SealedSecrets } from './sealed-secrets.ts';
import { standing } from './time-window.ts';

export interface Lease {
  readonly delivery: number;
  readonly token: number;
}

export interface ClaimedDelivery {
  readonly lease: Lease;
  readonly studyUid: string;
  /** Where it is sent: of a group the member whose turn it is. */
  readonly destination: Peer;
  /** The group it is owed to, if it is one. */
  readonly group?: string;
  readonly form: string;
  readonly priority: number;
  /** Set while the destination was down: the first answer ends that. */
  readonly probing: boolean;
  /** From the claim on: when its window ends, if it has one that does. */
  readonly closesInMs?: number;
}

export interface Claimant {
  nodeName: string;
  leaseS: number;
  secrets: Pick<SealedSecrets, 'open'>;
}

/** Found closed one after the other, each is left alone from then on until it opens. */
const MOST_CLOSED = 100;

/** @param delivery only from the destination of this delivery */
export async function claimDelivery(
  tx: Queryable,
  claimant: Claimant,
  delivery?: number,
): Promise<ClaimedDelivery | undefined> {
  for (let closed = 0; closed < MOST_CLOSED; closed++) {
    const lane = await nextLane(tx, delivery);
    if (!lane) return undefined;
    const member = await lockMember(tx, lane.via);
    if (!member) return undefined;
    const { open, until } = standing(member.settings.windows ?? [], member.now);
    if (open) return claimNext(tx, lane, member, until, claimant);
    await tx.query('update destination set opens_at = $2 where name = $1', [lane.via, until ?? 'infinity']);
  }
  return undefined;
}

interface Lane {
  owner: string;
  via: string;
}

/**
 * The destination whose turn it is, and of a group its first member that is up. One that comes back after a fault is
 * asked by a single delivery, and until that one is answered a group goes on with the next member; a member whose
 * associations are all in use is waited for.
 */
async function nextLane(tx: Queryable, delivery: number | undefined): Promise<Lane | undefined> {
  const { rows } = await tx.query<Lane>(
    `select first.owner, first.via from (
       select distinct on (l.owner) l.owner, l.via, l.served_at, l.associations, busy.count
       from lane l cross join lateral (
         select count(*) from delivery s where coalesce(s.via, s.destination) = l.via and s.state = 'sending') busy
       where ($1::bigint is null or l.owner = (select destination from delivery where id = $1))
         and l.up_at <= clock_timestamp() and (l.faults = 0 or busy.count = 0)
       order by l.owner, l.rank) first
     cross join lateral (
       select priority from delivery where destination = first.owner and state = 'owed' and not held
         and next_attempt_at <= now() order by priority desc, id limit 1) top
     where first.count < first.associations
     order by top.priority desc, first.served_at limit 1`,
    [delivery ?? null],
  );
  return rows[0];
}

interface Member {
  name: string;
  settings: PeerSettings;
  faults: number;
  up: boolean;
  now: Date;
}

/** Two claimers never count one destination's associations at once: the other waits for this short transaction. */
async function lockMember(tx: Queryable, name: string): Promise<Member | undefined> {
  const { rows } = await tx.query<Member>(
    `select name, settings, faults, clock_timestamp() as now,
       enabled and greatest(coalesce(down_until, '-infinity'), coalesce(opens_at, '-infinity')) <= clock_timestamp() as up
     from destination where name = $1 for no key update`,
    [name],
  );
  return rows[0]?.up ? rows[0] : undefined;
}

/** Counts again under the lock. */
async function claimNext(
  tx: Queryable,
  { owner, via }: Lane,
  { settings, faults, now }: Member,
  closesAt: Date | undefined,
  { nodeName, leaseS, secrets }: Claimant,
): Promise<ClaimedDelivery | undefined> {
  const { rows } = await tx.query<{
    id: number;
    token: number;
    studyUid: string;
    form: string;
    priority: number;
  }>(
    `update delivery set state = 'sending', attempts = attempts + 1, lease_owner = $2, lease_token = lease_token + 1,
       lease_until = clock_timestamp() + make_interval(secs => $3), claimed_at = clock_timestamp(), changed_at = now(),
       via = nullif($5, destination)
     where id = (
       select d.id from delivery d
       where d.destination = $1 and d.state = 'owed' and not d.held and d.next_attempt_at <= now()
         and not exists (select 1 from study s where s.study_uid = d.study_uid and s.held is not null)
       order by d.priority desc, d.id limit 1 for update skip locked)
     and (select count(*) from delivery s where coalesce(s.via, s.destination) = $5 and s.state = 'sending') < $4
     returning id, lease_token as token, study_uid as "studyUid", form, priority`,
    [owner, nodeName, leaseS, faults > 0 ? 1 : settings.maxAssociations, via],
  );
  const row = rows[0];
  if (!row) return undefined;
  await tx.query('update destination set served_at = clock_timestamp() where name = $1', [owner]);
  return {
    lease: { delivery: row.id, token: row.token },
    studyUid: row.studyUid,
    destination: { name: via, settings: secrets.open(via, settings) },
    ...(owner !== via && { group: owner }),
    form: row.form,
    priority: row.priority,
    probing: faults > 0,
    ...(closesAt && { closesInMs: closesAt.getTime() - now.getTime() }),
  };
}
