/**
 * The conditions of a search (find-studies.ts) in SQL: which criterion is matched where and how. Pure; every value of a
 * request is a parameter. What an attribute's column is, and how text, names and dates are matched, stands beside it.
 */
import { foldPersonName } from '../dicom/person-name.ts';
import type { Criterion, Match, StudySearch } from './find-studies.ts';
import { shortened } from './indexed-attributes.ts';
import {
  type Asking,
  attributesOf,
  COUNTS,
  column,
  columnOf,
  depthOf,
  type Joined,
  LEVELS,
  MODALITIES_IN_STUDY,
  MODALITY,
  type NameColumn,
  type Parameter,
  SOP_CLASSES_IN_STUDY,
} from './match-columns.ts';
import { dateAndTime, datePairs, onMoment } from './match-dates.ts';
import { onNames, patientName, referrer } from './match-names.ts';
import { hasWildcard, onText } from './match-text.ts';

export const PATIENT_NAME = '00100010';
export const STUDY_DATE = '00080020';
const REFERRER = '00080090';
/** Its column holds text folded by foldPersonName, so that a search folds alike. */
const DESCRIPTION = '00081030';

/**
 * The conditions of the search's criteria. A criterion of a lower level holds where one series, or instance, below
 * meets all criteria of that kind.
 */
export function conditionsOf(
  search: StudySearch,
  parameter: Parameter,
  joined: Joined,
  nameColumn?: NameColumn,
): string[] {
  const asking: Asking = { search, parameter, joined, nameColumn };
  const criteria = withModalities(search);
  const depth = LEVELS.indexOf(search.level);
  const here = criteria.filter((one) => depthOf(one) <= depth);
  const below = criteria.filter((one) => depthOf(one) > depth);
  const conditions: string[] = [];
  const modality = modalityOf(search);
  if (modality !== undefined) {
    joined.add('m');
    conditions.push(`m.modality = ${parameter(modality)}`);
  }
  conditions.push(
    ...statements(
      here.filter((one) => modality === undefined || !isOneModality(one)),
      asking,
    ),
  );
  if (below.length > 0) conditions.push(someBelow(below, asking));
  return conditions;
}

/** The one modality by which studies are read from study_modality, if the search has one. */
export function modalityOf(search: StudySearch): string | undefined {
  const match = namesOne(search) ? undefined : withModalities(search).find(isOneModality)?.match;
  return match?.kind === 'one-of' ? match.values[0] : undefined;
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
    if (tag === REFERRER) return referrer(match, asking);
    if (tag === DESCRIPTION) return onText(column('description', asking), folded(match), parameter);
    const kept = columnOf(tag, asking);
    if (kept !== undefined) return onText(kept, asKept(match), parameter);
  }
  // What the attribute's values are called below, or with `last` a part of each.
  const values = (last: string): string =>
    `jsonb_path_query(${attributesOf(tag, asking)}, ${parameter(jsonPath(path, last))}::jsonpath) q(v)`;
  switch (match.kind) {
    case 'empty':
      return `not exists (select 1 from ${values(vr === 'PN' ? '.*' : '')} where q.v #>> '{}' <> '')`;
    case 'number':
      return `exists (select 1 from ${values('')} where q.v = any(${parameter(match.values.map(String))}::jsonb[]))`;
    case 'moments':
      return `exists (select 1 from ${values('')} where ${onMoment(match, asking)})`;
    case 'name':
      return onNames(values, match, parameter);
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

/** A column has no more of a value than an index takes. */
const asKept = (match: Match): Match =>
  match.kind === 'one-of'
    ? { ...match, values: match.values.map((value) => (hasWildcard(value) ? value : shortened(value))) }
    : match;

const folded = (match: Match): Match =>
  match.kind === 'one-of' ? { ...match, values: match.values.map(foldPersonName) } : match;

/** Tags are hex digits by the time they come here; nothing else of a request enters the path. */
function jsonPath(path: readonly string[], last: string): string {
  if (!path.every((tag) => /^[0-9A-F]{8}$/.test(tag))) throw new Error('a path is made of tags');
  return `$${path.map((tag) => `."${tag}".Value[*]`).join('')}${last}`;
}
