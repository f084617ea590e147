/**
 * The house at a glance: what it holds, what it owes, what a person should look at, what came last.
 * A read model over the rooms' tables; asked by routes.ts. Every number that could cost a long count is bounded.
 */
import type { Queryable } from '../archive/database/database.ts';

export interface Overview {
  holds: { studies: number; series: number; instances: number };
  /** Things under way: they should be small and become smaller. */
  backlog: {
    unstableStudies: number;
    objectsInJournal: number;
    openReceptions: number;
    deliveries: Record<string, number>;
    links: Record<string, number>;
    /** Changes not yet seen by each follower of the feed. */
    followers: Record<string, number>;
  };
  attention: {
    heldStudies: number;
    /** Rules asked a person to look before they go. */
    waitingDeliveries: number;
    openConflicts: number;
    quarantined: number;
    refusedLastDay: number;
  };
  lastReceptions: object[];
}

/** Counts above this read "this many or more". */
const COUNTED = 100_000;
const LAST = 20;

const bounded = (from: string): string =>
  `(select count(*) from (select from ${from} limit ${COUNTED}) as rows)`;

export async function overview(db: Queryable): Promise<Overview> {
  const holds = await db.query<Overview['holds']>(
    `select count(*) as studies, coalesce(sum(series_count), 0)::bigint as series,
       coalesce(sum(instance_count), 0)::bigint as instances from study`,
  );
  const counts = await db.query<
    Omit<Overview['backlog'] & Overview['attention'], 'deliveries' | 'links' | 'followers'>
  >(
    `select ${bounded('study where stable_version is distinct from version')} as "unstableStudies",
       ${bounded(`object where location = 'journal'`)} as "objectsInJournal",
       ${bounded('reception where closed_at is null')} as "openReceptions",
       ${bounded('study where held is not null')} as "heldStudies",
       ${bounded(`delivery where waits and state <> 'cancelled'`)} as "waitingDeliveries",
       ${bounded('conflict where settled_at is null')} as "openConflicts",
       ${bounded('quarantine')} as quarantined,
       ${bounded(`refusal where last_at > now() - interval '1 day'`)} as "refusedLastDay"`,
  );
  const { unstableStudies, objectsInJournal, openReceptions, ...attention } = counts.rows[0]!;
  const receptions = await db.query(
    `select id, kind, calling_ae as "callingAe", called_ae as "calledAe", address, actor, opened_at as "openedAt",
       closed_at as "closedAt", outcome, stored, refused
     from reception order by opened_at desc limit ${LAST}`,
  );
  return {
    holds: holds.rows[0]!,
    backlog: {
      unstableStudies,
      objectsInJournal,
      openReceptions,
      deliveries: await byName(
        db,
        `select * from (select s.name, n.count from unnest(array['owed', 'sending', 'delivered', 'parked', 'cancelled']) as s (name)
           cross join lateral ${bounded('delivery where state = s.name')} as n) as states where count > 0`,
      ),
      links: await byName(db, 'select state as name, count(*) from fhir_link group by state'),
      followers: await byName(
        db,
        `select f.name, n.count from follower f cross join lateral ${bounded('change c where (c.xid, c.id) > (f.xid, f.id)')} as n`,
      ),
    },
    attention,
    lastReceptions: receptions.rows,
  };
}

async function byName(db: Queryable, sql: string): Promise<Record<string, number>> {
  const { rows } = await db.query<{ name: string; count: number }>(`${sql} order by 1 limit 1000`);
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
}
