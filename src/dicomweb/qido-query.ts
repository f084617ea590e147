/**
 * Reads the query string of a QIDO-RS search (PS3.18 8.3.4, 10.6) into a checked search. Pure.
 * Called by qido.ts; the search goes to archive/find-studies.ts, the rest says what each result shows.
 * Every fault is a sentence that names the parameter and never repeats its value, which may be a patient's.
 */
import type { Criterion, Level, StudySearch } from '../archive/find-studies.ts';
import { levelOfAttribute } from '../archive/match-columns.ts';
import { attribute, attributePath, label } from '../dicom/attributes.ts';
import { Failure } from '../failure.ts';
import { checkUid, type Key, parseMatch } from './qido-match.ts';
import { parseZone } from './qido-range.ts';

export { checkUid };

export interface QidoQuery {
  readonly search: StudySearch;
  /** Root tags the results show beside the defaults of their level. */
  readonly include: ReadonlySet<string> | 'all';
  /** Attributes, as sentences call them, that are not kept and therefore were not matched (PS3.4 C.2.2.1.3). */
  readonly unmatched: readonly string[];
}

/** Which of the six search resources of PS3.18 table 10.6.1-1. */
export interface QidoScope {
  readonly level: Level;
  readonly studyUid?: string;
  readonly seriesUid?: string;
}

/** Across studies a search gives this many results unless told otherwise; the rest is announced in a Warning header. */
const DEFAULT_LIMIT = 1000;
/** Most results of one request. Within a study it is also the default, so that a viewer misses no image. */
export const MAX_LIMIT = 50_000;
const MAX_OFFSET = 10_000_000;
const MAX_PARAMETERS = 200;
const TIMEZONE_OFFSET = '00080201';
const SPECIFIC_CHARACTER_SET = '00080005';
const NOT_KEYS: ReadonlySet<string> = new Set([
  'limit',
  'offset',
  'fuzzymatching',
  'emptyvaluematching',
  'multiplevaluematching',
  'includefield',
  'accept',
  'charset',
]);

/** @throws Failure 'invalid' naming the parameter at fault */
export function parseQidoQuery(scope: QidoScope, parameters: URLSearchParams): QidoQuery {
  if (scope.studyUid !== undefined) checkUid(scope.studyUid, '0020000D');
  if (scope.seriesUid !== undefined) checkUid(scope.seriesUid, '0020000E');
  const entries = [...parameters];
  if (entries.length > MAX_PARAMETERS)
    throw new Failure('invalid', `The query has more than ${MAX_PARAMETERS} parameters`);
  // PostgreSQL knows no NUL in a text, and neither does DICOM.
  for (const [name, value] of entries)
    if (value.includes('\0')) throw new Failure('invalid', `${shown(name)} holds a NUL character`);
  flag(parameters, 'multiplevaluematching');
  const keys = entries
    .filter(([name]) => !NOT_KEYS.has(name))
    .map(([name, value]) => ({ ...keyOf(name), value }));
  const zoneKey = keys.find(({ path }) => path[0] === TIMEZONE_OFFSET);
  const zone = zoneKey && parseZone(zoneKey.label, zoneKey.value);
  const ways = {
    fuzzy: flag(parameters, 'fuzzymatching'),
    empty: flag(parameters, 'emptyvaluematching'),
    zone,
  };
  const criteria: Criterion[] = [];
  const unmatched = new Set<string>();
  for (const key of keys) {
    const [root = ''] = key.path;
    // Neither is matched: they say how the query's values are meant (PS3.4 C.2.2.2, PS3.4 C.2.2.2.5).
    if (root === TIMEZONE_OFFSET || root === SPECIFIC_CHARACTER_SET) continue;
    if (levelOfAttribute(root) === undefined) {
      if (!/^\**$/.test(key.value.trim())) unmatched.add(key.label);
      continue;
    }
    const match = parseMatch(key, key.value, ways);
    if (match) addCriterion(criteria, { path: key.path, vr: key.vr, match });
  }
  const within = scope.studyUid !== undefined;
  return {
    search: {
      ...scope,
      criteria,
      ...(zone !== undefined && { zone }),
      limit: count(parameters, 'limit', within ? MAX_LIMIT : DEFAULT_LIMIT, MAX_LIMIT),
      offset: count(parameters, 'offset', 0, MAX_OFFSET),
    },
    include: included(
      parameters,
      keys.map(({ path }) => path[0]!),
    ),
    unmatched: [...unmatched],
  };
}

/** A key that comes again with further values is one list of them, as clients write lists that know no comma. */
function addCriterion(criteria: Criterion[], added: Criterion): void {
  const at = criteria.findIndex(({ path }) => path.join('.') === added.path.join('.'));
  const known = criteria[at]?.match;
  if (known?.kind === 'one-of' && added.match.kind === 'one-of')
    criteria[at] = { ...added, match: { kind: 'one-of', values: [...known.values, ...added.match.values] } };
  else criteria.push(added);
}

function keyOf(name: string): Key {
  const path = attributePath(name);
  const last = path?.at(-1);
  // A private attribute is one, though nobody here knows it (PS3.5 7.8).
  const vr = last === undefined ? undefined : (attribute(last)?.vr ?? (isPrivate(last) ? 'UN' : undefined));
  if (path === undefined || vr === undefined)
    throw new Failure(
      'invalid',
      `${shown(name)} is no query parameter of this resource: those are attributes by keyword, tag or path, and ${[...NOT_KEYS].join(', ')}`,
    );
  return { path, vr, label: path.map(label).join('.') };
}

const isPrivate = (tag: string): boolean => Number.parseInt(tag.slice(0, 4), 16) % 2 === 1;

/** PS3.18 8.3.4.3: lists, repeated, or `all`; every matching key is shown as well (PS3.18 10.6.3.3). */
function included(parameters: URLSearchParams, keys: readonly string[]): ReadonlySet<string> | 'all' {
  const include = new Set(keys);
  let all = false;
  for (const field of parameters.getAll('includefield').flatMap((list) => list.split(','))) {
    const name = field.trim();
    if (name === '') continue;
    if (name === 'all') {
      all = true;
      continue;
    }
    const path = attributePath(name);
    if (path === undefined)
      throw new Failure('invalid', `includefield: ${shown(name)} is no attribute by keyword, tag or path`);
    include.add(path[0]!);
  }
  return all ? 'all' : include;
}

function count(parameters: URLSearchParams, name: string, absent: number, most: number): number {
  const given = parameters.getAll(name);
  if (given.length === 0) return absent;
  const text = given[0]!;
  if (given.length > 1 || !/^\d{1,10}$/.test(text))
    throw new Failure('invalid', `${name} must be one whole number from 0 up`);
  return Math.min(Number(text), most);
}

function flag(parameters: URLSearchParams, name: string): boolean {
  const text = parameters.get(name);
  if (text !== null && text !== 'true' && text !== 'false')
    throw new Failure('invalid', `${name} must be true or false`);
  return text === 'true';
}

/** A parameter's name as it may stand in a sentence: it is the client's, so only what a keyword or path is made of. */
function shown(name: string): string {
  return /^[A-Za-z0-9_.-]{1,80}$/.test(name) ? `"${name}"` : 'One of the names in the query';
}
