/**
 * Finds studies, series and instances in the index: a checked search becomes SQL with every value a parameter.
 * Called by QIDO (dicomweb/qido.ts), later by C-FIND. A search gives row ids first, so that its count and its order
 * are settled before the first result leaves; found-attributes.ts then reads the results page by page.
 */
import { Failure } from '../failure.ts';
import type { Database, Queryable } from './database/database.ts';
import { DatabaseFailure } from './database/database-failure.ts';
import { isColumnOfText, isOrderedBy, isSharedByFew } from './match-columns.ts';
import { hasWildcard } from './match-text.ts';
import { fewSql, newestSql, type Statement, searchSql } from './search-sql.ts';

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

/**
 * So many studies of a name, or of a part of a text, are sorted sooner than the index of dates is read until enough of
 * them were met. Postgres cannot tell beforehand how many there are.
 */
const FEW = 8000;
/** So many of the newest are looked through for what may stand in most of them, before it is searched for. */
const NEWEST = 10_000;

/** What no index answers alone reads more the larger the archive is: it is given up then. */
const PATIENCE_MS = 10_000;
const COUNT_PATIENCE_MS = 2000;

export interface Matches {
  /** Row ids in order, at most `limit`. */
  readonly ids: number[];
  /** How many stand behind them: known, or "some", for countRemaining to count. */
  readonly remaining: number | 'some';
}

/** @throws Failure 'too-large' when no index helps to find them in time */
export async function findMatches(
  db: Database,
  search: StudySearch,
  patienceMs = PATIENCE_MS,
): Promise<Matches> {
  const found = await within(db, search, patienceMs, (tx) => find(tx, search));
  if (found === 'given up')
    throw new Failure(
      'too-large',
      `The search was given up after ${patienceMs / 1000} s, since no index helps with it: add a StudyDate, or a key that begins with more than *`,
    );
  return found;
}

async function find(db: Queryable, search: StudySearch): Promise<Matches> {
  const { limit, offset } = search;
  if (isByPattern(search)) {
    if (!isFoundAtOnce(search) && offset + limit < NEWEST) {
      const ids = await idsOf(db, newestSql(search, NEWEST));
      if (ids.length > limit) return { ids: ids.slice(0, limit), remaining: 'some' };
    }
    const few = offset <= FEW ? await findFew(db, search) : undefined;
    if (few) return few;
  }
  const ids = await idsOf(db, searchSql(search));
  return { ids: ids.slice(0, limit), remaining: ids.length > limit ? 'some' : 0 };
}

async function idsOf(db: Queryable, { text, values }: Statement): Promise<number[]> {
  const { rows } = await db.query<{ id: number }>(text, values);
  return rows.map(({ id }) => id);
}

/** undefined when they are more than a few. */
async function findFew(db: Queryable, search: StudySearch): Promise<Matches | undefined> {
  const { text, values } = fewSql(search, FEW);
  const { rows } = await db.query<{ id: number; total: number }>(text, values);
  const total = rows[0]?.total ?? 0;
  if (total > FEW) return undefined;
  return {
    ids: rows.slice(0, search.limit).map(({ id }) => id),
    remaining: Math.max(0, total - search.offset - search.limit),
  };
}

const isPattern = ({ path, match }: Criterion): boolean =>
  path.length === 1 &&
  (match.kind === 'name' ||
    (isColumnOfText(path[0]!) && match.kind === 'one-of' && match.values.some(hasWildcard)));

const isByPattern = ({ level, criteria }: StudySearch): boolean =>
  level === 'study' && criteria.some(isPattern);

/** A single value, or a part of one, that few studies share. */
const leadsToFew = ({ path: [tag = '', ...below], match }: Criterion): boolean =>
  below.length === 0 &&
  isSharedByFew(tag) &&
  (match.kind === 'one-of' || (match.kind === 'range' && match.from === match.to));

/** By such a value, or by the beginning of a name alone: there is no need to look whether the newest have it. */
const isFoundAtOnce = ({ criteria }: StudySearch): boolean =>
  criteria.some(leadsToFew) ||
  (criteria.length === 1 && criteria[0]!.match.kind === 'name' && !/^[*?]/.test(criteria[0]!.match.pattern));

/** How many matches stand behind those of findMatches; COUNTED + 1 for more than COUNTED; "some" if that takes too long. */
export async function countRemaining(
  db: Database,
  search: StudySearch,
  patienceMs = COUNT_PATIENCE_MS,
): Promise<number | 'some'> {
  const before = search.offset + search.limit;
  const { text, values } = searchSql({ ...search, offset: 0, limit: before + COUNTED }, 'any order');
  const counted = await within(db, search, patienceMs, (tx) =>
    tx.query<{ count: number }>(`select count(*) as count from (${text}) found`, values),
  );
  return counted === 'given up' ? 'some' : Math.max(0, counted.rows[0]!.count - before);
}

/**
 * Keys lie in the page cache or on a solid disk, where a row elsewhere costs little more than the next one: to read a long
 * list of an index so as to spare a few of them does not pay.
 */
const NEAR_AT_HAND = { random_page_cost: '1.1' } as const;

/** SQLSTATE query_canceled: the statement's time was over. */
const CANCELED = '57014';

async function within<T>(
  db: Database,
  search: StudySearch,
  patienceMs: number,
  work: (tx: Queryable) => Promise<T>,
): Promise<T | 'given up'> {
  if (isByIndex(search)) return work(db);
  try {
    return await db.transaction(work, {
      readOnly: true,
      statementTimeoutMs: patienceMs,
      settings: NEAR_AT_HAND,
    });
  } catch (thrown) {
    if (thrown instanceof DatabaseFailure && thrown.code === CANCELED) return 'given up';
    throw thrown;
  }
}

/** An index leads to no more rows than are told, or in the order of answers. */
const isByIndex = ({ studyUid, criteria }: StudySearch): boolean =>
  studyUid !== undefined || criteria.every((one) => !isPattern(one) && (leadsToFew(one) || isInOrder(one)));

const isInOrder = ({ path: [tag = '', ...below], match }: Criterion): boolean =>
  below.length === 0 &&
  isOrderedBy(tag) &&
  (match.kind === 'range' || (match.kind === 'one-of' && !match.values.some(hasWildcard)));

/** The id of the newest row of the level, which no row that comes later can have. */
export async function newestId(db: Queryable, level: Level): Promise<number> {
  const id = level === 'study' ? 'study' : 'id';
  const { rows } = await db.query<{ id: number }>(
    `select coalesce(max(${id}), 0) as id from ${TABLE[level]}`,
  );
  return rows[0]!.id;
}
