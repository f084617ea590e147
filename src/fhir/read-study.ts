/**
 * Reads a study whole from the index, as the mapping wants it, at one moment.
 * Called by link-study.ts and facade.ts. Of an instance only what the resource says is kept in memory.
 */
import type { Database, Queryable } from '../archive/database/database.ts';
import { findStoredObjects, type StoredObject } from '../archive/stored-object.ts';
import { findSeries, findStudy, type StudyRecord } from '../archive/study.ts';
import { attribute } from '../dicom/attributes.ts';
import type { DataSet } from './dicom-value.ts';
import { LISTED_INSTANCES, type MappedInstance, type MappedStudy } from './imaging-study.ts';

export interface ReadStudy {
  record: StudyRecord;
  mapped: MappedStudy;
}

const PAGE = 1000;
const KEPT = new Set(
  ['ContentLabel', 'ConceptNameCodeSequence', 'DocumentTitle', 'SpecimenDescriptionSequence'].map(
    (keyword) => attribute(keyword)?.tag,
  ),
);

/** Of one snapshot, so that counts, series and version belong together. */
export function readStudy(database: Database, studyUid: string): Promise<ReadStudy | undefined> {
  return database.transaction(
    async (tx) => {
      const record = await findStudy(tx, studyUid);
      if (!record) return undefined;
      const instances =
        record.instanceCount <= LISTED_INSTANCES
          ? await readInstances(tx, studyUid)
          : new Map<string, never>();
      const series = (await findSeries(tx, studyUid)).map((one) => ({
        seriesUid: one.seriesUid,
        modality: one.modality,
        attributes: one.attributes,
        instanceCount: one.instanceCount,
        instances: instances.get(one.seriesUid),
      }));
      return { record, mapped: { studyUid, attributes: record.attributes, series } };
    },
    { isolation: 'repeatable read', readOnly: true },
  );
}

async function readInstances(tx: Queryable, studyUid: string): Promise<Map<string, MappedInstance[]>> {
  const bySeries = new Map<string, MappedInstance[]>();
  let after: StoredObject | undefined;
  for (;;) {
    const page = await findStoredObjects(tx, { studyUid }, { limit: PAGE, ...(after && { after }) });
    for (const object of page) {
      const list = bySeries.get(object.seriesUid) ?? [];
      bySeries.set(object.seriesUid, list);
      list.push({
        sopUid: object.sopUid,
        sopClass: object.sopClass,
        number: object.instanceNumber,
        attributes: kept(object.attributes),
      });
    }
    if (page.length < PAGE) return bySeries;
    after = page.at(-1);
  }
}

const kept = (attributes: DataSet): DataSet =>
  Object.fromEntries(Object.entries(attributes).filter(([tag]) => KEPT.has(tag)));
