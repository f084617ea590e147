/**
 * What rules may ask of the instances of a study, read page by page: indexed attributes, the association that brought
 * them, and the object's own header where a rule asks for more than the index keeps.
 * Called by evaluate.ts.
 */
import type { Queryable } from '../archive/database/database.ts';
import { INSTANCE_LEVEL, SERIES_LEVEL, STUDY_LEVEL } from '../archive/indexed-attributes.ts';
import { readHeader } from '../archive/read-header.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import { findStoredObjects, type StoredObject } from '../archive/stored-object.ts';
import type { StudyRecord } from '../archive/study.ts';
import { type DicomJson, toDicomJson } from '../dicom/dicom-json.ts';
import { asFailure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { Source } from './came-from.ts';
import type { CompiledCondition } from './condition.ts';
import type { InstanceFacts } from './match-rule.ts';

/** Which instances of the study are the unit; all of them without a bound. */
export interface UnitScope {
  readonly seriesUid?: string;
  readonly sopUids?: readonly string[];
}

export interface UnitInstance {
  readonly sopUid: string;
  readonly seriesUid: string;
  readonly source: Source;
  readonly receivedAt: Date;
  readonly facts: InstanceFacts;
}

export interface UnitFactsParts {
  reader: ObjectReader;
  log: Log;
}

const FIRST_PAGE = 200;
/** Of a study of any size, some 10 MB of rows. Each page is found among all that is left, so that of many fewer are better. */
const MOST_PAGE = 3200;
const HEADERS_AT_ONCE = 8;

interface Row {
  id: number;
  sopUid: string;
  sopClass: string;
  object: number;
  transferSyntax: string;
  attributes: DicomJson;
  seriesUid: string;
  seriesAttributes: DicomJson;
  seriesInstances: number;
  kind: string;
  receivedAt: Date;
  callingAe: string | null;
  calledAe: string | null;
  address: string | null;
  stowUser: string | null;
}

/** What rules ask of the objects' own headers. */
export interface HeaderAttributes {
  readonly tags: ReadonlySet<string>;
  readonly privateGroups: ReadonlySet<string>;
}

/** What the index does not keep of what these conditions ask; undefined when no header has to be read. */
export function beyondIndex(conditions: readonly CompiledCondition[]): HeaderAttributes | undefined {
  const tags = conditions.flatMap((condition) => [...condition.tags]).filter((tag) => !isIndexed(tag));
  const privateGroups = new Set(conditions.flatMap((condition) => [...condition.privateGroups]));
  return tags.length + privateGroups.size === 0 ? undefined : { tags: new Set(tags), privateGroups };
}

function isIndexed(tag: string): boolean {
  return OF_ROWS.has(tag) || [STUDY_LEVEL, SERIES_LEVEL, INSTANCE_LEVEL].some((level) => level.has(tag));
}

/**
 * Pages of facts in the order of the index.
 * @param at the moment at which the rules are asked
 */
export async function* unitFacts(
  parts: UnitFactsParts,
  tx: Queryable,
  study: StudyRecord,
  scope: UnitScope,
  at: Date,
  header: HeaderAttributes | undefined,
): AsyncGenerator<UnitInstance[]> {
  const counts = countsOf(study);
  for (let [after, size] = [0, FIRST_PAGE]; ; ) {
    const { rows } = await tx.query<Row>(
      // The page first: what is passed over is not joined.
      `with page as materialized (
         select i.id from study s join series e on e.study = s.id join instance i on i.series = e.id
         where s.study_uid = $1 and ($2::text is null or e.series_uid = $2)
           and ($3::text[] is null or i.sop_uid = any($3)) and i.id > $4
         order by i.id limit $5)
       select i.id, i.sop_uid as "sopUid", i.sop_class as "sopClass", i.object, i.attributes,
         o.transfer_syntax as "transferSyntax", e.series_uid as "seriesUid", e.attributes as "seriesAttributes",
         e.instance_count as "seriesInstances", o.source_ae as "callingAe", r.called_ae as "calledAe",
         o.source_kind as kind, o.source_address as address, o.received_at as "receivedAt",
         case when o.source_kind = 'stow' then r.actor end as "stowUser"
       from instance i join series e on e.id = i.series join object o on o.id = i.object
         left join reception r on r.id = o.reception
       where i.id = any(array(select id from page)) order by i.id`,
      [study.studyUid, scope.seriesUid ?? null, scope.sopUids ?? null, after, size],
    );
    if (rows.length === 0) return;
    after = rows.at(-1)!.id;
    const headers = header && (await readHeaders(parts, tx, rows, header));
    yield rows.map((row) => ({
      sopUid: row.sopUid,
      seriesUid: row.seriesUid,
      receivedAt: row.receivedAt,
      source: { kind: row.kind, aeTitle: row.callingAe, address: row.address },
      facts: factsOf(row, study, counts, at, headers?.get(row.object)),
    }));
    if (rows.length < size) return;
    // Headers are read in short pages: between two of them whoever asks may stop.
    if (!header) size = Math.min(size * 4, MOST_PAGE);
  }
}

function factsOf(
  row: Row,
  study: StudyRecord,
  counts: DicomJson,
  at: Date,
  header: DicomJson | undefined,
): InstanceFacts {
  const own: DicomJson = {
    '00020010': uid(row.transferSyntax),
    '00080016': uid(row.sopClass),
    '00080018': uid(row.sopUid),
    '0020000D': uid(study.studyUid),
    '0020000E': uid(row.seriesUid),
    '00201209': { vr: 'IS', Value: [row.seriesInstances] },
  };
  const dataSets = [own, row.attributes, row.seriesAttributes, study.attributes, counts];
  return {
    dataSets: header ? [...dataSets, header] : dataSets,
    association: {
      CallingAETitle: row.callingAe ?? undefined,
      CalledAETitle: row.calledAe ?? undefined,
      SourceAddress: row.address ?? undefined,
      StowUser: row.stowUser ?? undefined,
    },
    at,
  };
}

/** What factsOf gives of every instance from columns. */
const OF_ROWS: ReadonlySet<string> = new Set([
  ...['00020010', '00080016', '00080018', '0020000D', '0020000E', '00201209'],
  ...Object.keys(countsOf({ modalities: [], seriesCount: 0, instanceCount: 0 })),
]);

const uid = (value: string): DicomJson[string] => ({ vr: 'UI', Value: [value] });

function countsOf(study: Pick<StudyRecord, 'modalities' | 'seriesCount' | 'instanceCount'>): DicomJson {
  return {
    '00080061': { vr: 'CS', Value: study.modalities },
    '00201206': { vr: 'IS', Value: [study.seriesCount] },
    '00201208': { vr: 'IS', Value: [study.instanceCount] },
  };
}

/** A few at a time: rows of multi-frame objects are long, and a store answers several as fast as one. */
async function readHeaders(
  parts: UnitFactsParts,
  tx: Queryable,
  rows: readonly Row[],
  asked: HeaderAttributes,
): Promise<Map<number, DicomJson>> {
  const headers = new Map<number, DicomJson>();
  for (let at = 0; at < rows.length; at += HEADERS_AT_ONCE) {
    const objectIds = rows.slice(at, at + HEADERS_AT_ONCE).map((row) => row.object);
    const objects = await findStoredObjects(tx, { objectIds }, { limit: HEADERS_AT_ONCE });
    const read = await Promise.all(objects.map((object) => headerOf(parts, object, asked)));
    for (const [index, header] of read.entries()) if (header) headers.set(objects[index]!.id, header);
  }
  return headers;
}

async function headerOf(
  { reader, log }: UnitFactsParts,
  object: StoredObject,
  { tags, privateGroups }: HeaderAttributes,
): Promise<DicomJson | undefined> {
  try {
    const { dataSet, longValues } = await readHeader(reader, object);
    const asked = (tag: string): boolean => tags.has(tag) || privateGroups.has(tag.slice(0, 4));
    const json = toDicomJson(dataSet, { only: new Set([...dataSet.elements.keys()].filter(asked)) });
    // They were stepped over, and are there.
    for (const [tag, { vr }] of longValues) if (asked(tag)) json[tag] = { vr, BulkDataURI: tag };
    return json;
  } catch (thrown) {
    const failure = asFailure(thrown);
    // A store that is away comes back, and the feed waits; a broken object must not stop the feed for all others.
    if (failure.kind === 'unavailable') throw failure;
    log.error(
      { err: failure, sopUid: object.sopUid },
      'a header cannot be read; rules see the indexed attributes only',
    );
    return undefined;
  }
}
