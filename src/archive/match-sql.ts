/**
 * The conditions of a search (find-studies.ts) in SQL, by where the index keeps each attribute: in a column of study_key
 * (0008_qido.sql), in one of series or instance, or in the attributes of a row as DICOM JSON. Pure; every value of a
 * request is a parameter.
 */
import { foldPersonName, searchedWords } from '../dicom/person-name.ts';
import type { Criterion, Level, Match, StudySearch } from './find-studies.ts';
import { INSTANCE_LEVEL, SERIES_LEVEL, STUDY_LEVEL } from './indexed-attributes.ts';

/** Tables a search reads beside that of its level: study_key, study, study_modality. */
export type Joined = Set<'k' | 's' | 'm'>;
export type Parameter = (value: unknown) => string;

const MODALITY = '00080060';
const MODALITIES_IN_STUDY = '00080061';
const SOP_CLASSES_IN_STUDY = '00080062';
const PATIENT_NAME = '00100010';
const COUNTS: Readonly<Record<string, { level: Level; column: string }>> = {
  '00201206': { level: 'study', column: 's.series_count' },
  '00201208': { level: 'study', column: 's.instance_count' },
  '00201209': { level: 'series', column: 'r.instance_count' },
};
const COLUMNS: Readonly<Record<string, string>> = {
  '0020000D': 's.study_uid',
  '00100020': 'k.patient_id',
  '00100021': 'k.issuer',
  '00100030': 'k.birth_date',
  '00080050': 'k.accession_number',
  '00080020': 'k.study_date',
  '00080030': 'k.study_time',
  '00200010': 'k.study_id',
  '0020000E': 'r.series_uid',
  [MODALITY]: 'r.modality',
  '00080018': 'i.sop_uid',
  '00080016': 'i.sop_class',
};
/** Columns that hold text folded by foldPersonName, so that a search folds alike. */
const DESCRIPTION = '00081030';
const REFERRER = '00080090';
/** The time that goes with a date (PS3.4 C.2.2.2.5.4). */
const TIME_OF_DATE: Readonly<Record<string, string>> = {
  '00080020': '00080030',
  '00080021': '00080031',
  '00080012': '00080013',
  '00080022': '00080032',
  '00080023': '00080033',
  '00100030': '00100032',
  '00400244': '00400245',
  '00700082': '00700083',
};
const LEVELS: readonly Level[] = ['study', 'series', 'instance'];
const ALIAS: Readonly<Record<Level, string>> = { study: 's', series: 'r', instance: 'i' };
const NAME_COLUMNS = ['k.name_alphabetic', 'k.name_ideographic', 'k.name_phonetic'] as const;
const REPRESENTATIONS = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;

/** The level whose attributes the index keeps the tag with; undefined when it keeps no such attribute. */
export function levelOfAttribute(tag: string): Level | undefined {
  if (tag === MODALITIES_IN_STUDY || tag === SOP_CLASSES_IN_STUDY) return 'study';
  const count = COUNTS[tag];
  if (count) return count.level;
  if (STUDY_LEVEL.has(tag)) return 'study';
  if (SERIES_LEVEL.has(tag)) return 'series';
  return INSTANCE_LEVEL.has(tag) ? 'instance' : undefined;
}

/** What the statements of one search share. */
interface Asking {
  readonly search: StudySearch;
  readonly parameter: Parameter;
  readonly joined: Joined;
}

/**
 * The conditions of the search's criteria. A criterion of a lower level holds where one series, or instance, below
 * meets all criteria of that kind.
 */
