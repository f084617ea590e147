/**
 * Whether a mask is for an image: values of its header by keyword, as in a rule's `when`, but of one image alone.
 * Compiled by mask.ts.
 */
import { attributePath } from '../dicom/attributes.ts';
import { type DataSet, texts } from '../dicom/data-set.ts';
import { numberValues } from '../dicom/data-set-values.ts';
import { nearestKeyword } from '../dicom/nearest-keyword.ts';
import { Failure } from '../failure.ts';
import type { Value } from './editable-data-set.ts';

export type ImageTest = (header: DataSet) => boolean;

/**
 * All of them hold. Texts are equal but for case, with * and ? as wildcards; any value of several, any item of a
 * sequence. @throws Failure 'invalid' for an unknown keyword
 */
export function compileImageTest(conditions: Readonly<Record<string, Value | readonly Value[]>>): ImageTest {
  const tests = Object.entries(conditions).map(([path, wanted]) => {
    const tags = attributePath(path);
    if (!tags) {
      const nearest = nearestKeyword(path);
      const meant = nearest === undefined ? '' : `; did you mean ${nearest}?`;
      throw new Failure(
        'invalid',
        `"${path}" is no keyword or path of keywords of the data dictionary (PS3.6)${meant}`,
      );
    }
    const accepted = [wanted].flat().map(accepts);
    return (header: DataSet): boolean =>
      valuesAt(header, tags).some((value) => accepted.some((one) => one(value)));
  });
  return (header) => tests.every((test) => test(header));
}

function accepts(wanted: Value): (value: string) => boolean {
  const pattern = String(wanted).trim().toUpperCase();
  if (!/[*?]/.test(pattern)) {
    const number = pattern === '' ? Number.NaN : Number(pattern);
    return (value) => value.toUpperCase() === pattern || (value !== '' && Number(value) === number);
  }
  return (value) => matches(value.toUpperCase(), pattern);
}

/** Linear in both but for the last star: no backtracking beyond it. */
function matches(text: string, pattern: string): boolean {
  let [at, star, mark] = [0, -1, 0];
  let position = 0;
  while (position < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      mark = position;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[position])) {
      at++;
      position++;
    } else if (star >= 0) {
      at = star + 1;
      position = ++mark;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

const NUMBERS = new Set(['US', 'SS', 'UL', 'SL', 'FL', 'FD', 'SV', 'UV']);

function valuesAt(dataSet: DataSet, [tag, ...rest]: readonly string[]): string[] {
  const element = tag === undefined ? undefined : dataSet.elements.get(tag);
  if (!element) return [];
  if (rest.length > 0) return (element.items ?? []).flatMap((item) => valuesAt(item, rest));
  if (NUMBERS.has(element.vr)) return numberValues(dataSet, element).map(String);
  return texts(dataSet, element.tag).map((text) => text.trim());
}
