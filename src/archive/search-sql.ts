/**
 * The statements of searches for studies, series and instances (find-studies.ts): the rows in the order of answers, a few
 * of them found first and sorted then, or the newest ones looked through. Pure; every value of a request is a parameter.
 */
import type { Level, StudySearch } from './find-studies.ts';
import { type Joined, NAME_COLUMNS, type NameColumn, type Parameter } from './match-columns.ts';
import { isOfAnyRepresentation } from './match-names.ts';
import { conditionsOf, modalityOf, PATIENT_NAME, STUDY_DATE } from './match-sql.ts';
import { onRange } from './match-text.ts';

export interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

const TABLE = { m: 'study_modality', k: 'study_key' } as const;
const ID = { series: 'r.id', instance: 'i.id' } as const;

interface Parts {
  readonly id: string;
  /** The table that gives the order. */
  readonly first: 'm' | 'k';
  readonly joined: Joined;
  readonly where: string;
}

/** One row more than the limit, to tell whether it cut. */
export function searchSql(
  search: StudySearch,
  order: 'newest first' | 'any order' = 'newest first',
): Statement {
  const values: unknown[] = [];
  const parameter: Parameter = (value) => `$${values.push(value)}`;
  const { id, first, joined, where } = partsOf(search, parameter);
  const by = order === 'any order' ? '' : ` order by ${orderOf(search.level, first)}`;
  const text = `select ${id} as id from ${source(search.level, joined)} ${where}${by} ${limitOf(search, parameter)}`;
  return { text, values };
}

/** The same among the newest `most` studies that have the search's date and modality. */
export function newestSql(search: StudySearch, most: number): Statement {
  const values: unknown[] = [];
  const parameter: Parameter = (value) => `$${values.push(value)}`;
  const { id, first, joined, where } = partsOf(search, parameter);
  const within: string[] = [];
  for (const { path, match } of search.criteria) {
    // What a zone makes of a date is no matter of this column alone.
    if (path.length > 1 || path[0] !== STUDY_DATE || match.kind !== 'range' || search.zone !== undefined)
      continue;
    within.push(onRange(`${first}.study_date`, match, parameter));
  }
  const modality = modalityOf(search);
  if (modality !== undefined) within.push(`m.modality = ${parameter(modality)}`);
  if (search.upTo !== undefined) within.push(`${first}.study <= ${parameter(search.upTo)}`);
  const newestOnes = `(select * from ${TABLE[first]} ${first} ${whereAll(within)} order by ${newest(first)} limit ${most})`;
  const text = `select ${id} as id from ${source(search.level, joined, newestOnes)} ${where} order by ${newest(first)} ${limitOf(search, parameter)}`;
  return { text, values };
}

/** The same of `most` studies and one, which are found in any order and then sorted. Their number is `total`. */
export function fewSql(search: StudySearch, most: number): Statement {
  const values: unknown[] = [];
  const parameter: Parameter = (value) => `$${values.push(value)}`;
  // Each representation's own index has the order of answers, too; what may match any of them is asked of one by one.
  const ofAny = search.criteria.some(
    ({ path, match }) => path.length === 1 && path[0] === PATIENT_NAME && isOfAnyRepresentation(match),
  );
  const found = (ofAny ? NAME_COLUMNS : [undefined]).map((nameColumn) => {
    const { first, joined, where } = partsOf(search, parameter, nameColumn);
    // The limit within keeps the order out of how the studies are found.
    return `(select ${first}.study, ${first}.study_date, ${first}.study_time
      from ${source(search.level, joined)} ${where} limit ${most + 1})`;
  });
  const text = `select few.study as id, count(*) over () as total from (${found.join(' union ')}) few
    order by ${newest('few')} ${limitOf(search, parameter)}`;
  return { text, values };
}

function partsOf(search: StudySearch, parameter: Parameter, nameColumn?: NameColumn): Parts {
  const joined: Joined = new Set();
  const conditions: string[] = [];
  if (search.studyUid !== undefined) {
    joined.add('s');
    conditions.push(`s.study_uid = ${parameter(search.studyUid)}`);
  }
  if (search.seriesUid !== undefined) conditions.push(`r.series_uid = ${parameter(search.seriesUid)}`);
  conditions.push(...conditionsOf(search, parameter, joined, nameColumn));
  const { level, upTo } = search;
  const first = joined.has('m') ? 'm' : 'k';
  const id = level === 'study' ? `${first}.study` : ID[level];
  if (upTo !== undefined) conditions.push(`${id} <= ${parameter(upTo)}`);
  return { id, first, joined, where: whereAll(conditions) };
}

const whereAll = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;

const limitOf = ({ limit, offset }: StudySearch, parameter: Parameter): string =>
  `limit ${parameter(limit + 1)} offset ${parameter(offset)}`;

/** Newest study first, as a reading list wants it; the ids make the order one order. */
function orderOf(level: Level, first: 'm' | 'k'): string {
  const study = newest(first);
  if (level === 'study') return study;
  return level === 'series' ? `${study}, r.number, r.id` : `${study}, r.number, r.id, i.number, i.id`;
}

const newest = (table: string): string =>
  `${table}.study_date desc, ${table}.study_time desc, ${table}.study desc`;

/**
 * Studies are read in the order of answers: those of one modality from study_modality, others from study_key.
 * @param studies SQL to read them from instead
 */
function source(level: Level, joined: Joined, studies?: string): string {
  const first = joined.has('m') ? 'm' : 'k';
  let from = `${studies ?? TABLE[first]} ${first}`;
  // All columns of its key, so that a study found by another criterion finds its modality at once.
  if (first === 'm' && joined.has('k'))
    from +=
      ' join study_key k on k.study = m.study and k.study_date = m.study_date and k.study_time = m.study_time';
  if (joined.has('s')) from += ` join study s on s.id = ${first}.study`;
  if (level !== 'study') from += ` join series r on r.study = ${first}.study`;
  return level === 'instance' ? `${from} join instance i on i.series = r.id` : from;
}
