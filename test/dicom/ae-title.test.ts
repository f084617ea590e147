import { expect, test } from 'vitest';
import { parseAeTitle } from '../../src/dicom/ae-title.ts';
import { Failure } from '../../src/failure.ts';

test('spaces around a title mean nothing', () => {
  expect(parseAeTitle('  PACS 1         ')).toBe('PACS 1');
  expect(parseAeTitle('A'.repeat(16))).toHaveLength(16);
});

test.each(['', '    ', 'A'.repeat(17), 'A\\B', 'A\tB', 'MÜNCHEN', 'A\nB'])('%j is refused', (text) => {
  expect(() => parseAeTitle(text)).toThrow(Failure);
});