export function conditionsOf(search: StudySearch, parameter: Parameter, joined: Joined): string[] {
  const asking: Asking = { search, parameter, joined };
  const criteria = withModalities(search);
  const depth = LEVELS.indexOf(search.level);
  const here = criteria.filter((one) => depthOf(one) <= depth);
  const below = criteria.filter((one) => depthOf(one) > depth);
  const conditions: string[] = [];
  const modality = namesOne(search) ? undefined : here.find(isOneModality);
  if (modality?.match.kind === 'one-of') {
    joined.add('m');
    conditions.push(`m.modality = ${parameter(modality.match.values[0])}`);
  }
  conditions.push(
    ...statements(
      here.filter((one) => one !== modality),
      asking,
    ),
  );
  if (below.length > 0) conditions.push(someBelow(below, asking));
  return conditions;
}

/** A series of a modality stands in a study that has it, which the index finds sooner. */
function withModalities(search: StudySearch): readonly Criterion[] {
  const { criteria } = search;
  if (namesOne(search)) return criteria;
  const modality = criteria.find(
    ({ path, match }) => path.length === 1 && path[0] === MODALITY && isPlain(match),
  );
  if (!modality || criteria.some(({ path }) => path[0] === MODALITIES_IN_STUDY)) return criteria;
  return [...criteria, { ...modality, path: [MODALITIES_IN_STUDY] }];
}

/** A UID finds its few rows sooner than any modality does. */
const namesOne = ({ studyUid, seriesUid, criteria }: StudySearch): boolean =>
  studyUid !== undefined ||
  seriesUid !== undefined ||
  criteria.some(({ path, vr }) => path.length === 1 && vr === 'UI' && path[0] !== SOP_CLASSES_IN_STUDY);

const isPlain = (match: Match): boolean =>
  match.kind === 'one-of' && !match.values.some((value) => hasWildcard(value));

const isOneModality = ({ path, match }: Criterion): boolean =>
  path[0] === MODALITIES_IN_STUDY && match.kind === 'one-of' && match.values.length === 1 && isPlain(match);

function depthOf({ path }: Criterion): number {
  const level = levelOfAttribute(path[0]!);
  if (level === undefined) throw new Error(`${path[0]} is not kept in the index`);
  return LEVELS.indexOf(level);
}

function someBelow(below: readonly Criterion[], asking: Asking): string {
  const instances = below.some((one) => depthOf(one) === LEVELS.indexOf('instance'));
  const where = statements(below, asking).join(' and ');
  if (asking.search.level === 'series')
    return `exists (select 1 from instance i where i.series = r.id and ${where})`;
  const source = instances ? 'series r join instance i on i.series = r.id' : 'series r';
  return `exists (select 1 from ${source} where r.study = ${column('study', asking)} and ${where})`;
}

function statements(criteria: readonly Criterion[], asking: Asking): string[] {
  const pairs = datePairs(criteria, asking.search.zone !== undefined);
  const paired = new Set(pairs.flat());
  return [
    ...criteria.filter((one) => !paired.has(one)).map((one) => statement(one, asking)),
    ...pairs.map(([date, time]) => dateAndTime(date, time, asking)),
  ];
}

/** The column of study_key in this search; naming it joins its table. */
function column(name: string, { joined }: Asking): string {
  if (joined.has('m') && ['study', 'study_date', 'study_time'].includes(name)) return `m.${name}`;
  joined.add('k');
  return `k.${name}`;
}

function attributesOf(tag: string, { joined }: Asking): string {
  const level = levelOfAttribute(tag);
  if (level === undefined) throw new Error(`${tag} is not kept in the index`);
  if (level === 'study') joined.add('s');
  return `${ALIAS[level]}.attributes`;
}

/** The column that holds the root attribute as it is, if there is one. */
function columnOf(tag: string, asking: Asking): string | undefined {
  const kept = COLUMNS[tag];
  if (kept?.startsWith('k.')) return column(kept.slice(2), asking);
  if (kept?.startsWith('s.')) asking.joined.add('s');
  return kept;
}

