/**
 * QIDO-RS (PS3.18 10.6): searches for studies, series and instances.
 * The query is read by qido-query.ts and asked of archive/find-studies.ts; results leave page by page as DICOM JSON, or
 * as Native DICOM Model XML in one part each. What is not in the answer stands in Warning headers (PS3.18 8.3.4).
 */
import type { Context } from 'koa';
import { COUNTED, countRemaining, findMatches, type Level, newestId } from '../archive/find-studies.ts';
import { type Extras, type Found, HELD, HELD_BY, readFound } from '../archive/found-attributes.ts';
import { attribute } from '../dicom/attributes.ts';
import { type DicomJson, dicomJsonText } from '../dicom/dicom-json.ts';
import { dicomXmlText } from '../dicom/dicom-xml.ts';
import { acceptedBy, disclose, isUnchanged, type RetrieveParts, serviceUrl, stream } from './answer.ts';
import { type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseResults, DICOM_XML } from './negotiate.ts';
import type { SearchPages } from './qido-pages.ts';
import { parseQidoQuery, type QidoQuery } from './qido-query.ts';

type Params = { params: Record<string, string | undefined> };

export interface SearchParts extends RetrieveParts {
  readonly pages: SearchPages;
}

const PAGE = 200;
const SOP_CLASSES_IN_STUDY = '00080062';
/** NumberOfPatientRelatedStudies, -Series, -Instances */
const PATIENT_COUNTS = ['00201200', '00201202', '00201204'];

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

export function searchFor(parts: SearchParts, level: Level) {
  return async (ctx: Context & Params): Promise<void> => {
    const { study, series } = ctx.params;
    const parameters = new URLSearchParams(ctx.querystring);
    const asked = parseQidoQuery(
      {
        level,
        ...(study !== undefined && { studyUid: study }),
        ...(series !== undefined && { seriesUid: series }),
      },
      parameters,
    );
    const type = chooseResults(acceptedBy(ctx));
    ctx.vary('Accept');
    ctx.set('Cache-Control', 'private, no-cache');
    const { database } = parts;
    const upTo = await parts.pages.boundOf(searchOf(ctx, parameters), asked.search.offset, () =>
      newestId(database, level),
    );
    const query = { ...asked, search: { ...asked.search, upTo } };
    const { ids, remaining: behind } = await findMatches(database, query.search);
    const base = serviceUrl(ctx, parts.publicUrl);
    const first = ids.slice(0, PAGE);
    const [remaining, firstPage] = await Promise.all([
      behind === 'some' ? countRemaining(database, query.search) : behind,
      first.length > 0 ? page(parts, query, first, base) : [],
      disclose(ctx, parts.disclosures, {
        channel: 'qido',
        ...(study !== undefined && { studyUid: study }),
        ...(series !== undefined && { seriesUid: series }),
        detail: { level, results: ids.length },
      }),
    ]);
    for (const warning of warningsOf(remaining, query)) ctx.append('Warning', `299 ${base}: ${warning}`);
    if (ids.length === 0) {
      // PS3.18 8.3.4.4.1: no results, with limit=0 too, are no content.
      ctx.status = 204;
      return;
    }
    const pages = pagesOf(parts, query, ids, base, firstPage);
    if (type === DICOM_XML) {
      const { contentType, body } = writeMultipart(DICOM_XML, xmlParts(pages));
      await stream(ctx, parts, { type: contentType, bytes: body });
      return;
    }
    if (ids.length > PAGE) {
      await stream(ctx, parts, { type, bytes: jsonList(pages) });
      return;
    }
    const text = `[${firstPage.map(dicomJsonText).join(',')}]`;
    if (isUnchanged(ctx, 'same', type, text, remaining)) return;
    ctx.set('Content-Type', type);
    ctx.body = text;
  };
}

