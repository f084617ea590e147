/**
 * Writes settled objects into the index: patient, study, series, instance, object, conflicts and the change feed,
 * one transaction a batch. Called by the settler (journal) and by reindex (store); nobody else writes these tables.
 * Eight associations that bring the same new study make one: batches of the same study take turns by an
 * advisory lock, also between processes.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { appendChanges, type NewChange } from './change-feed.ts';
import type { Database, Queryable } from './database/database.ts';
import { type Decision, decideIndexing, type IncomingIdentity, type KnownIndex } from './decide-indexing.ts';
import {
  INSTANCE_LEVEL,
  integer,
  pick,
  SERIES_LEVEL,
  STUDY_LEVEL,
  studyColumns,
  text,
} from './indexed-attributes.ts';
import type { Provenance } from './intake/record.ts';

/** Where the bytes can be read when the row commits. */
export type ObjectPlace =
  | { in: 'store' }
  | { in: 'journal'; node: string; path: string; nonce: string; offset: number };

export interface IncomingObject {
  sopClassUid: string;
  sopInstanceUid: string;
  studyInstanceUid: string;
  seriesInstanceUid: string;
  transferSyntaxUid: string;
  contentHash: Buffer;
  /** Part 10 bytes */
  length: number;
  dataSetOffset: number;
  pixel: PixelLocation | undefined;
  key: string;
  place: ObjectPlace;
  receivedAt: string;
  from: Provenance;
  /** the whole header as DICOM JSON */
  header: DicomJson;
}

export interface Indexed {
  /** in the order of the batch */
  outcomes: Decision['outcome'][];
}

/**
 * @param node whose receptions these are
 * @param options announce: false writes no changes (reindex)
 * @throws Failure 'unavailable' when Postgres is away; nothing of the batch is written then
 */
export function indexObjects(
  database: Database,
  node: string,
  batch: readonly IncomingObject[],
  { announce = true }: { announce?: boolean } = {},
): Promise<Indexed> {
  return database.transaction(async (tx) => {
    const studyUids = [...new Set(batch.map((object) => object.studyInstanceUid))].sort();
    // One at a time, in one order everywhere: two batches can wait for each other, never on each other.
    for (const uid of studyUids)
      await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 20))', [uid]);
    const identities = batch.map(identityOf);
    const known = await loadKnown(tx, identities, studyUids);
    const decisions = decideIndexing(known, identities);
    const items = batch.map((object, n) => ({ object, decision: decisions[n]! }));
    await writeReceptions(tx, node, items);
    const changes = await writeContent(tx, items);
    if (announce) await appendChanges(tx, changes);
    else await markStable(tx, studyUids);
    return { outcomes: decisions.map((decision) => decision.outcome) };
  });
}

/**
 * What is not announced counts as announced before, for studies made here and for those that were stable;
 * one that still waited to become stable goes on waiting.
 */
async function markStable(tx: Queryable, studyUids: string[]): Promise<void> {
  await tx.query(
    `update study set stable_version = version, stable_at = coalesce(stable_at, now())
     where study_uid = any($1) and last_received_at = now()
       and (first_received_at = now() or stable_version = version - 1)`,
    [studyUids],
  );
}

interface Item {
  object: IncomingObject;
  decision: Decision;
}

function identityOf(object: IncomingObject): IncomingIdentity {
  return {
    sopUid: object.sopInstanceUid,
    seriesUid: object.seriesInstanceUid,
    studyUid: object.studyInstanceUid,
    patientId: text(object.header, '00100020'),
    issuer: text(object.header, '00100021'),
    contentHash: object.contentHash.toString('hex'),
  };
}