function statement({ path, vr, match }: Criterion, asking: Asking): string {
  const { parameter, joined } = asking;
  const tag = path[0]!;
  if (path.length === 1) {
    if (tag === MODALITIES_IN_STUDY) return modalities(match, asking);
    if (tag === SOP_CLASSES_IN_STUDY)
      return `exists (select 1 from instance c join series d on d.id = c.series where d.study = ${column('study', asking)} and ${onText('c.sop_class', match, parameter)})`;
    const count = COUNTS[tag];
    if (count) {
      if (count.level === 'study') joined.add('s');
      return match.kind === 'number'
        ? `${count.column} = any(${parameter(match.values)}::numeric[])`
        : 'false';
    }
    if (tag === PATIENT_NAME) return patientName(match, asking);
    if (tag === REFERRER)
      return onRepresentations(`string_to_array(${column('referrer', asking)}, '=')`, match, parameter);
    if (tag === DESCRIPTION) return onText(column('description', asking), folded(match), parameter);
    const kept = columnOf(tag, asking);
    if (kept !== undefined) return onText(kept, match, parameter);
  }
  const values = (last: string): string =>
    `jsonb_path_query(${attributesOf(tag, asking)}, ${parameter(jsonPath(path, last))}::jsonpath) q(v)`;
  switch (match.kind) {
    case 'empty':
      return `not exists (select 1 from ${values(vr === 'PN' ? '.*' : '')} where q.v #>> '{}' <> '')`;
    case 'number':
      return `exists (select 1 from ${values('')} where q.v = any(${parameter(match.values.map(String))}::jsonb[]))`;
    case 'moments':
      return `exists (select 1 from ${values('')} where ${onMoment(match, asking)})`;
    case 'name': {
      const groups = match.fuzzy ? [match.pattern] : match.pattern.split('=').slice(0, 3);
      const tests = groups.flatMap((group, index) => {
        if (group.trim() === '') return [];
        const where = groups.length === 1 ? '.*' : `.${REPRESENTATIONS[index]}`;
        return [
          `exists (select 1 from ${values(where)} where ${onFoldedName(group, match.fuzzy, parameter)})`,
        ];
      });
      return tests.length === 0 ? 'true' : `(${tests.join(' and ')})`;
    }
    case 'range':
      // An offset is no part of what is written there.
      return `exists (select 1 from ${values('')} where ${onText(vr === 'DT' ? `regexp_replace(q.v #>> '{}', '[-+]\\d{4}$', '')` : `(q.v #>> '{}')`, match, parameter)})`;
    case 'one-of':
      return `exists (select 1 from ${values('')} where ${onText(`(q.v #>> '{}')`, match, parameter)})`;
  }
}

function modalities(match: Match, asking: Asking): string {
  const { parameter } = asking;
  const list = column('modalities', asking);
  if (match.kind === 'empty') return `${list} = '{}'`;
  if (match.kind === 'one-of' && isPlain(match)) return `${list} && ${parameter(match.values)}::text[]`;
  return `exists (select 1 from unnest(${list}) l(v) where ${onText('l.v', match, parameter)})`;
}

/**
 * Without "=" the pattern is that of any of the three representations. Fuzzy: each word of the search begins a word of
 * the name, in any order and representation.
 */
function patientName(match: Match, asking: Asking): string {
  const { parameter } = asking;
  column('name_words', asking);
  if (match.kind === 'empty') return `(${NAME_COLUMNS.map((name) => `${name} is null`).join(' and ')})`;
  if (match.kind !== 'name') throw new Error('a name is matched by a name');
  const words = match.fuzzy ? searchedWords(match.pattern) : [];
  if (words.length > 0)
    return `k.name_words @@ ${parameter(words.map((word) => `'${word}':*`).join(' & '))}::tsquery`;
  const groups = match.pattern.split('=').slice(0, 3);
  if (groups.length === 1) {
    const pattern = parameter(likePattern(foldPersonName(groups[0]!)));
    return `(${NAME_COLUMNS.map((name) => `${name} like ${pattern}`).join(' or ')})`;
  }
  const tests = groups.flatMap((group, index) =>
    group.trim() === ''
      ? []
      : [`${NAME_COLUMNS[index]} like ${parameter(likePattern(foldPersonName(group)))}`],
  );
  return tests.length === 0 ? 'true' : `(${tests.join(' and ')})`;
}

/** @param list SQL of an array of folded representations */
function onRepresentations(list: string, match: Match, parameter: Parameter): string {
  if (match.kind === 'empty') return `${list} = '{}'`;
  if (match.kind !== 'name') throw new Error('a name is matched by a name');
  const words = match.fuzzy ? searchedWords(match.pattern) : [];
  if (words.length > 0)
    return `(${words.map((word) => `array_to_string(${list}, ' ') ~ ${parameter(`(^|[-=''., ])${word}`)}`).join(' and ')})`;
  const groups = match.pattern.split('=').slice(0, 3);
  const tests = groups.flatMap((group, index) => {
    if (group.trim() === '') return [];
    const pattern = parameter(likePattern(foldPersonName(group)));
    return groups.length === 1
      ? [`exists (select 1 from unnest(${list}) g(v) where g.v like ${pattern})`]
      : [`(${list})[${index + 1}] like ${pattern}`];
  });
  return tests.length === 0 ? 'true' : `(${tests.join(' and ')})`;
}

/** A representation in a row's attributes, folded by Postgres. */
function onFoldedName(group: string, fuzzy: boolean, parameter: Parameter): string {
  const name = `folded_name(q.v #>> '{}')`;
  const words = fuzzy ? searchedWords(group) : [];
  if (words.length > 0)
    return `(${words.map((word) => `${name} ~ ${parameter(`(^|[-''., ])${word.normalize('NFKD')}`)}`).join(' and ')})`;
  return `${name} like ${parameter(likePattern(foldPersonName(group).normalize('NFKD')))}`;
}

/** Text as it is kept. */
function onText(expression: string, match: Match, parameter: Parameter): string {
  switch (match.kind) {
    case 'one-of': {
      const tests: string[] = [];
      const exact = match.values.filter((value) => !hasWildcard(value));
      const patterns = match.values.filter(hasWildcard).map(likePattern);
      if (exact.length === 1) tests.push(`${expression} = ${parameter(exact[0])}`);
      if (exact.length > 1) tests.push(`${expression} = any(${parameter(exact)})`);
      tests.push(...patterns.map((pattern) => `${expression} like ${parameter(pattern)}`));
      return tests.length === 1 ? tests[0]! : `(${tests.join(' or ')})`;
    }
    case 'range':
      return onRange(expression, match, parameter);
    case 'empty':
      return `${expression} = ''`;
    default:
      throw new Error(`no text is matched by ${match.kind}`);
  }
}

const folded = (match: Match): Match =>
  match.kind === 'one-of' ? { ...match, values: match.values.map(foldPersonName) } : match;

/**
 * Dates and times compare as text in the order of their characters, whatever the database's collation;
 * ":" stands behind every digit, so an end of lower precision includes what it begins. An absent value never matches.
 */
function onRange(expression: string, range: { from: string; to: string }, parameter: Parameter): string {
  const tests = [
    range.from === '' ? `${expression} <> ''` : `${expression} collate "C" >= ${parameter(range.from)}`,
  ];
  if (range.to !== '') tests.push(`${expression} collate "C" < ${parameter(`${range.to}:`)}`);
  return `(${tests.join(' and ')})`;
}

/** A value without offset is of its object's zone, or else of the search's. */
function onMoment(match: Match & { kind: 'moments' }, { parameter, joined }: Asking): string {
  joined.add('s');
  const zone = `coalesce(s.attributes #>> '{00080201,Value,0}', ${parameter(match.zone ?? null)}::text)`;
  const moment = `utc_moment(q.v #>> '{}', ${zone})`;
  const at = (microseconds: string): string =>
    `timestamp '1970-01-01' + ${parameter(microseconds)}::float8 * interval '1 microsecond'`;
  const tests: string[] = [];
  if (match.from !== undefined) tests.push(`${moment} >= ${at(match.from)}`);
  if (match.before !== undefined) tests.push(`${moment} < ${at(match.before)}`);
  return tests.join(' and ');
}

type DatePair = readonly [date: Criterion, time: Criterion | undefined];

/**
 * Dates that are matched together with their times: where both are ranges (combined date-time matching, PS3.4
 * C.2.2.2.5.4), and where the search says a zone, in which a moment may have another date.
 */
function datePairs(criteria: readonly Criterion[], zoned: boolean): DatePair[] {
  const ranged = criteria.filter(({ path, match }) => path.length === 1 && match.kind === 'range');
  return ranged.flatMap((date): DatePair[] => {
    const timeTag = TIME_OF_DATE[date.path[0]!];
    if (timeTag === undefined) return [];
    const time = ranged.find(({ path }) => path[0] === timeTag);
    if (zoned) return [[date, time]];
    return time && isSpan(date.match) && isSpan(time.match) ? [[date, time]] : [];
  });
}

/** A range of more than one value; a single date with a range of times needs no combining. */
const isSpan = (match: Match): boolean => match.kind === 'range' && match.from !== match.to;

function dateAndTime(date: Criterion, time: Criterion | undefined, asking: Asking): string {
  if (date.match.kind !== 'range') throw new Error('a date is matched by a range');
  const { parameter, joined } = asking;
  const { zone } = asking.search;
  const dateTag = date.path[0]!;
  const dateText = rootText(dateTag, asking);
  const timeText = rootText(TIME_OF_DATE[dateTag]!, asking);
  let whole = `(${dateText} || ${timeText})`;
  // A moment's date differs by a day at most: the index of dates is still of use.
  const days = zone === undefined ? 0 : 1;
  const near = { from: daysFrom(date.match.from, -days), to: daysFrom(date.match.to, days) };
  if (zone !== undefined) {
    joined.add('s');
    whole = `in_zone(${dateText}, ${timeText}, s.attributes #>> '{00080201,Value,0}', ${parameter(zone)})`;
  }
  const tests = [onRange(dateText, near, parameter)];
  if (time?.match.kind === 'range' && isSpan(date.match) && isSpan(time.match)) {
    const from = date.match.from === '' ? '' : date.match.from + time.match.from;
    const to = date.match.to === '' ? '' : date.match.to + time.match.to;
    tests.push(onRange(whole, { from, to }, parameter));
  } else {
    tests.push(onRange(`left(${whole}, 8)`, date.match, parameter));
    if (time) tests.push(onText(`substr(${whole}, 9)`, time.match, parameter));
  }
  return `(${tests.join(' and ')})`;
}

/** YYYYMMDD so many days later; '' stays. */
function daysFrom(date: string, days: number): string {
  if (date === '' || days === 0) return date;
  const at = Date.UTC(
    Number(date.slice(0, 4)),
    Number(date.slice(4, 6)) - 1,
    Number(date.slice(6, 8)) + days,
  );
  return new Date(at).toISOString().slice(0, 10).replaceAll('-', '');
}

function rootText(tag: string, asking: Asking): string {
  return columnOf(tag, asking) ?? `coalesce(${attributesOf(tag, asking)} #>> '{${tag},Value,0}', '')`;
}

/** Tags are hex digits by the time they come here; nothing else of a request enters the path. */
function jsonPath(path: readonly string[], last: string): string {
  if (!path.every((tag) => /^[0-9A-F]{8}$/.test(tag))) throw new Error('a path is made of tags');
  return `$${path.map((tag) => `."${tag}".Value[*]`).join('')}${last}`;
}

const hasWildcard = (text: string): boolean => /[*?]/.test(text);

/** DICOM's wildcards as LIKE's, and LIKE's own characters as themselves. */
function likePattern(text: string): string {
  return text
    .replace(/[\\%_]/g, '\\$&')
    .replace(/\*+/g, '%')
    .replaceAll('?', '_');
}
