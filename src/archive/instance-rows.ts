/**
 * The rows of instances: added by a batch, replaced by another version of theirs, or taken out of their study, with
 * the counts, attributes and versions of series and study that follow.
 * Called by study-index.ts, compare-versions.ts, settle-conflict.ts and delete-instances.ts in a transaction that holds the study's lock.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import type { NewChange } from './change-feed.ts';
import type { Queryable } from './database/database.ts';
import type { InstanceContent } from './incoming-object.ts';
import { INSTANCE_LEVEL, integer, pick, text } from './indexed-attributes.ts';
import {
  type AddedInstance,
  overrideSeries,
  overrideStudy,
  recountModalities,
  upsertSeries,
  upsertStudy,
} from './study-rows.ts';

const MODALITY = '00080060';

export async function addInstances<Item extends AddedInstance>(
  tx: Queryable,
  studyUid: string,
  added: readonly Item[],
  idOf: (object: Item['object']) => number,
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
          series: series.get(object.seriesInstanceUid)!.id,
          sop_uid: object.sopInstanceUid,
          sop_class: object.sopClassUid,
          number: integer(object.header, '00200013'),
          attributes: instanceAttributes(object, series.get(object.seriesInstanceUid)!.modality),
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

/** A Modality (0008,0060) other than its series' is kept with the instance: such series are against PS3.3 C.7.3.1. */
function instanceAttributes({ header }: InstanceContent, modality: string): DicomJson {
  const attributes = pick(header, INSTANCE_LEVEL);
  const own = header[MODALITY];
  if (own !== undefined && !['', modality].includes(text(header, MODALITY))) attributes[MODALITY] = own;
  return attributes;
}

interface Place {
  instance: number;
  object: number;
  series: number;
  seriesUid: string;
  study: number;
  studyUid: string;
}

async function placeOf(tx: Queryable, sopUid: string): Promise<Place | undefined> {
  const { rows } = await tx.query<Place>(
    `select i.id as instance, i.object, e.id as series, e.series_uid as "seriesUid", s.id as study,
       s.study_uid as "studyUid"
     from instance i join series e on e.id = i.series join study s on s.id = e.study
     where i.sop_uid = $1 for update of i`,
    [sopUid],
  );
  return rows[0];
}

/**
 * Makes a stored version the current one, in the series it says it belongs to; the one before stays as a version.
 * What the version says of its study and series goes before what they said so far. Doing it twice changes nothing.
 * @param object row id of the version
 */
export async function makeCurrent(
  tx: Queryable,
  version: InstanceContent,
  object: number,
): Promise<NewChange[]> {
  const {
    sopInstanceUid: sopUid,
    studyInstanceUid: studyUid,
    seriesInstanceUid: seriesUid,
    header,
  } = version;
  const place = await placeOf(tx, sopUid);
  if (place?.object === object) return [];
  await tx.query(
    `update object set role = case when id = $2 then 'current' else 'replaced' end
     where sop_uid = $1 and (id = $2 or role in ('current', 'variant'))`,
    [sopUid, object],
  );
  if (place?.studyUid !== studyUid || place.seriesUid !== seriesUid) {
    const removed = place ? await removeInstance(tx, sopUid) : [];
    const added = await addInstances(
      tx,
      studyUid,
      [{ object: version, decision: { conflicts: [] } }],
      () => object,
    );
    await overrideSeries(tx, studyUid, seriesUid, header);
    await overrideStudy(tx, studyUid, header);
    await recountModalities(tx, studyUid);
    return [...removed, ...added];
  }
  const modality = await overrideSeries(tx, studyUid, seriesUid, header);
  await tx.query(
    'update instance set sop_class = $2, number = $3, attributes = $4, object = $5, stored_at = now() where id = $1',
    [
      place.instance,
      version.sopClassUid,
      integer(header, '00200013'),
      JSON.stringify(instanceAttributes(version, modality)),
      object,
    ],
  );
  await overrideStudy(tx, studyUid, header);
  await recountModalities(tx, studyUid);
  return [{ kind: 'instance-replaced', studyUid, seriesUid, sopUid, studyVersion: await touch(tx, place) }];
}

/** Takes the instance out of its study; its versions stay stored. A series goes with its last instance. */
export async function removeInstance(tx: Queryable, sopUid: string): Promise<NewChange[]> {
  return removeInstances(tx, [sopUid]);
}

/** The same for instances of one study; the study keeps its row. */
export async function removeInstances(tx: Queryable, sopUids: readonly string[]): Promise<NewChange[]> {
  const { rows } = await tx.query<{
    sopUid: string;
    own: boolean;
    series: number;
    seriesUid: string;
    study: number;
    studyUid: string;
  }>(
    `delete from instance i using series e join study s on s.id = e.study
     where e.id = i.series and i.sop_uid = any($1)
     returning i.sop_uid as "sopUid", i.attributes ? '${MODALITY}' as own, e.id as series, e.series_uid as "seriesUid",
       s.id as study, s.study_uid as "studyUid"`,
    [sopUids],
  );
  const first = rows[0];
  if (!first) return [];
  const { study, studyUid } = first;
  const perSeries = new Map<number, number>();
  for (const { series } of rows) perSeries.set(series, (perSeries.get(series) ?? 0) + 1);
  await tx.query(
    `update series e set instance_count = instance_count - r.gone, version = version + 1
     from unnest($1::bigint[], $2::int[]) as r (series, gone) where e.id = r.series`,
    [[...perSeries.keys()], [...perSeries.values()]],
  );
  const emptied = await tx.query('delete from series where id = any($1) and instance_count = 0', [
    [...perSeries.keys()],
  ]);
  const touched = await tx.query<{ version: number }>(
    `update study set instance_count = instance_count - $2, series_count = series_count - $3,
       version = version + 1, last_received_at = now() where id = $1 returning version`,
    [study, rows.length, emptied.rowCount],
  );
  if (emptied.rowCount > 0 || rows.some(({ own }) => own)) await recountModalities(tx, studyUid);
  const studyVersion = touched.rows[0]!.version;
  return rows.map(({ sopUid, seriesUid }) => ({
    kind: 'instance-removed',
    studyUid,
    seriesUid,
    sopUid,
    studyVersion,
  }));
}

/** @returns the study's version, which moves with every change of content */
async function touch(tx: Queryable, { study, series }: Place): Promise<number> {
  await tx.query('update series set version = version + 1 where id = $1', [series]);
  const { rows } = await tx.query<{ version: number }>(
    'update study set version = version + 1, last_received_at = now() where id = $1 returning version',
    [study],
  );
  return rows[0]!.version;
}