async function loadKnown(
  tx: Queryable,
  incoming: IncomingIdentity[],
  studyUids: string[],
): Promise<KnownIndex> {
  const sopUids = incoming.map((object) => object.sopUid);
  const seriesUids = [...new Set(incoming.map((object) => object.seriesUid))];
  const studies = await tx.query<{ study_uid: string; patient_id: string; issuer: string }>(
    `select s.study_uid, p.patient_id, p.issuer from study s join patient p on p.id = s.patient
     where s.study_uid = any($1)`,
    [studyUids],
  );
  const series = await tx.query<{ series_uid: string; study_uid: string }>(
    'select e.series_uid, s.study_uid from series e join study s on s.id = e.study where e.series_uid = any($1)',
    [seriesUids],
  );
  const instances = await tx.query<{ sop_uid: string; series_uid: string; study_uid: string }>(
    `select i.sop_uid, e.series_uid, s.study_uid
     from instance i join series e on e.id = i.series join study s on s.id = e.study where i.sop_uid = any($1)`,
    [sopUids],
  );
  const objects = await tx.query<{ version: string }>(
    `select sop_uid || ' ' || encode(content_hash, 'hex') as version from object where sop_uid = any($1)`,
    [sopUids],
  );
  const seriesStudies = new Map<string, Set<string>>();
  for (const row of series.rows)
    seriesStudies.set(row.series_uid, (seriesStudies.get(row.series_uid) ?? new Set()).add(row.study_uid));
  return {
    studies: new Map(
      studies.rows.map((row) => [row.study_uid, { patientId: row.patient_id, issuer: row.issuer }]),
    ),
    seriesStudies,
    instances: new Map(
      instances.rows.map((row) => [row.sop_uid, { studyUid: row.study_uid, seriesUid: row.series_uid }]),
    ),
    objects: new Set(objects.rows.map((row) => row.version)),
  };
}

/** The reception row and what it brought to which study, so that stability can wait for open associations. */
async function writeReceptions(tx: Queryable, node: string, items: Item[]): Promise<void> {
  const counts = new Map<string, { from: Provenance; studyUid: string; stored: number }>();
  for (const { object } of items) {
    const id = `${object.from.reception} ${object.studyInstanceUid}`;
    const entry = counts.get(id) ?? { from: object.from, studyUid: object.studyInstanceUid, stored: 0 };
    entry.stored++;
    counts.set(id, entry);
  }
  // Sorted, as the studies are: rows are always locked in one order.
  const rows = [...counts.values()].sort((a, b) => (a.from.reception < b.from.reception ? -1 : 1));
  for (const { from, studyUid, stored } of rows) {
    await tx.query(
      `insert into reception (id, node, kind, calling_ae, called_ae, address, actor, opened_at, stored)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       on conflict (id) do update set stored = reception.stored + excluded.stored`,
      [
        from.reception,
        node,
        from.kind,
        from.callingAe,
        from.calledAe,
        from.address,
        from.actor,
        from.openedAt,
        stored,
      ],
    );
    await tx.query(
      `insert into reception_study (study_uid, reception, stored) values ($1, $2, $3)
       on conflict (study_uid, reception) do update set stored = reception_study.stored + excluded.stored`,
      [studyUid, from.reception, stored],
    );
  }
}

async function writeContent(tx: Queryable, items: Item[]): Promise<NewChange[]> {
  const changes: NewChange[] = [];
  await refreshPlaces(tx, items);
  const written = items.filter(({ decision }) => decision.outcome !== 'same');
  if (written.length === 0) return changes;
  const objectIds = await insertObjects(tx, written);
  const idOf = (object: IncomingObject): number =>
    objectIds.get(`${object.sopInstanceUid} ${object.contentHash.toString('hex')}`)!;

  const byStudy = new Map<string, Item[]>();
  for (const item of written) {
    const uid = item.object.studyInstanceUid;
    byStudy.set(uid, [...(byStudy.get(uid) ?? []), item]);
  }
  for (const [studyUid, members] of [...byStudy].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const added = members.filter(({ decision }) => decision.outcome === 'new');
    if (added.length > 0) changes.push(...(await addInstances(tx, studyUid, added, idOf)));
    changes.push(...(await recordConflicts(tx, studyUid, members, idOf)));
  }
  return changes;
}

async function addInstances(
  tx: Queryable,
  studyUid: string,
  added: Item[],
  idOf: (object: IncomingObject) => number,
): Promise<NewChange[]> {
  const study = await upsertStudy(tx, studyUid, added);
  const series = await upsertSeries(tx, study.id, added);
  await tx.query(
    `insert into instance (series, sop_uid, sop_class, number, attributes, object)
     select series, sop_uid, sop_class, number, attributes, object from jsonb_to_recordset($1)
       as r(series bigint, sop_uid text, sop_class text, number int, attributes jsonb, object bigint)`,
    [
      JSON.stringify(
        added.map(({ object }) => ({
          series: series.get(object.seriesInstanceUid),
          sop_uid: object.sopInstanceUid,
          sop_class: object.sopClassUid,
          number: integer(object.header, '00200013'),
          attributes: pick(object.header, INSTANCE_LEVEL),
          object: idOf(object),
        })),
      ),
    ],
  );
  return added.map(({ object }) => ({
    kind: 'instance-stored',
    studyUid,
    seriesUid: object.seriesInstanceUid,
    sopUid: object.sopInstanceUid,
    studyVersion: study.version,
  }));
}

