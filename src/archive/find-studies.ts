/**
 * Finds studies, series and instances in the index: a checked search becomes SQL with every value a parameter.
 * Called by QIDO (dicomweb/qido.ts), later by C-FIND. A search gives row ids first, so that its count and its order
 * are settled before the first result leaves; the results are then read page by page.
 */
import type { DicomJson } from '../dicom/dicom-json.ts';
import { foldPersonName } from '../dicom/person-name.ts';
import type { Queryable } from './database/database.ts';
import { INSTANCE_LEVEL, SERIES_LEVEL, STUDY_LEVEL } from './indexed-attributes.ts';

export type Level = 'study' | 'series' | 'instance';

/** What a value must be (PS3.4 C.2.2.2). Universal matching makes no criterion. */
export type Match =
  | { readonly kind: 'one-of'; readonly values: readonly string[] }
  /** `*` any text, `?` one character. */
  | { readonly kind: 'text'; readonly pattern: string }
  | { readonly kind: 'name'; readonly pattern: string; readonly fuzzy: boolean }
  | { readonly kind: 'number'; readonly value: number }
  /** Both ends included; an end of lower precision includes all it begins. */
  | { readonly kind: 'range'; readonly from: string; readonly to: string };

export interface Criterion {
  /** Tags, outermost sequence first; one tag for a root attribute. */
  readonly path: readonly string[];
  readonly vr: string;
  readonly match: Match;
}

export interface StudySearch {
  readonly level: Level;
  readonly studyUid?: string;
  readonly seriesUid?: string;
  readonly criteria: readonly Criterion[];
  readonly limit: number;
  readonly offset: number;
}

/** One result: the attributes of its level and those above it, with those the index computes. */
export interface Found {
  readonly studyUid: string;
  readonly seriesUid?: string;
  readonly sopUid?: string;
  readonly attributes: DicomJson;
}

const MODALITIES_IN_STUDY = '00080061';
const SOP_CLASSES_IN_STUDY = '00080062';
/**
 * Why a study waits for a person, as a private attribute of it (PS3.5 7.8.1): no attribute of the Standard says so, and
 * whoever reads the images must know that some may be another patient's. Only held studies have it; UIDs and tags alone.
 */
export const HELD_BY = '00090010';
export const HELD = '00091001';
const HELD_CREATOR = 'ISOCENTER';

const COUNTS: Readonly<Record<string, { level: Level; column: string }>> = {
  '00201206': { level: 'study', column: 's.series_count' },
  '00201208': { level: 'study', column: 's.instance_count' },
  '00201209': { level: 'series', column: 'r.instance_count' },
};
const STUDY_COLUMNS: Readonly<Record<string, string>> = {
  '0020000D': 's.study_uid',
  '00100020': 's.patient_id',
  '00100021': 's.issuer',
  '00100030': 's.birth_date',
  '00080050': 's.accession_number',
  '00080020': 's.study_date',
  '00080030': 's.study_time',
  '00200010': 's.study_id',
};
const COLUMNS: Readonly<Record<string, string>> = {
  ...STUDY_COLUMNS,
  '0020000E': 'r.series_uid',
  '00080060': 'r.modality',
  '00080018': 'i.sop_uid',
  '00080016': 'i.sop_class',
};
/** Columns that hold text folded by foldPersonName, so that a search folds alike. */
const FOLDED: Readonly<Record<string, string>> = {
  '00100010': 's.patient_name',
  '00080090': 's.referrer',
  '00081030': 's.description',
};
const TIME_OF_DATE: Readonly<Record<string, string>> = {
  '00080020': '00080030',
  '00080021': '00080031',
  '00080022': '00080032',
  '00080023': '00080033',
  '00400244': '00400245',
};
const ALIAS: Readonly<Record<Level, string>> = { study: 's', series: 'r', instance: 'i' };
const SOURCE: Readonly<Record<Level, string>> = {
  study: 'study s',
  series: 'series r join study s on s.id = r.study',
  instance: 'instance i join series r on r.id = i.series join study s on s.id = r.study',
};
/** Newest study first, as a reading list wants it; the id makes the order one order. */
const ORDER: Readonly<Record<Level, string>> = {
  study: 's.study_date desc, s.study_time desc, s.id desc',
  series: 's.study_date desc, s.study_time desc, s.id desc, r.number, r.id',
  instance: 's.study_date desc, s.study_time desc, s.id desc, r.number, r.id, i.number, i.id',
};

/** The level whose attributes the index keeps the tag with; undefined when it keeps no such attribute. */
export function levelOfAttribute(tag: string): Level | undefined {
  if (tag === MODALITIES_IN_STUDY || tag === SOP_CLASSES_IN_STUDY) return 'study';
  const count = COUNTS[tag];
  if (count) return count.level;
  if (STUDY_LEVEL.has(tag)) return 'study';
  if (SERIES_LEVEL.has(tag)) return 'series';
  return INSTANCE_LEVEL.has(tag) ? 'instance' : undefined;
}

