/**
 * The lists a PACS administrator works off: refusals, quarantine, disclosures, deletions; conflicts stand in conflict-list.ts. Newest first, by pages.
 * Read models over the archive's tables; asked by routes.ts.
 */
import { z } from 'zod';
import type { Queryable } from '../archive/database/database.ts';
import { sopClassName } from '../dicom/sop-class.ts';
import { statusNumber } from '../dimse/status.ts';
import type { Page } from './query.ts';

export interface RefusalEntry {
  id: number;
  what: string;
  /** One of a closed set, the label of the metric. */
  code: string;
  /** The same fault of the same sender so often. */
  times: number;
  firstAt: Date;
  lastAt: Date;
  callingAe: string | null;
  calledAe: string | null;
  address: string | null;
  sopClass: string | null;
  sopClassName: string | null;
  /** Of the last one. */
  sop: string | null;
  transferSyntax: string | null;
  /** As the sender got it, such as "0xC000". */
  status: string | null;
  answer: string | null;
  reason: string;
  cause: string | null;
}

export interface RefusalQuery extends Page {
  /** Calling or called AE title. */
  ae?: string | undefined;
  address?: string | undefined;
  what?: string | undefined;
  code?: string | undefined;
  /** Seen at or after this time, ISO 8601. */
  since?: string | undefined;
}

/** By the time of the last one. A refusal that comes again while somebody pages moves to the front. */
export async function listRefusals(db: Queryable, query: RefusalQuery): Promise<RefusalEntry[]> {
  type Row = Omit<RefusalEntry, 'status' | 'sopClassName'> & { status: number | null };
  const { rows } = await db.query<Row>(
    `select id, what, code, times, first_at as "firstAt", last_at as "lastAt", calling_ae as "callingAe",
       called_ae as "calledAe", address, sop_class as "sopClass", sop_uid as sop,
       transfer_syntax as "transferSyntax", status, answer, reason, cause
     from refusal
     where ($1::bigint is null or (last_at, id) < (select last_at, id from refusal where id = $1))
       and ($2::text is null or calling_ae = $2 or called_ae = $2) and ($3::text is null or address = $3)
       and ($4::text is null or what = $4) and ($5::text is null or code = $5)
       and ($6::timestamptz is null or last_at >= $6)
     order by last_at desc, id desc limit $7`,
    [
      query.before ?? null,
      query.ae ?? null,
      query.address ?? null,
      query.what ?? null,
      query.code ?? null,
      query.since ?? null,
      query.limit,
    ],
  );
  return rows.map((row) => ({
    ...row,
    sopClassName: row.sopClass === null ? null : sopClassName(row.sopClass),
    status: row.status === null ? null : statusNumber(row.status),
  }));
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

/** The same for the description of the API; a test parses answers with it. */
export const disclosureSchema = z.strictObject({
  id: z.int(),
  at: z.iso.datetime(),
  channel: z.enum(['qido', 'wado', 'rendered', 'original', 'dimse', 'stow', 'folder', 'fhir', 'api']),
  recipient: z.string().describe('User, AE title or host that received the data'),
  address: z.string().nullable(),
  study: z.string().nullable().describe('StudyInstanceUID; null where it is not of one study'),
  series: z.string().nullable().describe('SeriesInstanceUID, where it is of one'),
  sop: z.string().nullable().describe('SOPInstanceUID, where it is of one'),
  instances: z.int().nullable(),
  detail: z
    .record(z.string(), z.unknown())
    .nullable()
    .describe('What more is known, by channel: UIDs, counts and names, never a value of an attribute'),
});

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

export interface DeletionEntry {
  id: number;
  at: Date;
  by: string;
  address: string | null;
  study: string;
  series: string | null;
  sop: string | null;
  instances: number;
}

/** One for each step of a deletion. */
export async function listDeletions(
  db: Queryable,
  query: { study?: string | undefined } & Page,
): Promise<DeletionEntry[]> {
  const { rows } = await db.query<DeletionEntry>(
    `select id, at, deleted_by as by, address, study_uid as study, series_uid as series, sop_uid as sop, instances
     from deletion where ($1::text is null or study_uid = $1) and ($2::bigint is null or id < $2)
     order by id desc limit $3`,
    [query.study ?? null, query.before ?? null, query.limit],
  );
  return rows;
}
