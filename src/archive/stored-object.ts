/**
 * The objects the archive holds, as their rows tell: identity, transfer syntax, and where the bytes lie.
 * Asked by the doors before they read bytes through read-object.ts.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import type { Queryable } from './database/database.ts';

export interface StoredObject {
  id: number;
  sopUid: string;
  sopClass: string;
  seriesUid: string;
  studyUid: string;
  contentHash: Buffer;
  transferSyntax: string;
  /** bytes of the whole Part 10 file */
  length: number;
  dataSetOffset: number;
  /** offsets count from the start of the data set */
  pixel: PixelLocation | null;
  key: string;
  location: 'journal' | 'store';
  node: string | null;
  journal: JournalPlace | null;
  instanceNumber: number | null;
  /** instance level; empty of native images where it was asked for by findObjectsToRead */
  attributes: DicomJson;
  receivedAt: Date;
  sourceKind: 'dimse' | 'stow' | 'reindex';
  sourceAe: string | null;
  sourceAddress: string | null;
}

export interface JournalPlace {
  /** of the segment or spill file, relative to the data folder */
  path: string;
  /** hex; empty for a spill file, which is never reused */
  nonce: string;
  /** where the Part 10 file begins in it */
  offset: number;
}

export interface ObjectQuery {
  studyUid?: string;
  seriesUid?: string;
  sopUid?: string;
  objectIds?: readonly number[];
}

export interface Page {
  /** Objects after this one, in the order of the answer. */
  after?: StoredObject;
  limit: number;
}

const COLUMNS = `o.id, o.sop_uid as "sopUid", o.sop_class as "sopClass", e.series_uid as "seriesUid",
  s.study_uid as "studyUid", o.content_hash as "contentHash", o.transfer_syntax as "transferSyntax", o.length,
  o.data_set_offset as "dataSetOffset", o.pixel, o.key, o.location, o.node, o.journal, i.number as "instanceNumber",
  o.received_at as "receivedAt", o.source_kind as "sourceKind", o.source_ae as "sourceAe",
  o.source_address as "sourceAddress"`;

const JOINS = `from instance i join object o on o.id = i.object join series e on e.id = i.series
  join study s on s.id = e.study`;

/**
 * Current versions, ordered by series, instance number, id. Never unbounded: ask for the next page with `after`.
 */
export async function findStoredObjects(
  db: Queryable,
  where: ObjectQuery,
  page: Page = { limit: 1000 },
): Promise<StoredObject[]> {
  return find(db, `${COLUMNS}, i.attributes`, where, page);
}

/**
 * The same without their attributes, which are most of what Postgres would send: for who only reads their bytes. Those
 * of compressed images come along, because the pixels may have to be decoded.
 */
export async function findObjectsToRead(
  db: Queryable,
  where: ObjectQuery,
  page: Page,
): Promise<StoredObject[]> {
  const attributes = `case when (o.pixel->>'encapsulated')::boolean then i.attributes else '{}' end as attributes`;
  return find(db, `${COLUMNS}, ${attributes}`, where, page);
}

async function find(db: Queryable, columns: string, where: ObjectQuery, page: Page): Promise<StoredObject[]> {
  const values: unknown[] = [];
  const conditions: string[] = [];
  const add = (sql: (place: string) => string, value: unknown): void => {
    values.push(value);
    conditions.push(sql(`$${values.length}`));
  };
  if (where.studyUid !== undefined) add((p) => `s.study_uid = ${p}`, where.studyUid);
  if (where.seriesUid !== undefined) add((p) => `e.series_uid = ${p}`, where.seriesUid);
  if (where.sopUid !== undefined) add((p) => `i.sop_uid = ${p}`, where.sopUid);
  if (where.objectIds !== undefined) add((p) => `o.id = any(${p})`, where.objectIds);
  if (page.after) {
    values.push(page.after.seriesUid, page.after.instanceNumber ?? -1, page.after.id);
    const n = values.length;
    conditions.push(`(e.series_uid, coalesce(i.number, -1), o.id) > ($${n - 2}, $${n - 1}, $${n})`);
  }
  values.push(page.limit);
  const result = await db.query<StoredObject>(
    `select ${columns} ${JOINS} ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
     order by e.series_uid, coalesce(i.number, -1), o.id limit $${values.length}`,
    values,
  );
  return result.rows;
}

/** Whether the bytes of one of them are still in the journal of another node than this. */
export async function isElsewhere(db: Queryable, where: ObjectQuery, nodeName: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `select 1 ${JOINS} where o.location = 'journal' and o.node <> $1 and ($2::text is null or s.study_uid = $2)
       and ($3::text is null or e.series_uid = $3) and ($4::text is null or i.sop_uid = $4) limit 1`,
    [nodeName, where.studyUid ?? null, where.seriesUid ?? null, where.sopUid ?? null],
  );
  return rowCount > 0;
}

export type VersionRole = 'current' | 'variant' | 'conflict' | 'undecided' | 'replaced';

export interface StoredVersion extends StoredObject {
  role: VersionRole;
  /** Whose it says it is; null of one stored before that was written down. */
  patientId: string | null;
  issuer: string | null;
}

/**
 * A version of an instance, current or not. Its study and series are those it names itself; of one that is not
 * current, instance number and attributes are not kept.
 */
export async function findVersion(
  db: Queryable,
  which: { id: number } | { sopUid: string; contentHash: string },
): Promise<StoredVersion | undefined> {
  const { rows } = await db.query<StoredVersion>(
    `select o.id, o.sop_uid as "sopUid", o.sop_class as "sopClass", coalesce(o.series_uid, e.series_uid, '') as "seriesUid",
       coalesce(o.study_uid, s.study_uid, '') as "studyUid", o.content_hash as "contentHash",
       o.transfer_syntax as "transferSyntax", o.length, o.data_set_offset as "dataSetOffset", o.pixel, o.key, o.location,
       o.node, o.journal, i.number as "instanceNumber", coalesce(i.attributes, '{}') as attributes,
       o.received_at as "receivedAt", o.source_kind as "sourceKind", o.source_ae as "sourceAe",
       o.source_address as "sourceAddress", o.role, o.patient_id as "patientId", o.issuer
     from object o left join instance i on i.object = o.id left join series e on e.id = i.series
       left join study s on s.id = e.study
     where ${'id' in which ? 'o.id = $1' : "o.sop_uid = $1 and o.content_hash = decode($2, 'hex')"}`,
    'id' in which ? [which.id] : [which.sopUid, which.contentHash],
  );
  return rows[0];
}

/** The current version of an instance, whichever study it stands in. */
export async function findCurrent(db: Queryable, sopUid: string): Promise<StoredVersion | undefined> {
  const { rows } = await db.query<{ object: number }>('select object from instance where sop_uid = $1', [
    sopUid,
  ]);
  return rows[0] && findVersion(db, { id: rows[0].object });
}

/** Where one object's bytes lie now; asked again when a journal segment was recycled under a reader. */
export async function findPlace(
  db: Queryable,
  objectId: number,
): Promise<Pick<StoredObject, 'location' | 'node' | 'journal' | 'key'> | undefined> {
  const result = await db.query<Pick<StoredObject, 'location' | 'node' | 'journal' | 'key'>>(
    'select location, node, journal, key from object where id = $1',
    [objectId],
  );
  return result.rows[0];
}
