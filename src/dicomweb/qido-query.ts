/**
 * Reads the query string of a QIDO-RS search (PS3.18 8.3.4, 10.6) into a checked search. Pure.
 * Called by qido.ts; the search goes to archive/find-studies.ts, the rest says what each result shows.
 * Every fault is a sentence that names the parameter and never repeats its value, which may be a patient's.
 */
import {
  type Criterion,
  type Level,
  levelOfAttribute,
  type Match,
  type StudySearch,
} from '../archive/find-studies.ts';
import { attribute, attributePath, label } from '../dicom/attributes.ts';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';

export interface QidoQuery {
  readonly search: StudySearch;
  /** Root tags the results show beside the defaults of their level. */
  readonly include: ReadonlySet<string> | 'all';
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
const LEVELS: readonly Level[] = ['study', 'series', 'instance'];
const TEXT_VRS = new Set(['AE', 'AS', 'CS', 'LO', 'LT', 'SH', 'ST', 'UC', 'UR', 'UT']);
const NUMBER_VRS = new Set(['DS', 'FD', 'FL', 'IS', 'SL', 'SS', 'SV', 'UL', 'US', 'UV']);
const FORMS: Readonly<Record<string, { one: RegExp; words: string }>> = {
  DA: { one: /^\d{8}$/, words: 'a date YYYYMMDD or a range of two with a hyphen' },
  TM: {
    one: /^\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?$/,
    words: 'a time HHMMSS.FFFFFF or a range of two with a hyphen',
  },
  DT: {
    one: /^\d{4,14}(\.\d{1,6})?$/,
    words: 'a date and time YYYYMMDDHHMMSS.FFFFFF without offset, or a range of two with a hyphen',
  },
};

/** @throws Failure 'invalid' naming the parameter at fault */
export function parseQidoQuery(scope: QidoScope, parameters: URLSearchParams): QidoQuery {
  if (scope.studyUid !== undefined) checkUid(scope.studyUid, '0020000D');
  if (scope.seriesUid !== undefined) checkUid(scope.seriesUid, '0020000E');
  const entries = [...parameters];
  if (entries.length > MAX_PARAMETERS)
    throw new Failure('invalid', `The query has more than ${MAX_PARAMETERS} parameters`);
  const fuzzy = flag(parameters, 'fuzzymatching');
  const criteria: Criterion[] = [];
  const include = new Set<string>();
  let all = false;
  for (const [name, value] of entries) {
    // PostgreSQL knows no NUL in a text, and neither does DICOM.
    if (value.includes('\0')) throw new Failure('invalid', `${shown(name)} holds a NUL character`);
    switch (name) {
      case 'limit':
      case 'offset':
      case 'fuzzymatching':
      case 'emptyvaluematching':
      case 'multiplevaluematching':
      case 'accept':
        break;
      case 'includefield':
        for (const field of value.split(',').map((text) => text.trim())) {
          if (field === '') continue;
          if (field === 'all') all = true;
          else include.add(includedTag(field));
        }
        break;
      default: {
        const key = matchingKey(name, scope.level);
        include.add(key.path[0]!);
        const match = parseMatch(key, value.trim(), fuzzy);
        if (match) criteria.push({ path: key.path, vr: key.vr, match });
      }
    }
  }
  const within = scope.studyUid !== undefined;
  return {
    search: {
      ...scope,
      criteria,
      limit: count(parameters, 'limit', within ? MAX_LIMIT : DEFAULT_LIMIT, MAX_LIMIT),
      offset: count(parameters, 'offset', 0, MAX_OFFSET),
    },
    include: all ? 'all' : include,
  };
}

interface Key {
  path: string[];
  vr: string;
  label: string;
}

function matchingKey(name: string, level: Level): Key {
  const path = attributePath(name);
  const last = path?.at(-1);
  const vr = last === undefined ? undefined : attribute(last)?.vr;
  if (path === undefined || last === undefined || vr === undefined)
    throw new Failure(
      'invalid',
      `${shown(name)} is no query parameter of this resource: neither an attribute by keyword or tag nor one of limit, offset, includefield, fuzzymatching`,
    );
  const words = path.map(label).join('.');
  const kept = levelOfAttribute(path[0]!);
  if (kept === undefined)
    throw new Failure('invalid', `${words} is not kept in the index, so nothing can be searched by it`);
  if (LEVELS.indexOf(kept) > LEVELS.indexOf(level)) {
    const hint = path[0] === '00080060' ? ': use ModalitiesInStudy' : '';
    throw new Failure(
      'invalid',
      `${words} is kept at ${kept} level, so no ${level} can be searched by it${hint}`,
    );
  }
  return { path, vr, label: words };
}

/** undefined for universal matching (PS3.4 C.2.2.2.3). */
function parseMatch(key: Key, value: string, fuzzy: boolean): Match | undefined {
  if (/^\**$/.test(value)) return undefined;
  if (key.vr === 'UI') {
    const values = value.split(/[,\\]/).map((uid) => uid.trim());
    for (const uid of values) checkUid(uid, key.path.at(-1)!);
    return { kind: 'one-of', values };
  }
  if (key.vr === 'PN') return { kind: 'name', pattern: value, fuzzy };
  if (key.vr === 'CS') return { kind: 'one-of', values: value.split(/[,\\]/).map((code) => code.trim()) };
  const form = FORMS[key.vr];
  if (form) return parseRange(key, value, form);
  if (NUMBER_VRS.has(key.vr)) {
    const number = Number(value);
    if (!Number.isFinite(number)) throw new Failure('invalid', `${key.label} must be a number`);
    return { kind: 'number', value: number };
  }
  if (TEXT_VRS.has(key.vr)) return { kind: 'text', pattern: value };
  throw new Failure('invalid', `${key.label} has VR ${key.vr}, by which nothing can be searched`);
}

function parseRange(key: Key, value: string, form: { one: RegExp; words: string }): Match {
  const ends = value.split('-').map((end) => end.trim());
  const [from = '', to = from] = ends;
  const good =
    ends.length <= 2 &&
    (from !== '' || to !== '') &&
    [from, to].every((end) => end === '' || form.one.test(end));
  if (!good) throw new Failure('invalid', `${key.label} must be ${form.words}`);
  return { kind: 'range', from, to };
}

function includedTag(field: string): string {
  const path = attributePath(field);
  if (path === undefined)
    throw new Failure('invalid', `includefield: ${shown(field)} is no attribute by keyword, tag or path`);
  return path[0]!;
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

/** @throws Failure 'invalid' naming the attribute whose value is no UID */
export function checkUid(text: string, tag: string): void {
  if (!isUid(text))
    throw new Failure(
      'invalid',
      `${label(tag)} must be a UID: digits and dots, at most 64 characters (PS3.5 9.1)`,
      {
        attribute: label(tag),
      },
    );
}

/** A parameter's name as it may stand in a sentence: it is the client's, so only what a keyword or path is made of. */
function shown(name: string): string {
  return /^[A-Za-z0-9_.-]{1,80}$/.test(name) ? `"${name}"` : 'A name that is no keyword, tag or path';
}
