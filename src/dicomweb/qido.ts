/**
 * QIDO-RS (PS3.18 10.6): searches for studies, series and instances.
 * The query is read by qido-query.ts and asked of archive/find-studies.ts; results leave page by page as DICOM JSON.
 * No result is 200 with an empty list: 204, which the Standard also allows, breaks clients that parse what they get.
 */
import type { Context } from 'koa';
import { type Found, findMatches, HELD, HELD_BY, type Level, readFound } from '../archive/find-studies.ts';
import { attribute } from '../dicom/attributes.ts';
import { type DicomJson, dicomJsonText } from '../dicom/dicom-json.ts';
import { acceptedBy, disclose, type RetrieveParts, serviceUrl, stream } from './answer.ts';
import { chooseJson } from './negotiate.ts';
import { parseQidoQuery, type QidoQuery } from './qido-query.ts';

type Params = { params: Record<string, string | undefined> };

const PAGE = 200;
const SOP_CLASSES_IN_STUDY = '00080062';

/** PS3.18 tables 10.6.3-3 to -5, the descriptions that every study list shows, and whether a study is held. */
const DEFAULTS: Readonly<Record<Level, readonly string[]>> = {
  study: [
    HELD_BY,
    HELD,
    ...tags(`StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName TimezoneOffsetFromUTC
    StudyDescription PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex StudyInstanceUID StudyID
    NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances`),
  ],
  series: tags(`Modality TimezoneOffsetFromUTC SeriesDescription SeriesInstanceUID SeriesNumber
    NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate PerformedProcedureStepStartTime
    RequestAttributesSequence`),
  instance: tags(`SOPClassUID SOPInstanceUID TimezoneOffsetFromUTC InstanceNumber Rows Columns BitsAllocated
    NumberOfFrames`),
};
/** Those of the defaults that an object may lack without their being left out of the answer: type 2 and counts. */
const ALWAYS: Readonly<Record<Level, readonly string[]>> = {
  study: tags(
    'StudyDate StudyTime AccessionNumber ReferringPhysicianName PatientName PatientID PatientBirthDate PatientSex StudyID',
  ),
  series: tags('Modality SeriesNumber'),
  instance: tags('InstanceNumber'),
};

export function searchFor(parts: RetrieveParts, level: Level) {
  return async (ctx: Context & Params): Promise<void> => {
    const { study, series } = ctx.params;
    const query = parseQidoQuery(
      {
        level,
        ...(study !== undefined && { studyUid: study }),
        ...(series !== undefined && { seriesUid: series }),
      },
      new URLSearchParams(ctx.querystring),
    );
    const type = chooseJson(acceptedBy(ctx));
    ctx.vary('Accept');
    ctx.set('Cache-Control', 'private, no-cache');
    const { ids, more } = await findMatches(parts.database, query.search);
    if (more)
      ctx.set(
        'Warning',
        `299 isocenter "There are more results than the ${ids.length} given here; ask for them with offset=${query.search.offset + ids.length}"`,
      );
    await disclose(ctx, parts.database, {
      channel: 'qido',
      ...(study !== undefined && { studyUid: study }),
      ...(series !== undefined && { seriesUid: series }),
      detail: { level, results: ids.length },
    });
    await stream(ctx, parts.log, {
      type,
      bytes: results(parts, query, ids, serviceUrl(ctx, parts.publicUrl)),
    });
  };
}

async function* results(
  parts: RetrieveParts,
  { search, include }: QidoQuery,
  ids: readonly number[],
  base: string,
): AsyncGenerator<Uint8Array> {
  const wants = { sopClassesInStudy: include === 'all' || include.has(SOP_CLASSES_IN_STUDY) };
  let separator = '[';
  for (let at = 0; at < ids.length; at += PAGE) {
    const page = await readFound(parts.database, search.level, ids.slice(at, at + PAGE), wants);
    const texts = page.map((found) => dicomJsonText(resultOf(found, search, include, base)));
    if (texts.length === 0) continue;
    yield Buffer.from(separator + texts.join(','));
    separator = ',';
  }
  yield Buffer.from(separator === '[' ? '[]' : ']');
}

/** One result with the attributes of PS3.18 10.6.3.3; those of a level that the URL names are not repeated. */
function resultOf(
  found: Found,
  search: QidoQuery['search'],
  include: QidoQuery['include'],
  base: string,
): DicomJson {
  const levels: Level[] = [search.level];
  if (search.level === 'instance' && search.seriesUid === undefined) levels.push('series');
  if (search.level !== 'study' && search.studyUid === undefined) levels.push('study');
  const result: DicomJson = {};
  for (const level of levels) for (const tag of ALWAYS[level]) result[tag] = { vr: attribute(tag)!.vr };
  const shown = new Set(levels.flatMap((level) => DEFAULTS[level]));
  for (const [tag, element] of Object.entries(found.attributes))
    if (include === 'all' || include.has(tag) || shown.has(tag)) result[tag] = element;
  const { studyUid, seriesUid, sopUid } = found;
  result['00080005'] = { vr: 'CS', Value: ['ISO_IR 192'] };
  result['00080056'] = { vr: 'CS', Value: ['ONLINE'] };
  result['0020000D'] = { vr: 'UI', Value: [studyUid] };
  if (seriesUid !== undefined) result['0020000E'] = { vr: 'UI', Value: [seriesUid] };
  const path = [
    `${base}/studies/${studyUid}`,
    ...(seriesUid === undefined ? [] : [`series/${seriesUid}`]),
    ...(sopUid === undefined ? [] : [`instances/${sopUid}`]),
  ];
  result['00081190'] = { vr: 'UR', Value: [path.join('/')] };
  return result;
}

function tags(keywords: string): string[] {
  return keywords
    .trim()
    .split(/\s+/)
    .map((keyword) => {
      const known = attribute(keyword);
      if (!known) throw new Error(`${keyword} is not in the data dictionary`);
      return known.tag;
    });
}