/** Row ids in order, at most `limit`; `more` when the limit cut the list. */
export async function findMatches(
  db: Queryable,
  search: StudySearch,
): Promise<{ ids: number[]; more: boolean }> {
  const { text, values } = searchSql(search);
  const { rows } = await db.query<{ id: number }>(text, values);
  return { ids: rows.slice(0, search.limit).map((row) => row.id), more: rows.length > search.limit };
}

/** The statement findMatches runs: one row more than the limit, to tell whether it cut. Pure. */
export function searchSql(search: StudySearch): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const parameter = (value: unknown): string => `$${values.push(value)}`;
  // A study whose instances a person has moved or set aside keeps its row, and is nothing to be found.
  const conditions: string[] = search.level === 'study' ? ['s.instance_count > 0'] : [];
  if (search.studyUid !== undefined) conditions.push(`s.study_uid = ${parameter(search.studyUid)}`);
  if (search.seriesUid !== undefined) conditions.push(`r.series_uid = ${parameter(search.seriesUid)}`);
  const { combined, rest } = combineDateTimes(search.criteria);
  for (const criterion of rest) conditions.push(condition(criterion, parameter));
  for (const [date, time] of combined) conditions.push(combinedRange(date, time, parameter));
  const where = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`;
  const limit = `limit ${parameter(search.limit + 1)} offset ${parameter(search.offset)}`;
  const text = `select ${ALIAS[search.level]}.id from ${SOURCE[search.level]}${where} order by ${ORDER[search.level]} ${limit}`;
  return { text, values };
}

/** The results of a page of ids, in that order; rows deleted since are left out. */
export async function readFound(
  db: Queryable,
  level: Level,
  ids: readonly number[],
  wants: { sopClassesInStudy: boolean },
): Promise<Found[]> {
  const { rows } = await db.query<FoundRow>(
    `select ${ALIAS[level]}.id, s.study_uid, s.held, s.attributes as study, s.modalities, s.series_count,
       s.instance_count as study_instances
       ${level === 'study' ? '' : ', r.series_uid, r.attributes as series, r.instance_count as series_instances'}
       ${level === 'instance' ? ', i.sop_uid, i.attributes as instance' : ''}
       ${wants.sopClassesInStudy ? `, array(select distinct c.sop_class from instance c join series d on d.id = c.series where d.study = s.id order by 1) as sop_classes` : ''}
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
}

