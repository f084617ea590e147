/**
 * Finds studies, series and instances in the index: a checked search becomes SQL with every value a parameter.
 * Called by QIDO (dicomweb/qido.ts), later by C-FIND. A search gives row ids first, so that its count and its order
 * are settled before the first result leaves; found-attributes.ts then reads the results page by page.
 */
import type { Queryable } from './database/database.ts';
import {
  isColumnOfText,
  type Joined,
  NAME_COLUMNS,
  type NameColumn,
  type Parameter,
} from './match-columns.ts';
import { isOfAnyRepresentation } from './match-names.ts';
import { conditionsOf, PATIENT_NAME } from './match-sql.ts';
import { hasWildcard } from './match-text.ts';

export type Level = 'study' | 'series' | 'instance';

/** What a value must be (PS3.4 C.2.2.2). Universal matching makes no criterion. */
export type Match =
  /** `*` any text, `?` one character, but in UIDs. */
  | { readonly kind: 'one-of'; readonly values: readonly string[] }
  /** A person's name (PS3.5 6.2.1), representations parted by "=". */
  | { readonly kind: 'name'; readonly pattern: string; readonly fuzzy: boolean }
  | { readonly kind: 'number'; readonly values: readonly number[] }
  /** Both ends included; an end of lower precision includes all it begins. */
  | { readonly kind: 'range'; readonly from: string; readonly to: string }
  /** Microseconds since 1970; values without an offset are of their object's zone, or else of `zone`. */
  | {
      readonly kind: 'moments';
      readonly from: string | undefined;
      readonly before: string | undefined;
      readonly zone: string | undefined;
    }
  /** Absent, or without value (PS3.4 C.2.2.2.7). */
  | { readonly kind: 'empty' };

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
  /** &ZZXX: where the dates and times of the criteria are meant (PS3.4 C.2.2.2.5). */
  readonly zone?: string | undefined;
  readonly limit: number;
  readonly offset: number;
  /** Rows that came later are left out: newestId when the first page was asked for. */
  readonly upTo?: number | undefined;
}

/** How many more there are is counted up to this; beyond it is "more than". */
export const COUNTED = 500;

const TABLE: Readonly<Record<Level, string>> = { study: 'study_key', series: 'series', instance: 'instance' };
const ID = { series: 'r.id', instance: 'i.id' } as const;

/**
 * So many studies of a name, or of a part of a text, are sorted sooner than the index of dates is read until enough of
 * them were met. Postgres cannot tell beforehand how many there are.
 */
const FEW = 8000;

export interface Matches {
  /** Row ids in order, at most `limit`. */
  readonly ids: number[];
  /** How many stand behind them: known, or "some", for countRemaining to count. */
  readonly remaining: number | 'some';
}

export async function findMatches(db: Queryable, search: StudySearch): Promise<Matches> {
  const few = isByPattern(search) ? await findFew(db, search) : undefined;
  if (few) return few;
  const { text, values } = searchSql(search);
  const { rows } = await db.query<{ id: number }>(text, values);
  const ids = rows.map(({ id }) => id);
  return { ids: ids.slice(0, search.limit), remaining: ids.length > search.limit ? 'some' : 0 };
}

/** undefined when they are more than a few. */
async function findFew(db: Queryable, search: StudySearch): Promise<Matches | undefined> {
  if (search.offset > FEW) return undefined;
  const { text, values } = fewSql(search);
  const { rows } = await db.query<{ id: number; total: number }>(text, values);
  const total = rows[0]?.total ?? 0;
  if (total > FEW) return undefined;
  return {
    ids: rows.slice(0, search.limit).map(({ id }) => id),
    remaining: Math.max(0, total - search.offset - search.limit),
  };
}

const isByPattern = ({ level, criteria }: StudySearch): boolean =>
  level === 'study' &&
  criteria.some(
    ({ path, match }) =>
      path.length === 1 &&
      (match.kind === 'name' ||
        (isColumnOfText(path[0]!) && match.kind === 'one-of' && match.values.some(hasWildcard))),
  );

/** How many matches stand behind those of findMatches; COUNTED + 1 for more than COUNTED. */
export async function countRemaining(db: Queryable, search: StudySearch): Promise<number> {
  const before = search.offset + search.limit;
  const { text, values } = searchSql({ ...search, offset: 0, limit: before + COUNTED }, 'any order');
  const { rows } = await db.query<{ count: number }>(`select count(*) as count from (${text}) found`, values);
  return Math.max(0, rows[0]!.count - before);
}

/** The id of the newest row of the level, which no row that comes later can have. */
export async function newestId(db: Queryable, level: Level): Promise<number> {
  const id = level === 'study' ? 'study' : 'id';
  const { rows } = await db.query<{ id: number }>(
    `select coalesce(max(${id}), 0) as id from ${TABLE[level]}`,
  );
  return rows[0]!.id;
}

interface Parts {
  readonly id: string;
  /** The table that gives the order. */
  readonly first: 'm' | 'k';
  /** From FROM to the end of WHERE. */
  readonly from: string;
}

/** The statement of a search: one row more than the limit, to tell whether it cut. Pure. */
export function searchSql(
  search: StudySearch,
  order: 'newest first' | 'any order' = 'newest first',
): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const parameter: Parameter = (value) => `$${values.push(value)}`;
  const { id, first, from } = partsOf(search, parameter);
  const by = order === 'any order' ? '' : ` order by ${orderOf(search.level, first)}`;
  const text = `select ${id} as id ${from}${by} ${limitOf(search, parameter)}`;
  return { text, values };
}

/** The same of a few studies, which are found in any order and then sorted. Their number is `total`. Pure. */
function fewSql(search: StudySearch): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const parameter: Parameter = (value) => `$${values.push(value)}`;
  // Each representation's own index has the order of answers, too; what may match any of them is asked of one by one.
  const ofAny = search.criteria.some(
    ({ path, match }) => path.length === 1 && path[0] === PATIENT_NAME && isOfAnyRepresentation(match),
  );
  const found = (ofAny ? NAME_COLUMNS : [undefined]).map((nameColumn) => {
    const { first, from } = partsOf(search, parameter, nameColumn);
    // The limit within keeps the order out of how the studies are found.
    return `(select ${first}.study, ${first}.study_date, ${first}.study_time ${from} limit ${FEW + 1})`;
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
  const where = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`;
  return { id, first, from: `from ${source(level, joined)}${where}` };
}

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

/** Studies are read in the order of answers: those of one modality from study_modality, others from study_key. */
function source(level: Level, joined: Joined): string {
  const first = joined.has('m') ? 'm' : 'k';
  let from = first === 'm' ? 'study_modality m' : 'study_key k';
  // All columns of its key, so that a study found by another criterion finds its modality at once.
  if (first === 'm' && joined.has('k'))
    from +=
      ' join study_key k on k.study = m.study and k.study_date = m.study_date and k.study_time = m.study_time';
  if (joined.has('s')) from += ` join study s on s.id = ${first}.study`;
  if (level !== 'study') from += ` join series r on r.study = ${first}.study`;
  return level === 'instance' ? `${from} join instance i on i.series = r.id` : from;
}
