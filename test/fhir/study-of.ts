/**
 * Studies for the tests of this room: rows made by the archive's own index, and the same read from corpus files.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../../src/archive/database/database.ts';
import {
  INSTANCE_LEVEL,
  integer,
  pick,
  SERIES_LEVEL,
  STUDY_LEVEL,
  text,
} from '../../src/archive/indexed-attributes.ts';
import { declareStable } from '../../src/archive/stable-study.ts';
import { indexObjects } from '../../src/archive/study-index.ts';
import { attribute } from '../../src/dicom/attributes.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { type DicomJson, toDicomJson } from '../../src/dicom/dicom-json.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { createUid, isUid } from '../../src/dicom/uid.ts';
import type { MappedStudy } from '../../src/fhir/imaging-study.ts';

/** DICOM JSON by keyword: `dicom({ StudyDate: '20240131' })`. */
export function dicom(values: Record<string, unknown>): DicomJson {
  return Object.fromEntries(
    Object.entries(values).map(([keyword, value]) => {
      const { tag, vr } = attribute(keyword)!;
      return [tag, { vr, Value: Array.isArray(value) ? value : [value] }];
    }),
  );
}

export interface GivenStudy {
  studyUid?: string;
  patientId?: string;
  /** Instances per series. */
  series?: readonly number[];
  more?: Record<string, unknown>;
}

/** Indexes a study as the settler would and returns its UID; calling it again with more instances adds them. */
export async function givenStudy(database: Database, given: GivenStudy = {}): Promise<string> {
  const { studyUid = createUid(), patientId = 'PAT-1', series = [2, 1], more = {} } = given;
  const [reception, openedAt] = [randomUUID(), new Date().toISOString()];
  const batch = series.flatMap((count, s) =>
    Array.from({ length: count }, (_, i) => {
      const seriesInstanceUid = `${studyUid.slice(0, 50)}.${s + 1}`;
      const sopInstanceUid = `${seriesInstanceUid}.${i + 1}`;
      const header = dicom({
        StudyInstanceUID: studyUid,
        SeriesInstanceUID: seriesInstanceUid,
        SOPInstanceUID: sopInstanceUid,
        SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
        PatientID: patientId,
        StudyDate: '20240131',
        StudyTime: '101530',
        StudyDescription: 'CT Thorax',
        Modality: s === 0 ? 'CT' : 'SR',
        SeriesNumber: s + 1,
        InstanceNumber: i + 1,
        ...more,
      });
      return {
        sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
        sopInstanceUid,
        studyInstanceUid: studyUid,
        seriesInstanceUid,
        transferSyntaxUid: '1.2.840.10008.1.2.1',
        contentHash: createHash('sha256').update(sopInstanceUid).digest(),
        length: 1000,
        dataSetOffset: 300,
        pixel: undefined,
        key: sopInstanceUid,
        place: { in: 'store' as const },
        receivedAt: new Date().toISOString(),
        from: { reception, kind: 'dimse' as const, callingAe: 'CT1', openedAt },
        header,
      };
    }),
  );
  await indexObjects(database, 'test', batch);
  return studyUid;
}

/** The same, quiet for long enough: the change feed says so. */
export async function givenStableStudy(database: Database, given: GivenStudy = {}): Promise<string> {
  const studyUid = await givenStudy(database, given);
  await declareStable(database, 0);
  return studyUid;
}

/** The studies of these files, as the index would keep them. Files that cannot be read are left out. */
export function studiesOf(folder: string, files: readonly string[]): MappedStudy[] {
  const studies = new Map<string, Map<string, { header: DicomJson; sops: Map<string, DicomJson> }>>();
  for (const file of files) {
    const header = headerOf(join(folder, file));
    if (!header) continue;
    const [studyUid, seriesUid, sopUid] = ['0020000D', '0020000E', '00080018'].map((tag) =>
      text(header, tag),
    );
    // The archive refuses these.
    if (!studyUid || !seriesUid || !sopUid || !text(header, '00080016')) continue;
    if (![studyUid, seriesUid, sopUid].every(isUid)) continue;
    const study =
      studies.get(studyUid) ?? new Map<string, { header: DicomJson; sops: Map<string, DicomJson> }>();
    studies.set(studyUid, study);
    const series = study.get(seriesUid) ?? { header, sops: new Map<string, DicomJson>() };
    study.set(seriesUid, series);
    series.sops.set(sopUid, header);
  }
  return [...studies].map(([studyUid, series]) => ({
    studyUid,
    attributes: pick([...series.values()][0]!.header, STUDY_LEVEL),
    series: [...series].map(([seriesUid, { header, sops }]) => ({
      seriesUid,
      modality: text(header, '00080060'),
      attributes: pick(header, SERIES_LEVEL),
      instanceCount: sops.size,
      instances: [...sops].map(([sopUid, instance]) => ({
        sopUid,
        sopClass: text(instance, '00080016'),
        number: integer(instance, '00200013'),
        attributes: pick(instance, INSTANCE_LEVEL),
      })),
    })),
  }));
}

function headerOf(file: string): DicomJson | undefined {
  const bytes = readFileSync(file);
  try {
    const meta = readFileMeta(bytes);
    return toDicomJson(
      parseDataSet(bytes.subarray(meta.dataSetOffset), meta.transferSyntaxUid, { stopAtPixelData: true }),
    );
  } catch (thrown) {
    // The corpus has files that no reader takes; what the archive would refuse never reaches the mapping.
    if (thrown instanceof Error) return undefined;
    throw thrown;
  }
}