function found(row: FoundRow): Found {
  const attributes: DicomJson = {
    ...row.study,
    ...row.series,
    ...row.instance,
    [MODALITIES_IN_STUDY]: { vr: 'CS', Value: row.modalities },
    '00201206': { vr: 'IS', Value: [row.series_count] },
    '00201208': { vr: 'IS', Value: [row.study_instances] },
    ...(row.held !== null && {
      [HELD_BY]: { vr: 'LO', Value: [HELD_CREATOR] },
      [HELD]: { vr: 'LT', Value: [row.held] },
    }),
    ...(row.sop_classes && { [SOP_CLASSES_IN_STUDY]: { vr: 'UI', Value: row.sop_classes } }),
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

type Parameter = (value: unknown) => string;

function condition(criterion: Criterion, parameter: Parameter): string {
  const { path, match } = criterion;
  const tag = path[0]!;
  if (path.length === 1) {
    if (tag === MODALITIES_IN_STUDY)
      return `exists (select 1 from unnest(s.modalities) m(v) where ${onText('m.v', match, parameter)})`;
    if (tag === SOP_CLASSES_IN_STUDY)
      return `exists (select 1 from instance c join series d on d.id = c.series where d.study = s.id and ${onText('c.sop_class', match, parameter)})`;
    const count = COUNTS[tag];
    if (count && match.kind === 'number') return `${count.column} = ${parameter(match.value)}::numeric`;
    const folded = FOLDED[tag];
    if (folded && (match.kind === 'name' || match.kind === 'text')) return onFolded(folded, match, parameter);
    const column = COLUMNS[tag];
    if (column && match.kind !== 'name' && match.kind !== 'number') return onText(column, match, parameter);
  }
  const level = levelOfAttribute(tag);
  if (level === undefined) throw new Error(`${tag} is not kept in the index`);
  const values = `jsonb_path_query(${ALIAS[level]}.attributes, ${parameter(jsonPath(path, criterion.vr))}::jsonpath) q(v)`;
  const test =
    match.kind === 'number'
      ? `q.v = to_jsonb(${parameter(match.value)}::numeric)`
      : onText(`(q.v #>> '{}')`, match, parameter);
  return `exists (select 1 from ${values} where ${test})`;
}

/** Text as it is kept; names outside the folded columns are compared without regard to case alone. */
function onText(expression: string, match: Match, parameter: Parameter): string {
  switch (match.kind) {
    case 'one-of':
      return match.values.some(hasWildcard)
        ? `${expression} like any(${parameter(match.values.map(likePattern))})`
        : `${expression} = any(${parameter(match.values)})`;
    case 'text':
      return hasWildcard(match.pattern)
        ? `${expression} like ${parameter(likePattern(match.pattern))}`
        : `${expression} = ${parameter(match.pattern)}`;
    case 'name': {
      const pattern = likePattern(match.pattern);
      return `${expression} ilike ${parameter(match.fuzzy ? `%${pattern}%` : pattern)}`;
    }
    case 'number':
      return `${expression} = ${parameter(String(match.value))}`;
    case 'range':
      return onRange(expression, match, parameter);
  }
}

/**
 * Dates and times compare as text in the order of their characters, whatever the database's collation;
 * ":" stands behind every digit, so an end of lower precision includes what it begins. An absent value never matches.
 */
function onRange(expression: string, range: { from: string; to: string }, parameter: Parameter): string {
  const tests = [`${expression} <> ''`];
  if (range.from !== '') tests.push(`${expression} collate "C" >= ${parameter(range.from)}`);
  if (range.to !== '') tests.push(`${expression} collate "C" < ${parameter(`${range.to}:`)}`);
  return `(${tests.join(' and ')})`;
}

/**
 * A folded column holds a name's representations (alphabetic, ideographic, phonetic) one behind the other, so a
 * pattern may also match from or up to a space. Fuzzy: each word of the search begins a word of the name.
 */
function onFolded(
  column: string,
  match: { kind: 'name' | 'text'; pattern: string; fuzzy?: boolean },
  parameter: Parameter,
): string {
  const folded = foldPersonName(match.pattern);
  if (match.fuzzy) {
    const words = folded.split(' ').filter((word) => /[^*?]/.test(word));
    return `(${words.map((word) => `(' ' || ${column}) like ${parameter(`% ${likePattern(word)}%`)}`).join(' and ') || 'true'})`;
  }
  const pattern = likePattern(folded);
  if (match.kind === 'text') return `${column} like ${parameter(pattern)}`;
  const one = parameter(pattern);
  const representations = `s.attributes #> ${parameter(column === 's.referrer' ? '{00080090,Value,0}' : '{00100010,Value,0}')}::text[]`;
  return (
    `(${column} like ${one} or ((${representations}) ?| '{Ideographic,Phonetic}' and ` +
    `(${column} like ${one} || ' %' or ${column} like '% ' || ${one} or ${column} like '% ' || ${one} || ' %')))`
  );
}

/** Combined date-time matching (PS3.4 C.2.2.2.5.4, PS3.18 8.3.4): both a date range and its time's range are given. */
function combineDateTimes(criteria: readonly Criterion[]): {
  combined: (readonly [Criterion, Criterion])[];
  rest: Criterion[];
} {
  const combined: (readonly [Criterion, Criterion])[] = [];
  const taken = new Set<Criterion>();
  for (const date of criteria) {
    if (date.path.length !== 1 || !isSpan(date.match)) continue;
    const time = criteria.find(
      (other) =>
        other.path.length === 1 && other.path[0] === TIME_OF_DATE[date.path[0]!] && isSpan(other.match),
    );
    if (!time) continue;
    combined.push([date, time]);
    taken.add(date).add(time);
  }
  return { combined, rest: criteria.filter((criterion) => !taken.has(criterion)) };
}

/** A range of more than one value; a single date with a range of times needs no combining. */
const isSpan = (match: Match): boolean => match.kind === 'range' && match.from !== match.to;

function combinedRange(date: Criterion, time: Criterion, parameter: Parameter): string {
  if (date.match.kind !== 'range' || time.match.kind !== 'range') throw new Error('combined without ranges');
  const expression = `(${rootText(date.path[0]!)} || ${rootText(time.path[0]!)})`;
  const from = date.match.from === '' ? '' : date.match.from + time.match.from;
  const to = date.match.to === '' ? '' : date.match.to + time.match.to;
  return `(${rootText(date.path[0]!)} <> '' and ${onRange(expression, { from, to }, parameter)})`;
}

function rootText(tag: string): string {
  const column = COLUMNS[tag];
  if (column) return column;
  const level = levelOfAttribute(tag);
  if (level === undefined) throw new Error(`${tag} is not kept in the index`);
  return `coalesce(${ALIAS[level]}.attributes #>> '{${tag},Value,0}', '')`;
}

/** Tags are hex digits by the time they come here; nothing else of a request enters the path. */
function jsonPath(path: readonly string[], vr: string): string {
  if (!path.every((tag) => /^[0-9A-F]{8}$/.test(tag))) throw new Error('a path is made of tags');
  return `$${path.map((tag) => `."${tag}".Value[*]`).join('')}${vr === 'PN' ? '.*' : ''}`;
}

const hasWildcard = (text: string): boolean => /[*?]/.test(text);

/** DICOM's wildcards as LIKE's, and LIKE's own characters as themselves. */
function likePattern(text: string): string {
  return text
    .replace(/[\\%_]/g, '\\$&')
    .replace(/\*+/g, '%')
    .replaceAll('?', '_');
}
