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

test.each([
  [
    { set: { PatientBirthDate: 'hello' } },
    /\(0010,0030\) PatientBirthDate has a value that is no DA: expected a date/,
  ],
  [{ set: { PatientBirthDate: '20230229' } }, /no such day/],
  [{ set: { PatientSex: 'male' } }, /PatientSex has a value that is no CS: expected upper case/],
  [{ set: { InstitutionName: 'x'.repeat(65) } }, /longer than the 64 characters of its VR LO/],
  [{ set: { InstitutionName: 'two\nlines' } }, /control characters/],
  [{ set: { StudyTime: '25' } }, /no TM/],
  [{ set: { PatientAge: '7' } }, /no AS/],
  [{ map: { attribute: 'BodyPartExamined', table: { T: 'thorax' }, otherwise: 'keep' as const } }, /no CS/],
  [{ prefix: { AccessionNumber: 'x'.repeat(17) } }, /16 characters of its VR SH/],
  [{ patient: { table: { 1: { id: 'R', birthDate: '1970-01-01' } }, otherwise: 'send' as const } }, /no DA/],
])('%j has not the form of its VR and is refused when the rule is made', (action, said) => {
  const compiled = compileTransform([action as Transform[number]]);
  expect('faults' in compiled && compiled.faults.join()).toMatch(said);
});

test.each<Record<string, string | string[]>>([
  { PatientBirthDate: '', PatientSex: 'O', PatientAge: '018Y', StudyTime: '120000.5', ContentTime: '2359' },
  {
    AcquisitionDateTime: '20240229',
    PatientName: `${'x'.repeat(64)}=${'y'.repeat(64)}`,
    ImageComments: 'two\nlines',
  },
  { ImageType: ['DERIVED', 'SECONDARY'], StudyDate: '00010101' },
])('%j has', (set) => {
  expect(compileTransform([{ set }])).not.toHaveProperty('faults');
});

test('a prefix for which the value leaves no room is not cut off: the object is not sent', () => {
  const bytes = element('00080050', 'SH', '123456789012345');
  expect(() => edited(bytes, [{ prefix: { AccessionNumber: 'A-' } }])).toThrow(
    "its (0008,0050) AccessionNumber with the rule's prefix is longer than the 16 characters of its VR SH",
  );
  expect(text(edited(bytes, [{ prefix: { AccessionNumber: 'A' } }]), '00080050')).toBe('A123456789012345');
});