/** A new study takes its attributes from its first object; later objects add what was missing, and change nothing. */
async function upsertStudy(
  tx: Queryable,
  studyUid: string,
  added: Item[],
): Promise<{ id: number; version: number }> {
  const attributes = mergeMissing(added.map(({ object }) => pick(object.header, STUDY_LEVEL)));
  const modalities = [...new Set(added.map(({ object }) => text(object.header, '00080060')).filter(Boolean))];
  const known = await tx.query<{ id: number; attributes: DicomJson; modalities: string[] }>(
    'select id, attributes, modalities from study where study_uid = $1 for update',
    [studyUid],
  );
  const before = known.rows[0];
  const merged = mergeMissing([before?.attributes ?? {}, attributes]);
  const columns = studyColumns(merged);
  const names = Object.keys(columns) as (keyof typeof columns)[];
  const values = names.map((name) => columns[name]);
  const allModalities = [...new Set([...(before?.modalities ?? []), ...modalities])].sort();
  if (before) {
    const set = names.map((name, n) => `${name} = $${n + 5}`).join(', ');
    const updated = await tx.query<{ id: number; version: number }>(
      `update study set attributes = $2, modalities = $3, instance_count = instance_count + $4, ${set},
         version = version + 1, last_received_at = now() where id = $1 returning id, version`,
      [before.id, JSON.stringify(merged), allModalities, added.length, ...values],
    );
    return updated.rows[0]!;
  }
  const patient = await tx.query<{ id: number }>(
    `with made as (
       insert into patient (patient_id, issuer, anchor) values ($1, $2, $3) on conflict do nothing returning id)
     select id from made union all
     select id from patient where patient_id = $1 and issuer = $2 and anchor = $3 limit 1`,
    [columns.patient_id, columns.issuer, columns.patient_id === '' ? studyUid : ''],
  );
  const patientRow =
    patient.rows[0] ??
    // Another transaction made the patient after our snapshot: a new statement sees it.
    (
      await tx.query<{ id: number }>(
        'select id from patient where patient_id = $1 and issuer = $2 and anchor = $3',
        [columns.patient_id, columns.issuer, columns.patient_id === '' ? studyUid : ''],
      )
    ).rows[0]!;
  const made = await tx.query<{ id: number; version: number }>(
    `insert into study (study_uid, patient, attributes, modalities, instance_count, ${names.join(', ')})
     values ($1, $2, $3, $4, $5, ${names.map((_, n) => `$${n + 6}`).join(', ')}) returning id, version`,
    [studyUid, patientRow.id, JSON.stringify(merged), allModalities, added.length, ...values],
  );
  return made.rows[0]!;
}

async function upsertSeries(tx: Queryable, studyId: number, added: Item[]): Promise<Map<string, number>> {
  const groups = new Map<string, Item[]>();
  for (const item of added) {
    const uid = item.object.seriesInstanceUid;
    groups.set(uid, [...(groups.get(uid) ?? []), item]);
  }
  const ids = new Map<string, number>();
  let made = 0;
  for (const [seriesUid, members] of groups) {
    const attributes = mergeMissing(members.map(({ object }) => pick(object.header, SERIES_LEVEL)));
    const row = await tx.query<{ id: number; created: boolean }>(
      `insert into series (study, series_uid, modality, number, attributes, instance_count)
       values ($1, $2, $3, $4, $5, $6)
       on conflict (study, series_uid) do update set
         attributes = excluded.attributes || series.attributes,
         instance_count = series.instance_count + excluded.instance_count,
         version = series.version + 1
       returning id, version = 1 as created`,
      [
        studyId,
        seriesUid,
        text(attributes, '00080060'),
        integer(attributes, '00200011'),
        JSON.stringify(attributes),
        members.length,
      ],
    );
    ids.set(seriesUid, row.rows[0]!.id);
    if (row.rows[0]!.created) made++;
  }
  if (made > 0)
    await tx.query('update study set series_count = series_count + $2 where id = $1', [studyId, made]);
  return ids;
}

