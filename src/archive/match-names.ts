/**
 * Conditions on names of persons (PS3.4 C.2.2.2.1.1): folded as dicom/person-name.ts folds, by representation, fuzzy by
 * words. Pure. Called by match-sql.ts.
 */
import { foldPersonName, searchedWords } from '../dicom/person-name.ts';
import type { Match } from './find-studies.ts';
import { type Asking, column, NAME_COLUMNS, type Parameter } from './match-columns.ts';
import { likePattern } from './match-text.ts';

const REPRESENTATIONS = ['Alphabetic', 'Ideographic', 'Phonetic'] as const;

/**
 * Without "=" the pattern is that of any of the three representations. Fuzzy: each word of the search begins a word of
 * the name, in any order and representation.
 */
export function patientName(match: Match, asking: Asking): string {
  const { parameter } = asking;
  column('name_words', asking);
  if (match.kind === 'empty') return `(${NAME_COLUMNS.map((name) => `${name} is null`).join(' and ')})`;
  if (match.kind !== 'name') throw new Error('a name is matched by a name');
  const words = match.fuzzy ? searchedWords(match.pattern) : [];
  if (words.length > 0)
    return `k.name_words @@ ${parameter(words.map((word) => `'${word}':*`).join(' & '))}::tsquery`;
  const groups = match.pattern.split('=').slice(0, 3);
  if (groups.length === 1) {
    const pattern = parameter(likePattern(foldPersonName(groups[0]!)));
    if (asking.nameColumn !== undefined) return `${asking.nameColumn} like ${pattern}`;
    return `(${NAME_COLUMNS.map((name) => `${name} like ${pattern}`).join(' or ')})`;
  }
  const tests = groups.flatMap((group, index) =>
    group.trim() === ''
      ? []
      : [`${NAME_COLUMNS[index]} like ${parameter(likePattern(foldPersonName(group)))}`],
  );
  return tests.length === 0 ? 'true' : `(${tests.join(' and ')})`;
}

/** A pattern that each of the representations may match, and each has an index for. */
export const isOfAnyRepresentation = (match: Match): boolean =>
  match.kind === 'name' &&
  !match.pattern.includes('=') &&
  !(match.fuzzy && searchedWords(match.pattern).length > 0);

/**
 * Representations of the referrer stand in one text, parted by "=". What each test finds stands somewhere in that text,
 * which the index of parts of texts finds first.
 */
export function referrer(match: Match, asking: Asking): string {
  const { parameter } = asking;
  const text = column('referrer', asking);
  const list = `string_to_array(${text}, '=')`;
  if (match.kind === 'empty') return `${text} = ''`;
  if (match.kind !== 'name') throw new Error('a name is matched by a name');
  const somewhere = (pattern: string): string => `${text} like ${parameter(`%${pattern}%`)}`;
  const words = match.fuzzy ? searchedWords(match.pattern) : [];
  if (words.length > 0)
    return `(${words.map((word) => `${somewhere(likePattern(word))} and array_to_string(${list}, ' ') ~ ${parameter(`(^|[-=.,' ])${word}`)}`).join(' and ')})`;
  const groups = match.pattern.split('=').slice(0, 3);
  const tests = groups.flatMap((group, index) => {
    if (group.trim() === '') return [];
    const pattern = likePattern(foldPersonName(group));
    const value = parameter(pattern);
    return groups.length === 1
      ? [somewhere(pattern), `exists (select 1 from unnest(${list}) g(v) where g.v like ${value})`]
      : [somewhere(pattern), `(${list})[${index + 1}] like ${value}`];
  });
  return tests.length === 0 ? 'true' : `(${tests.join(' and ')})`;
}

/**
 * Names in a row's attributes.
 * @param values SQL that gives a part of each name ("$….Value[*].Alphabetic") as q(v)
 */
export function onNames(
  values: (part: string) => string,
  { pattern, fuzzy }: Match & { kind: 'name' },
  parameter: Parameter,
): string {
  const groups = fuzzy ? [pattern] : pattern.split('=').slice(0, 3);
  const tests = groups.flatMap((group, index) => {
    if (group.trim() === '') return [];
    const part = groups.length === 1 ? '.*' : `.${REPRESENTATIONS[index]}`;
    return [`exists (select 1 from ${values(part)} where ${onFoldedName(group, fuzzy, parameter)})`];
  });
  return tests.length === 0 ? 'true' : `(${tests.join(' and ')})`;
}

/** A representation in a row's attributes, folded by Postgres. */
function onFoldedName(group: string, fuzzy: boolean, parameter: Parameter): string {
  const name = `folded_name(q.v #>> '{}')`;
  const words = fuzzy ? searchedWords(group) : [];
  if (words.length > 0)
    return `(${words.map((word) => `${name} ~ ${parameter(`(^|[-.,' ])${word.normalize('NFKD')}`)}`).join(' and ')})`;
  return `${name} like ${parameter(likePattern(foldPersonName(group).normalize('NFKD')))}`;
}
