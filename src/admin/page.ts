/**
 * One page of a list, newest first: `limit` rows before the row with the id `before`.
 * Read from the query string by routes.ts; every list of this room is bounded by it.
 */
import { Failure } from '../failure.ts';

export interface Page {
  limit: number;
  before: number | undefined;
}

export type Query = NodeJS.Dict<string | string[]>;

const DEFAULT_LIMIT = 100;
export const MOST_LIMIT = 1000;

/** @throws Failure 'invalid' that names the parameter */
export function pageOf(query: Query): Page {
  return {
    limit: wholeNumber(query, 'limit', 1, MOST_LIMIT) ?? DEFAULT_LIMIT,
    before: wholeNumber(query, 'before', 0, Number.MAX_SAFE_INTEGER),
  };
}

/** @throws Failure 'invalid' when it is there and no whole number in the range */
export function wholeNumber(query: Query, name: string, least: number, most: number): number | undefined {
  const text = query[name];
  if (text === undefined) return undefined;
  const number = typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new Failure('invalid', `The parameter ${name} is a whole number from ${least} to ${most}.`);
}

/** @throws Failure 'invalid' when it is given more than once */
export function oneText(query: Query, name: string): string | undefined {
  const text = query[name];
  if (Array.isArray(text)) throw new Failure('invalid', `The parameter ${name} is given more than once.`);
  return text === '' ? undefined : text;
}
