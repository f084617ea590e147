/** Padding goes, whatever else stands in the value, and in time that grows with its length alone. */
import { expect, it } from 'vitest';
import { decodeText } from '../../src/dicom/charset.ts';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { decimal } from '../../src/dicom/data-set-values.ts';
import { trimPadding, trimSpaces, trimTrailingSpaces } from '../../src/dicom/padding.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { element } from './elements.ts';

it.each([
  ['', '', '', ''],
  ['  ', '', '', ''],
  [' a b ', 'a b', ' a b', 'a b'],
  ['\0 a\0 ', '\0 a\0', '\0 a\0', 'a'],
  ['\0\0', '\0\0', '\0\0', ''],
  ['a', 'a', 'a', 'a'],
])('%j', (given, spaces, trailing, padding) => {
  expect([trimSpaces(given), trimTrailingSpaces(given), trimPadding(given)]).toEqual([
    spaces,
    trailing,
    padding,
  ]);
});

it('of a value of 16 MB with spaces in its middle takes no minute: a square of its length would take days', () => {
  const long = `1${' '.repeat(16 * 1024 * 1024)}1`;
  expect(trimPadding(long)).toBe(long);
  expect(decodeText(Buffer.from(long), undefined, 'LO')).toBe(long);
  const parsed = parseDataSet(element('00100020', 'UN', long), EXPLICIT_LE);
  expect(text(parsed, '00100020')).toHaveLength(long.length);
  expect(decimal(`${'1'.repeat(1024 * 1024)}x`)).toBeUndefined();
});
