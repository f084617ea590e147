/** Studies and series as the index knows them; read by routing, fhir and admin. QIDO has find-studies.ts. */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { Queryable } from './database/database.ts';

export interface StudyRecord {
  studyUid: string;
  attributes: DicomJson;
  patientId: string;
  issuer: string;
  accessionNumber: string;
  studyDate: string;
  studyTime: string;
  modalities: string[];
  seriesCount: number;
  instanceCount: number;
  version: number;
  /** The study is stable while this equals version. */
  stableVersion: number | null;
  stableAt: Date | null;
  /** Why routing and the EHR wait for a person; null when they need not. */
  held: string | null;
  firstReceivedAt: Date;
  lastReceivedAt: Date;
}

export interface SeriesRecord {
  seriesUid: string;
  modality: string;
  number: number | null;
  attributes: DicomJson;
  instanceCount: number;
  version: number;
}

export async function findStudy(db: Queryable, studyUid: string): Promise<StudyRecord | undefined> {
  const result = await db.query<StudyRecord>(
    `select study_uid as "studyUid", attributes, patient_id as "patientId", issuer,
       accession_number as "accessionNumber", study_date as "studyDate", study_time as "studyTime", modalities,
       series_count as "seriesCount", instance_count as "instanceCount", version,
       stable_version as "stableVersion", stable_at as "stableAt", held,
       first_received_at as "firstReceivedAt", last_received_at as "lastReceivedAt"
     from study where study_uid = $1`,
    [studyUid],
  );
  return result.rows[0];
}

/** @returns the series of a study by number, then UID; at most 10,000 */
export async function findSeries(db: Queryable, studyUid: string): Promise<SeriesRecord[]> {
  const result = await db.query<SeriesRecord>(
    `select e.series_uid as "seriesUid", e.modality, e.number, e.attributes, e.instance_count as "instanceCount",
       e.version
     from series e join study s on s.id = e.study where s.study_uid = $1
     order by e.number nulls last, e.series_uid limit 10000`,
    [studyUid],
  );
  return result.rows;
}

/** The one that came to the archive last; undefined when there is none. */
export async function findLastSeries(
  db: Queryable,
): Promise<{ studyUid: string; seriesUid: string } | undefined> {
  const { rows } = await db.query<{ studyUid: string; seriesUid: string }>(
    `select s.study_uid as "studyUid", e.series_uid as "seriesUid"
     from series e join study s on s.id = e.study order by e.id desc limit 1`,
  );
  return rows[0];
}
