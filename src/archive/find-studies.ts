/**
 * Finds studies, series and instances in the index: a checked search becomes SQL with every value a parameter.
 * Called by QIDO (dicomweb/qido.ts), later by C-FIND. A search gives row ids first, so that its count and its order
 * are settled before the first result leaves; found-attributes.ts then reads the results page by page.
 */
import type { Queryable } from './database/database.ts';
import type { Joined } from './match-columns.ts';
import { conditionsOf } from './match-sql.ts';

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
 * So many studies of a name are sorted sooner than the index of dates is read until enough of them were met. Postgres
 * cannot tell beforehand how many there are.
 */
const FEW = 8000;

export interface Matches {
  /** Row ids in order, at most `limit`. */
  readonly ids: number[];
  /** How many stand behind them: known, or "some", for countRemaining to count. */
  readonly remaining: number | 'some';
}

export async function findMatches(db: Queryable, search: StudySearch): Promise<Matches> {
  const few = isByName(search) ? await findFew(db, search) : undefined;
  if (few) return few;
  const { text, values } = searchSql(search);
  const { rows } = await db.query<{ id: number }>(text, values);
  const ids = rows.map(({ id }) => id);
  return { ids: ids.slice(0, search.limit), remaining: ids.length > search.limit ? 'some' : 0 };
}

/** undefined when they are more than a few. */
async function findFew(db: Queryable, search: StudySearch): Promise<Matches | undefined> {
  if (search.offset > FEW) return undefined;
  const { text, values } = searchSql(search, 'newest of few');
  const { rows } = await db.query<{ id: number; total: number }>(text, values);
  const total = rows[0]?.total ?? 0;
  if (total > FEW) return undefined;
  return {
    ids: rows.slice(0, search.limit).map(({ id }) => id),
    remaining: Math.max(0, total - search.offset - search.limit),
  };
}

const isByName = ({ level, criteria }: StudySearch): boolean =>
  level === 'study' && criteria.some(({ path, match }) => path.length === 1 && match.kind === 'name');

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

type Order = 'newest first' | 'newest of few' | 'any order';

/** The statement of a search: one row more than the limit, to tell whether it cut. Pure. */
export function searchSql(
  search: StudySearch,
  order: Order = 'newest first',
): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const parameter = (value: unknown): string => `$${values.push(value)}`;
  const joined: Joined = new Set();
  const conditions: string[] = [];
  if (search.studyUid !== undefined) {
    joined.add('s');
    conditions.push(`s.study_uid = ${parameter(search.studyUid)}`);
  }
  if (search.seriesUid !== undefined) conditions.push(`r.series_uid = ${parameter(search.seriesUid)}`);
  conditions.push(...conditionsOf(search, parameter, joined));
  const { level, upTo } = search;
  const first = joined.has('m') ? 'm' : 'k';
  const id = level === 'study' ? `${first}.study` : ID[level];
  if (upTo !== undefined) conditions.push(`${id} <= ${parameter(upTo)}`);
  const where = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`;
  const from = `from ${source(level, joined)}${where}`;
  const limit = `limit ${parameter(search.limit + 1)} offset ${parameter(search.offset)}`;
  switch (order) {
    case 'any order':
      return { text: `select ${id} as id ${from} ${limit}`, values };
    case 'newest of few':
      // The limit within keeps the order out of how the studies are found.
      return {
        text: `select few.study as id, count(*) over () as total from (select ${first}.study, ${first}.study_date, ${first}.study_time ${from} limit ${FEW + 1}) few order by ${newest('few')} ${limit}`,
        values,
      };
    case 'newest first':
      return { text: `select ${id} as id ${from} order by ${orderOf(level, first)} ${limit}`, values };
  }
}

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
