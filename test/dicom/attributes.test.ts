import { describe, expect, test } from 'vitest';
import { attribute, attributePath, label } from '../../src/dicom/attributes.ts';

test('by keyword and by tag, in any case', () => {
  const study = { tag: '0020000D', keyword: 'StudyInstanceUID', vr: 'UI', vm: '1' };
  for (const name of ['StudyInstanceUID', '0020000D', '0020000d']) expect(attribute(name)).toEqual(study);
});

test('a choice of VRs names the first and the others', () => {
  expect(attribute('SmallestImagePixelValue')).toMatchObject({ vr: 'US', orVr: ['SS'] });
  expect(attribute('PixelData')).toMatchObject({ tag: '7FE00010', vr: 'OW', orVr: ['OB'] });
});

test('repeating groups, group lengths and private creators are known by their place', () => {
  expect(attribute('60023000')).toMatchObject({ tag: '60023000', keyword: 'OverlayData', vr: 'OW' });
  expect(attribute('00280000')).toMatchObject({ vr: 'UL' });
  expect(attribute('00290010')).toMatchObject({ keyword: 'PrivateCreator', vr: 'LO' });
});

test('retired attributes are found by their keyword', () => {
  expect(attribute('StudyComments')).toMatchObject({ tag: '00324000' });
});

test.each(['', 'NoSuchKeyword', '00291010', '0020000', '0020000G', 'constructor', '__proto__'])(
  '%j is unknown',
  (name) => {
    expect(attribute(name)).toBeUndefined();
  },
);

test('labels name tag and keyword, or the tag alone', () => {
  expect(label('0020000d')).toBe('(0020,000D) StudyInstanceUID');
  expect(label('00291010')).toBe('(0029,1010)');
});

describe('paths', () => {
  test('by keywords, tags or both', () => {
    const tags = ['00400275', '00400009'];
    expect(attributePath('RequestAttributesSequence.ScheduledProcedureStepID')).toEqual(tags);
    expect(attributePath('00400275.00400009')).toEqual(tags);
    expect(attributePath('RequestAttributesSequence.00400009')).toEqual(tags);
    expect(attributePath('PatientName')).toEqual(['00100010']);
    expect(attributePath('00291010')).toEqual(['00291010']);
  });

  test.each([
    '',
    '.',
    'PatientName.',
    'PatientName.PatientID',
    'Nonsense',
    'RequestAttributesSequence.Nonsense',
  ])('%j is none', (path) => expect(attributePath(path)).toBeUndefined());
});
