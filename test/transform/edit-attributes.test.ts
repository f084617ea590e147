/** Edits of a rule on data sets that are not as they should be. */
import { expect, test } from 'vitest';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { editable } from '../../src/transform/editable-data-set.ts';
import { compileTransform, type Transform } from '../../src/transform/transform.ts';
import { element, sequence } from '../dicom/elements.ts';

function edited(bytes: Buffer, transform: Transform) {
  const compiled = compileTransform(transform);
  if ('faults' in compiled) throw new Error(compiled.faults.join());
  const dataSet = editable(bytes, EXPLICIT_LE);
  compiled.edit(dataSet);
  return parseDataSet(dataSet.bytes(false), EXPLICIT_LE);
}

test('a value is set where a sequence stands by mistake', () => {
  const bytes = Buffer.concat([
    element('00080060', 'CS', 'CT'),
    sequence('00080080', [element('00080060', 'CS', 'MR')]),
    element('00280106', 'SS', Buffer.from([0xff, 0xff])),
  ]);
  const after = edited(bytes, [{ set: { InstitutionName: 'Here', SmallestImagePixelValue: 5 } }]);
  expect(after.fault).toBeUndefined();
  expect(text(after, '00080080')).toBe('Here');
  expect(after.elements.get('00280106')!.vr).toBe('SS');
});

test('a private attribute is removed wherever its creator has its block, and no other of that place', () => {
  const own = [
    element('00290010', 'LO', 'OTHER'),
    element('00290011', 'LO', 'SITE A'),
    element('00291008', 'CS', 'STAYS'),
    element('00291108', 'CS', 'GOES'),
    element('00291109', 'CS', 'STAYS'),
  ];
  const bytes = Buffer.concat([
    element('00080060', 'CS', 'CT'),
    sequence('00081140', [Buffer.concat(own)]),
    ...own,
  ]);
  const after = edited(bytes, [
    { remove: ['(0029,"SITE A",08)', 'ReferencedImageSequence.(0029,OTHER,xx08)', '(0029,"NOBODY",09)'] },
  ]);
  const rows = ['00290010', '00290011', '00291008', '00291108', '00291109'];
  expect(rows.filter((tag) => !after.elements.has(tag))).toEqual(['00291108']);
  const item = after.elements.get('00081140')!.items![0]!;
  expect(rows.filter((tag) => !item.elements.has(tag))).toEqual(['00291008']);
});
