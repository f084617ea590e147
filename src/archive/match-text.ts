/**
 * Conditions on text as it is kept: single values, lists, wildcards, ranges (PS3.4 C.2.2.2). Pure.
 * Called by match-sql.ts and the files of conditions beside it.
 */
import type { Match } from './find-studies.ts';
import type { Parameter } from './match-columns.ts';

/** Text as it is kept. */
export function onText(expression: string, match: Match, parameter: Parameter): string {
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

/**
 * Dates and times compare as text in the order of their characters, whatever the database's collation;
 * ":" stands behind every digit, so an end of lower precision includes what it begins. An absent value never matches.
 */
export function onRange(
  expression: string,
  range: { from: string; to: string },
  parameter: Parameter,
): string {
  const tests = [
    range.from === '' ? `${expression} <> ''` : `${expression} collate "C" >= ${parameter(range.from)}`,
  ];
  if (range.to !== '') tests.push(`${expression} collate "C" < ${parameter(`${range.to}:`)}`);
  return `(${tests.join(' and ')})`;
}

export const hasWildcard = (text: string): boolean => /[*?]/.test(text);

/** DICOM's wildcards as LIKE's, and LIKE's own characters as themselves. */
export function likePattern(text: string): string {
  return text
    .replace(/[\\%_]/g, '\\$&')
    .replace(/\*+/g, '%')
    .replaceAll('?', '_');
}