/** What the pages of one search by one client have in common. */
function searchOf(ctx: Context, parameters: URLSearchParams): string {
  const actor = ctx.state.actor as { name: string } | undefined;
  const others = [...parameters].filter(([name]) => name !== 'offset' && name !== 'limit');
  return JSON.stringify([actor?.name ?? '', ctx.ip, ctx.path, others]);
}

function warningsOf(remaining: number | 'some', { unmatched }: QidoQuery): string[] {
  const warnings: string[] = [];
  if (remaining !== 0) {
    const many = remaining === 'some' || remaining <= COUNTED ? remaining : `more than ${COUNTED}`;
    warnings.push(`There are ${many} additional results that can be requested`);
  }
  if (unmatched.length > 0)
    warnings.push(`Not kept in the index, and therefore not matched, but ignored: ${unmatched.join(', ')}`);
  return warnings;
}

async function page(
  { database }: SearchParts,
  { search, include }: QidoQuery,
  ids: readonly number[],
  base: string,
): Promise<DicomJson[]> {
  const wants: Extras = {
    sopClassesInStudy: include === 'all' || include.has(SOP_CLASSES_IN_STUDY),
    patientCounts: include === 'all' || PATIENT_COUNTS.some((tag) => include.has(tag)),
  };
  const found = await readFound(database, search.level, ids, wants);
  const shown = shownOf(search, include);
  return found.map((one) => resultOf(one, search, shown, base));
}

async function* pagesOf(
  parts: SearchParts,
  query: QidoQuery,
  ids: readonly number[],
  base: string,
  first: DicomJson[],
): AsyncGenerator<DicomJson[]> {
  yield first;
  for (let at = PAGE; at < ids.length; at += PAGE) yield page(parts, query, ids.slice(at, at + PAGE), base);
}

async function* jsonList(pages: AsyncIterable<DicomJson[]>): AsyncGenerator<Uint8Array> {
  let separator = '[';
  for await (const results of pages) {
    if (results.length === 0) continue;
    yield Buffer.from(separator + results.map(dicomJsonText).join(','));
    separator = ',';
  }
  yield Buffer.from(separator === '[' ? '[]' : ']');
}

/** PS3.18 10.6.4: one part per result. */
async function* xmlParts(pages: AsyncIterable<DicomJson[]>): AsyncGenerator<OutgoingPart> {
  for await (const results of pages)
    for (const result of results) yield { contentType: DICOM_XML, body: once(dicomXmlText(result)) };
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

/** Levels whose attributes a result has unasked: those of a level that the URL names are not repeated. */
function levelsOf({ level, seriesUid, studyUid }: QidoQuery['search']): Level[] {
  const levels: Level[] = [level];
  if (level === 'instance' && seriesUid === undefined) levels.push('series');
  if (level !== 'study' && studyUid === undefined) levels.push('study');
  return levels;
}

/** @returns what is shown of attributes (PS3.18 10.6.3.3); the same object when it is asked again for the same one */
function shownOf(
  search: QidoQuery['search'],
  include: QidoQuery['include'],
): (attributes: DicomJson) => DicomJson {
  const wanted = new Set(levelsOf(search).flatMap((level) => DEFAULTS[level]));
  const known = new Map<DicomJson, DicomJson>();
  return (attributes) => {
    const before = known.get(attributes);
    if (before) return before;
    const shown: DicomJson = {};
    for (const tag in attributes)
      if (include === 'all' || wanted.has(tag) || include.has(tag)) shown[tag] = attributes[tag]!;
    known.set(attributes, shown);
    return shown;
  };
}

function resultOf(
  found: Found,
  search: QidoQuery['search'],
  shown: (attributes: DicomJson) => DicomJson,
  base: string,
): DicomJson {
  const result: DicomJson = {};
  for (const level of levelsOf(search))
    for (const tag of ALWAYS[level]) result[tag] = { vr: attribute(tag)!.vr };
  Object.assign(result, ...found.layers.map(shown));
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