async function insertObjects(tx: Queryable, items: Item[]): Promise<Map<string, number>> {
  const result = await tx.query<{ id: number; sop_uid: string; hash: string }>(
    `insert into object (sop_uid, content_hash, sop_class, transfer_syntax, length, data_set_offset, pixel, key,
       location, node, journal, role, reception, source_kind, source_ae, source_address, received_at)
     select sop_uid, decode(hash, 'hex'), sop_class, transfer_syntax, length, data_set_offset, pixel, key,
       location, node, journal, role, reception, source_kind, source_ae, source_address, received_at
     from jsonb_to_recordset($1) as r(sop_uid text, hash text, sop_class text, transfer_syntax text, length bigint,
       data_set_offset int, pixel jsonb, key text, location text, node text, journal jsonb, role text, reception uuid,
       source_kind text, source_ae text, source_address text, received_at timestamptz)
     returning id, sop_uid, encode(content_hash, 'hex') as hash`,
    [
      JSON.stringify(
        items.map(({ object, decision }) => ({
          sop_uid: object.sopInstanceUid,
          hash: object.contentHash.toString('hex'),
          sop_class: object.sopClassUid,
          transfer_syntax: object.transferSyntaxUid,
          length: object.length,
          data_set_offset: object.dataSetOffset,
          pixel: object.pixel ?? null,
          key: object.key,
          ...placeColumns(object.place),
          role: decision.outcome === 'new' ? 'current' : 'conflict',
          reception: object.from.reception,
          source_kind: object.from.kind,
          source_ae: object.from.callingAe ?? null,
          source_address: object.from.address ?? null,
          received_at: object.receivedAt,
        })),
      ),
    ],
  );
  return new Map(result.rows.map((row) => [`${row.sop_uid} ${row.hash}`, row.id]));
}

function placeColumns(place: ObjectPlace): { location: string; node: string | null; journal: unknown } {
  if (place.in === 'store') return { location: 'store', node: null, journal: null };
  const { node, path, nonce, offset } = place;
  return { location: 'journal', node, journal: { path, nonce, offset } };
}

/** An object that came again, or is replayed, may lie elsewhere now: a row never points at a segment that has gone. */
async function refreshPlaces(tx: Queryable, items: Item[]): Promise<void> {
  for (const { object, decision } of items) {
    if (decision.outcome !== 'same') continue;
    const place = placeColumns(object.place);
    await tx.query(
      `update object set location = $3, node = $4, journal = $5, key = $6
       where sop_uid = $1 and content_hash = $2 and location = 'journal'`,
      [
        object.sopInstanceUid,
        object.contentHash,
        place.location,
        place.node,
        place.journal === null ? null : JSON.stringify(place.journal),
        object.key,
      ],
    );
  }
}

async function recordConflicts(
  tx: Queryable,
  studyUid: string,
  members: Item[],
  idOf: (object: IncomingObject) => number,
): Promise<NewChange[]> {
  let holds: string | undefined;
  for (const { object, decision } of members) {
    for (const conflict of decision.conflicts)
      await tx.query(
        `insert into conflict (kind, study_uid, series_uid, sop_uid, object, reason, source_ae)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
        [
          conflict.kind,
          studyUid,
          object.seriesInstanceUid,
          object.sopInstanceUid,
          idOf(object),
          conflict.reason,
          object.from.callingAe ?? null,
        ],
      );
    if (decision.holds) holds ??= decision.conflicts[0]?.reason;
  }
  if (holds === undefined) return [];
  const held = await tx.query<{ version: number }>(
    'update study set held = $2 where study_uid = $1 and held is null returning version',
    [studyUid, holds],
  );
  return held.rows.map((row) => ({ kind: 'study-held', studyUid, studyVersion: row.version }));
}

function mergeMissing(sources: DicomJson[]): DicomJson {
  const merged: DicomJson = {};
  for (const source of sources)
    for (const [tag, element] of Object.entries(source)) if (!(tag in merged)) merged[tag] = element;
  return merged;
}
