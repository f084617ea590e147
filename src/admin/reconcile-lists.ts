/**
 * The lists a PACS administrator works off: conflicts, refusals, quarantine, disclosures. Newest first, by pages.
 * Read models over the archive's tables; asked by routes.ts.
 */
import type { Queryable } from '../archive/database/database.ts';
import type { Page } from './query.ts';

export interface ConflictEntry {
  id: number;
  kind: string;
  study: string;
  series: string | null;
  sop: string;
  reason: string;
  sourceAe: string | null;
  createdAt: Date;
  settledAt: Date | null;
  settledBy: string | null;
  /** Why the study waits, if it does. */
  held: string | null;
}

/** @param query.settled 'false' for open ones, 'true' for settled ones */
export async function listConflicts(
  db: Queryable,
  query: { study?: string | undefined; settled: 'true' | 'false' | 'all' } & Page,
): Promise<ConflictEntry[]> {
  const { rows } = await db.query<ConflictEntry>(
    `select c.id, c.kind, c.study_uid as study, c.series_uid as series, c.sop_uid as sop, c.reason,
       c.source_ae as "sourceAe", c.created_at as "createdAt", c.settled_at as "settledAt",
       c.settled_by as "settledBy", s.held
     from conflict c left join study s on s.study_uid = c.study_uid
     where ($1::text is null or c.study_uid = $1) and ($2 = 'all' or (c.settled_at is not null) = ($2 = 'true'))
       and ($3::bigint is null or c.id < $3)
     order by c.id desc limit $4`,
    [query.study ?? null, query.settled, query.before ?? null, query.limit],
  );
  return rows;
}

export interface RefusalEntry {
  id: number;
  at: Date;
  what: string;
  callingAe: string | null;
  calledAe: string | null;
  address: string | null;
  sop: string | null;
  status: number | null;
  reason: string;
}

export async function listRefusals(db: Queryable, page: Page): Promise<RefusalEntry[]> {
  const { rows } = await db.query<RefusalEntry>(
    `select id, at, what, calling_ae as "callingAe", called_ae as "calledAe", address, sop_uid as sop, status, reason
     from refusal where $1::bigint is null or id < $1 order by id desc limit $2`,
    [page.before ?? null, page.limit],
  );
  return rows;
}

export interface QuarantineEntry {
  id: number;
  at: Date;
  /** File in the data folder's quarantine. */
  file: string;
  sop: string | null;
  sourceAe: string | null;
  reason: string;
}

export async function listQuarantine(db: Queryable, page: Page): Promise<QuarantineEntry[]> {
  const { rows } = await db.query<QuarantineEntry>(
    `select id, at, path as file, sop_uid as sop, source_ae as "sourceAe", reason
     from quarantine where $1::bigint is null or id < $1 order by id desc limit $2`,
    [page.before ?? null, page.limit],
  );
  return rows;
}

export interface DisclosureEntry {
  id: number;
  at: Date;
  channel: string;
  recipient: string;
  address: string | null;
  study: string | null;
  series: string | null;
  sop: string | null;
  instances: number | null;
  detail: object | null;
}

export async function listDisclosures(
  db: Queryable,
  query: { study?: string | undefined; recipient?: string | undefined } & Page,
): Promise<DisclosureEntry[]> {
  const { rows } = await db.query<DisclosureEntry>(
    `select id, at, channel, recipient, address, study_uid as study, series_uid as series, sop_uid as sop, instances,
       detail
     from disclosure
     where ($1::text is null or study_uid = $1) and ($2::text is null or recipient = $2)
       and ($3::bigint is null or id < $3)
     order by id desc limit $4`,
    [query.study ?? null, query.recipient ?? null, query.before ?? null, query.limit],
  );
  return rows;
}
