/**
 * Conflicts as a PACS administrator reads them: who sent which version when, what differs, who settled it how; and all
 * versions of one instance. Read models over the archive's tables; asked by conflict-routes.ts. UIDs, AE titles,
 * hashes and names of attributes, no values of them.
 */
import type { Queryable } from '../archive/database/database.ts';
import type { VersionRole } from '../archive/stored-object.ts';
import type { Difference } from '../dicom/compare-data-sets.ts';
import { Failure } from '../failure.ts';
import type { Page } from './query.ts';

export interface VersionEntry {
  /** Content hash, hex. */
  version: string;
  role: VersionRole;
  transferSyntax: string;
  sopClass: string;
  /** bytes of the Part 10 file */
  length: number;
  /** As the object itself says; null of one stored before that was written down. */
  study: string | null;
  series: string | null;
  receivedAt: Date;
  source: {
    kind: string;
    ae: string | null;
    address: string | null;
    /** The user of a STOW. */
    actor: string | null;
  };
}

export interface ConflictEntry {
  id: number;
  kind: string;
  study: string;
  series: string | null;
  sop: string;
  /** Where the UID stood before, when that is another study. */
  otherStudy: string | null;
  reason: string;
  sourceAe: string | null;
  createdAt: Date;
  settledAt: Date | null;
  settledBy: string | null;
  settlement: string | null;
  /** Why the study waits, if it does. */
  held: string | null;
  /** The version that came; null once it is dropped. */
  came: VersionEntry | null;
  /** The version that was current then; null when there was none, or once it is dropped. */
  before: VersionEntry | null;
  /** From `before` to `came`, at most 50 here; null until they are compared. */
  difference: Difference[] | null;
  /** Why they could not be compared. */
  notCompared: string | null;
}

/** Of an object `o` and its reception `r`. */
const VERSION = `jsonb_build_object('version', encode(o.content_hash, 'hex'), 'role', o.role,
  'transferSyntax', o.transfer_syntax, 'sopClass', o.sop_class, 'length', o.length, 'study', o.study_uid,
  'series', o.series_uid, 'receivedAt', o.received_at, 'source', jsonb_build_object('kind', o.source_kind,
  'ae', o.source_ae, 'address', o.source_address, 'actor', r.actor))`;

const versionBy = (
  hash: string,
): string => `(select ${VERSION} from object o left join reception r on r.id = o.reception
  where o.sop_uid = c.sop_uid and o.content_hash = ${hash})`;

const COLUMNS = `c.id, c.kind, c.study_uid as study, c.series_uid as series, c.sop_uid as sop,
  c.other_study_uid as "otherStudy", c.reason, c.source_ae as "sourceAe", c.created_at as "createdAt",
  c.settled_at as "settledAt", c.settled_by as "settledBy", c.settlement, s.held, c.compared as "notCompared",
  ${versionBy('c.content_hash')} as came, ${versionBy('c.against')} as before`;

/** @param query.settled 'false' for open ones, 'true' for settled ones */
export async function listConflicts(
  db: Queryable,
  query: { study?: string | undefined; settled: 'true' | 'false' | 'all' } & Page,
): Promise<ConflictEntry[]> {
  const { rows } = await db.query<ConflictEntry>(
    `select ${COLUMNS}, case when c.difference is not null then coalesce((select jsonb_agg(d.value order by d.ordinality)
         from jsonb_array_elements(c.difference) with ordinality d where d.ordinality <= 50), '[]') end as difference
     from conflict c left join study s on s.study_uid = c.study_uid
     where ($1::text is null or c.study_uid = $1 or c.other_study_uid = $1)
       and ($2 = 'all' or (c.settled_at is not null) = ($2 = 'true')) and ($3::bigint is null or c.id < $3)
     order by c.id desc limit $4`,
    [query.study ?? null, query.settled, query.before ?? null, query.limit],
  );
  return rows;
}

export interface ConflictDetail extends ConflictEntry {
  versions: VersionEntry[];
}

/** @throws Failure 'not-found' */
export async function findConflict(db: Queryable, id: number): Promise<ConflictDetail> {
  const { rows } = await db.query<ConflictEntry>(
    `select ${COLUMNS}, c.difference from conflict c left join study s on s.study_uid = c.study_uid where c.id = $1`,
    [id],
  );
  if (!rows[0]) throw new Failure('not-found', `there is no conflict ${id}`);
  return { ...rows[0], versions: await listVersions(db, rows[0].sop) };
}

/** The current one first, then by arrival; at most 1,000. */
export async function listVersions(db: Queryable, sopUid: string): Promise<VersionEntry[]> {
  const { rows } = await db.query<{ entry: VersionEntry }>(
    `select ${VERSION} as entry from object o left join reception r on r.id = o.reception
     where o.sop_uid = $1 order by o.role <> 'current', o.id limit 1000`,
    [sopUid],
  );
  return rows.map(({ entry }) => entry);
}
