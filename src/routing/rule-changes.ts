/**
 * What a change of a rule changed, in lines a person reads: by path, what stood there and what stands there now.
 * Pure; shown with the versions of a rule by routes.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import type { RuleBody } from './rule.ts';

const MOST_LINES = 100;
const MOST_LETTERS = 200;

/** @returns a line per change; one line where the rule was made, made again or deleted */
export function ruleChanges(before: RuleBody | null | undefined, after: RuleBody | null): string[] {
  if (after === null) return ['the rule was deleted'];
  if (before === undefined) return ['the rule was made'];
  if (before === null) return ['the rule was made again'];
  const lines = compare('', before, after);
  if (lines.length <= MOST_LINES) return lines;
  return [...lines.slice(0, MOST_LINES), `and ${lines.length - MOST_LINES} more`];
}

function compare(path: string, before: unknown, after: unknown): string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isPlain(before) && isPlain(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => compare(path === '' ? key : `${path}.${key}`, before[key], after[key]));
  }
  if (Array.isArray(before) && Array.isArray(after)) return compareLists(path, before, after);
  if (before === undefined) return [`${path} is new: ${shown(after)}`];
  if (after === undefined) return [`${path} is gone: ${shown(before)}`];
  return [`${path}: ${shown(before)} became ${shown(after)}`];
}

/** Lists of values (send, in) by what was added and taken; lists of conditions by place. */
function compareLists(path: string, before: unknown[], after: unknown[]): string[] {
  if ([...before, ...after].some((one) => typeof one === 'object')) {
    const places = Array.from({ length: Math.max(before.length, after.length) }, (_, place) => place);
    return places.flatMap((place) => compare(`${path}[${place}]`, before[place], after[place]));
  }
  const added = after.filter((one) => !before.includes(one));
  const taken = before.filter((one) => !after.includes(one));
  if (added.length === 0 && taken.length === 0) return [`${path}: ${shown(before)} became ${shown(after)}`];
  return [
    ...(added.length > 0 ? [`${path}: ${added.map(shown).join(', ')} added`] : []),
    ...(taken.length > 0 ? [`${path}: ${taken.map(shown).join(', ')} taken away`] : []),
  ];
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= MOST_LETTERS ? text : `${text.slice(0, MOST_LETTERS)}...`;
}
