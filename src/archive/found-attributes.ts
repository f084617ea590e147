/**
 * What the index shows of the rows a search found (find-studies.ts): the attributes of their level and of those above
 * it, with those it counts and gathers itself. Called by QIDO page by page.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { Queryable } from './database/database.ts';
import type { Level } from './find-studies.ts';

/** One result: the attributes of its level and those above it, with those the index computes. */
export interface Found {
  readonly studyUid: string;
  readonly seriesUid?: string;
  readonly sopUid?: string;
  readonly attributes: DicomJson;
}

/**
 * Why a study waits for a person, as a private attribute of it (PS3.5 7.8.1): no attribute of the Standard says so, and
 * whoever reads the images must know that some may be another patient's. Only held studies have it; UIDs and tags alone.
 */
export const HELD_BY = '00090010';
export const HELD = '00091001';
const HELD_CREATOR = 'ISOCENTER';

/** What costs a query of its own for each result. */
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

/** The results of a page of ids, in that order; rows deleted since are left out. */
export async function readFound(
  db: Queryable,
  level: Level,
  ids: readonly number[],
  wants: Extras,
): Promise<Found[]> {
  const { rows } = await db.query<FoundRow>(
    `select ${ALIAS[level]}.id, s.study_uid, s.held, s.attributes as study, s.modalities, s.series_count,
       s.instance_count as study_instances
       ${level === 'study' ? '' : ', r.series_uid, r.attributes as series, r.instance_count as series_instances'}
       ${level === 'instance' ? ', i.sop_uid, i.attributes as instance' : ''}
       ${wants.sopClassesInStudy ? `, array(select distinct c.sop_class from instance c join series d on d.id = c.series where d.study = s.id order by 1) as sop_classes` : ''}
       ${wants.patientCounts ? `, (select array[count(*), sum(p.series_count), sum(p.instance_count)]::bigint[] from study p where p.patient = s.patient and p.instance_count > 0) as patient_counts` : ''}
     from ${SOURCE[level]} where ${ALIAS[level]}.id = any($1)`,
    [ids],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id) => {
    const row = byId.get(id);
    return row ? [found(row)] : [];
  });
}

interface FoundRow {
  id: number;
  study_uid: string;
  held: string | null;
  study: DicomJson;
  modalities: string[];
  series_count: number;
  study_instances: number;
  series_uid?: string;
  series?: DicomJson;
  series_instances?: number;
  sop_uid?: string;
  instance?: DicomJson;
  sop_classes?: string[];
  patient_counts?: [studies: number, series: number, instances: number];
}

function found(row: FoundRow): Found {
  const [studies, series, instances] = row.patient_counts ?? [];
  const attributes: DicomJson = {
    ...row.study,
    ...row.series,
    ...row.instance,
    '00080061': row.modalities.length > 0 ? { vr: 'CS', Value: row.modalities } : { vr: 'CS' },
    '00201206': { vr: 'IS', Value: [row.series_count] },
    '00201208': { vr: 'IS', Value: [row.study_instances] },
    ...(row.held !== null && {
      [HELD_BY]: { vr: 'LO', Value: [HELD_CREATOR] },
      [HELD]: { vr: 'LT', Value: [row.held] },
    }),
    ...(row.sop_classes && { '00080062': { vr: 'UI', Value: row.sop_classes } }),
    ...(row.patient_counts && {
      '00201200': { vr: 'IS', Value: [studies] },
      '00201202': { vr: 'IS', Value: [series] },
      '00201204': { vr: 'IS', Value: [instances] },
    }),
    ...(row.series_instances !== undefined && {
      '00201209': { vr: 'IS', Value: [row.series_instances] },
    }),
  };
  return {
    studyUid: row.study_uid,
    ...(row.series_uid !== undefined && { seriesUid: row.series_uid }),
    ...(row.sop_uid !== undefined && { sopUid: row.sop_uid }),
    attributes,
  };
}
