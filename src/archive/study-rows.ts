/**
 * The rows of patients, studies and series, and the counts and versions they carry.
 * Written by study-index.ts under the study's lock, for the instances a batch adds.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { Queryable } from './database/database.ts';
import { samePatient } from './decide-indexing.ts';
import type { IndexItem, InstanceContent } from './incoming-object.ts';
import {
  integer,
  PATIENT_LEVEL,
  pick,
  SERIES_LEVEL,
  STUDY_LEVEL,
  studyColumns,
  text,
} from './indexed-attributes.ts';

/** What upsertStudy and upsertSeries need to know of an instance they count. */
export type AddedInstance = { object: InstanceContent; decision: Pick<IndexItem['decision'], 'conflicts'> };

/** A new study takes its attributes from its first object; later objects add what was missing, and change nothing. */
export async function upsertStudy(
  tx: Queryable,
  studyUid: string,
  added: readonly AddedInstance[],
): Promise<{ id: number; version: number }> {
  // What another patient's object says is kept with that object, and never fills in this study's blanks.
  const own = added.filter(({ decision }) => !decision.conflicts.some(({ kind }) => kind === 'patient'));
  const attributes = mergeMissing(own.map(({ object }) => pick(object.header, STUDY_LEVEL)));
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
  const patient = await patientRow(tx, columns, studyUid);
  const made = await tx.query<{ id: number; version: number }>(
    // Versions count on after a deletion: what was decided, sent or validated for the earlier ones is not for these.
    `insert into study (study_uid, patient, attributes, modalities, instance_count, version, ${names.join(', ')})
     values ($1, $2, $3, $4, $5, (select coalesce(max(study_version), 0) + 1 from change where study_uid = $1),
       ${names.map((_, n) => `$${n + 6}`).join(', ')}) returning id, version`,
    [studyUid, patient, JSON.stringify(merged), allModalities, added.length, ...values],
  );
  return made.rows[0]!;
}

/** @returns the id of the patient's row, made when there is none */
async function patientRow(
  tx: Queryable,
  columns: { patient_id: string; issuer: string },
  studyUid: string,
): Promise<number> {
  const values = [columns.patient_id, columns.issuer, columns.patient_id === '' ? studyUid : ''];
  const made = await tx.query<{ id: number }>(
    `with made as (
       insert into patient (patient_id, issuer, anchor) values ($1, $2, $3) on conflict do nothing returning id)
     select id from made union all
     select id from patient where patient_id = $1 and issuer = $2 and anchor = $3 limit 1`,
    values,
  );
  if (made.rows[0]) return made.rows[0].id;
  // Another transaction made the patient after our snapshot: a new statement sees it.
  const found = await tx.query<{ id: number }>(
    'select id from patient where patient_id = $1 and issuer = $2 and anchor = $3',
    values,
  );
  return found.rows[0]!.id;
}

/**
 * What a version that became current says of its study goes before what was known. Another patient's version changes
 * nothing but its own instance, until none of the study's instances is the first patient's any more: then the study is
 * the other's.
 */
export async function overrideStudy(tx: Queryable, studyUid: string, header: DicomJson): Promise<void> {
  const known = await tx.query<{ id: number; attributes: DicomJson; patient_id: string; issuer: string }>(
    'select id, attributes, patient_id, issuer from study where study_uid = $1 for update',
    [studyUid],
  );
  const study = known.rows[0]!;
  const given = { patientId: text(header, '00100020'), issuer: text(header, '00100021') };
  const own = samePatient({ patientId: study.patient_id, issuer: study.issuer }, given);
  if (!own && (await hasInstanceOf(tx, study))) return;
  const before = own ? study.attributes : without(study.attributes, PATIENT_LEVEL);
  const merged = mergeMissing([pick(header, STUDY_LEVEL), before]);
  const columns = studyColumns(merged);
  const names = Object.keys(columns) as (keyof typeof columns)[];
  const patient = own ? undefined : await patientRow(tx, columns, studyUid);
  await tx.query(
    `update study set attributes = $2, patient = coalesce($3, patient),
       ${names.map((name, n) => `${name} = $${n + 4}`).join(', ')} where id = $1`,
    [study.id, JSON.stringify(merged), patient ?? null, ...names.map((name) => columns[name])],
  );
}

