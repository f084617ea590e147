/**
 * What the index shows of the rows a search found (find-studies.ts): the attributes of their level and of those above
 * it, with those it counts and gathers itself. Called by QIDO page by page.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { Queryable } from './database/database.ts';
import type { Level } from './find-studies.ts';

/** One result: where it stands, and the attributes the index shows of it. */
export interface Found {
  readonly studyUid: string;
  readonly seriesUid?: string;
  readonly sopUid?: string;
  /** Of its patient, study, series and itself; those of one study, or series, are one and the same object. */
  readonly layers: readonly DicomJson[];
}

/**
 * Why a study waits for a person, as a private attribute of it (PS3.5 7.8.1): no attribute of the Standard says so, and
 * whoever reads the images must know that some may be another patient's. Only held studies have it; UIDs and tags alone.
 */
export const HELD_BY = '00090010';
export const HELD = '00091001';
const HELD_CREATOR = 'ISOCENTER';

/** What costs a query of its own for each study, or patient. */
export interface Extras {
  readonly sopClassesInStudy: boolean;
  readonly patientCounts: boolean;
}

const ALIAS: Readonly<Record<Level, string>> = { study: 's', series: 'r', instance: 'i' };
const SOURCE: Readonly<Record<Level, string>> = {
  study: 'study s',
  series: 'series r join study s on s.id = r.study',
  instance: 'instance i join series r on r.id = i.series join study s on s.id = r.study',
};

/** A row's columns, where it is the first of those that share them: they are sent and read once. */
const once = (shared: string, columns: string): string =>
  `case when row_number() over (partition by ${shared}) = 1 then ${columns} end`;

const STUDY = `json_build_object('attributes', s.attributes, 'modalities', s.modalities, 'held', s.held,
  'series', s.series_count, 'instances', s.instance_count`;
const SERIES = `json_build_object('attributes', r.attributes, 'instances', r.instance_count)`;
const SOP_CLASSES = `, 'sop_classes', array(select distinct c.sop_class
  from instance c join series d on d.id = c.series where d.study = s.id order by 1)`;
/** Once for each patient, too: the studies of a phantom are thousands. */
const OF_PATIENT = `(select json_build_array(count(*), sum(p.series_count), sum(p.instance_count))
  from study p where p.patient = s.patient and p.instance_count > 0)`;

/** The results of a page of ids, in that order; rows deleted since are left out. */
export async function readFound(
  db: Queryable,
  level: Level,
  ids: readonly number[],
  wants: Extras,
): Promise<Found[]> {
  const study = `${STUDY}${wants.sopClassesInStudy ? SOP_CLASSES : ''})`;
  const { rows } = await db.query<FoundRow>(
    `select ${ALIAS[level]}.id, s.study_uid, ${level === 'study' ? study : once('s.id', study)} as study
       ${level === 'study' ? '' : `, r.series_uid, ${level === 'series' ? SERIES : once('r.id', SERIES)} as series`}
       ${level === 'instance' ? ', i.sop_uid, i.attributes as instance' : ''}
       ${wants.patientCounts ? `, s.patient, ${once('s.patient', OF_PATIENT)} as patient_counts` : ''}
     from ${SOURCE[level]} where ${ALIAS[level]}.id = any($1)`,
    [ids],
  );
  const patients = new Map<number, DicomJson>();
  const studies = new Map<string, DicomJson>();
  const series = new Map<string, DicomJson>();
  for (const row of rows) {
    if (row.patient !== undefined && row.patient_counts)
      patients.set(row.patient, patientAttributes(row.patient_counts));
    if (row.study) studies.set(row.study_uid, studyAttributes(row.study));
    if (row.series) series.set(`${row.study_uid} ${row.series_uid}`, seriesAttributes(row.series));
  }
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id): Found[] => {
    const row = byId.get(id);
    if (!row) return [];
    const { study_uid: studyUid, series_uid: seriesUid, sop_uid: sopUid } = row;
    const layers = [
      row.patient === undefined ? undefined : patients.get(row.patient),
      studies.get(studyUid),
      series.get(`${studyUid} ${seriesUid}`),
      row.instance,
    ];
    return [
      {
        studyUid,
        ...(seriesUid !== undefined && { seriesUid }),
        ...(sopUid !== undefined && { sopUid }),
        layers: layers.filter((layer) => layer !== undefined),
      },
    ];
  });
}

interface StudyRow {
  attributes: DicomJson;
  held: string | null;
  modalities: string[];
  series: number;
  instances: number;
  sop_classes?: string[];
}

interface SeriesRow {
  attributes: DicomJson;
  instances: number;
}

interface FoundRow {
  id: number;
  study_uid: string;
  study: StudyRow | null;
  series_uid?: string;
  series?: SeriesRow | null;
  sop_uid?: string;
  instance?: DicomJson;
  patient?: number;
  patient_counts?: PatientCounts | null;
}

type PatientCounts = [studies: number, series: number, instances: number];

const patientAttributes = ([studies, series, instances]: PatientCounts): DicomJson => ({
  '00201200': { vr: 'IS', Value: [studies] },
  '00201202': { vr: 'IS', Value: [series] },
  '00201204': { vr: 'IS', Value: [instances] },
});

function studyAttributes(row: StudyRow): DicomJson {
  return {
    ...row.attributes,
    '00080061': row.modalities.length > 0 ? { vr: 'CS', Value: row.modalities } : { vr: 'CS' },
    '00201206': { vr: 'IS', Value: [row.series] },
    '00201208': { vr: 'IS', Value: [row.instances] },
    ...(row.held !== null && {
      [HELD_BY]: { vr: 'LO', Value: [HELD_CREATOR] },
      [HELD]: { vr: 'LT', Value: [row.held] },
    }),
    ...(row.sop_classes && { '00080062': { vr: 'UI', Value: row.sop_classes } }),
  };
}

const seriesAttributes = ({ attributes, instances }: SeriesRow): DicomJson => ({
  ...attributes,
  '00201209': { vr: 'IS', Value: [instances] },
});