/** Of an object that was stored before objects said whose they are, it is taken for granted. */
async function hasInstanceOf(
  tx: Queryable,
  study: { id: number; patient_id: string; issuer: string },
): Promise<boolean> {
  const { rows } = await tx.query(
    `select 1 from series e join instance i on i.series = e.id join object o on o.id = i.object
     where e.study = $1 and coalesce(o.patient_id, $2) = $2 and (coalesce(o.issuer, '') in ('', $3) or $3 = '') limit 1`,
    [study.id, study.patient_id, study.issuer],
  );
  return rows.length > 0;
}

/**
 * What a version that became current says of its series goes before what was known; but its Modality does only for a
 * series that has no other instance.
 * @returns the Modality of the series
 */
export async function overrideSeries(
  tx: Queryable,
  studyUid: string,
  seriesUid: string,
  header: DicomJson,
): Promise<string> {
  const given = pick(header, SERIES_LEVEL);
  const { rows } = await tx.query<{ modality: string }>(
    `update series e set
       attributes = e.attributes || case when e.instance_count > 1 then $3::jsonb - '00080060' else $3::jsonb end,
       modality = case when e.instance_count > 1 then modality else coalesce(nullif($4, ''), modality) end,
       number = coalesce($5, e.number)
     from study s where s.id = e.study and s.study_uid = $1 and e.series_uid = $2 returning e.modality`,
    [studyUid, seriesUid, JSON.stringify(given), text(given, '00080060'), integer(given, '00200011')],
  );
  return rows[0]?.modality ?? '';
}

export async function upsertSeries(
  tx: Queryable,
  studyId: number,
  added: readonly AddedInstance[],
): Promise<Map<string, { id: number; modality: string }>> {
  const groups = new Map<string, AddedInstance[]>();
  for (const item of added) {
    const uid = item.object.seriesInstanceUid;
    groups.set(uid, [...(groups.get(uid) ?? []), item]);
  }
  const rows = new Map<string, { id: number; modality: string }>();
  let made = 0;
  for (const [seriesUid, members] of groups) {
    const attributes = mergeMissing(members.map(({ object }) => pick(object.header, SERIES_LEVEL)));
    const row = await tx.query<{ id: number; modality: string; created: boolean }>(
      `insert into series (study, series_uid, modality, number, attributes, instance_count)
       values ($1, $2, $3, $4, $5, $6)
       on conflict (study, series_uid) do update set
         attributes = excluded.attributes || series.attributes,
         modality = coalesce(nullif(series.modality, ''), excluded.modality),
         number = coalesce(series.number, excluded.number),
         instance_count = series.instance_count + excluded.instance_count,
         version = series.version + 1
       returning id, modality, version = 1 as created`,
      [
        studyId,
        seriesUid,
        text(attributes, '00080060'),
        integer(attributes, '00200011'),
        JSON.stringify(attributes),
        members.length,
      ],
    );
    const { id, modality, created } = row.rows[0]!;
    rows.set(seriesUid, { id, modality });
    if (created) made++;
  }
  if (made > 0)
    await tx.query('update study set series_count = series_count + $2 where id = $1', [studyId, made]);
  return rows;
}

/** ModalitiesInStudy (0008,0061) from what the study has now; what is added only adds to it (upsertStudy). */
export async function recountModalities(tx: Queryable, studyUid: string): Promise<void> {
  await tx.query(
    `update study s set modalities = array(
       select e.modality from series e where e.study = s.id and e.modality <> ''
       union select i.attributes #>> '{00080060,Value,0}' from series e join instance i on i.series = e.id
         where e.study = s.id and i.attributes ? '00080060'
       order by 1) where s.study_uid = $1`,
    [studyUid],
  );
}

function mergeMissing(sources: DicomJson[]): DicomJson {
  const merged: DicomJson = {};
  for (const source of sources)
    for (const [tag, element] of Object.entries(source)) if (!(tag in merged)) merged[tag] = element;
  return merged;
}

function without(attributes: DicomJson, tags: ReadonlySet<string>): DicomJson {
  return Object.fromEntries(Object.entries(attributes).filter(([tag]) => !tags.has(tag)));
}
