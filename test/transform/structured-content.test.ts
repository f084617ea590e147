/** Clean Structured Content and Clean Graphics (PS3.15 E.3.3, E.3.4): the shape stays, what names the patient does not. */
import { describe, expect, test } from 'vitest';
import { type DataSet, text } from '../../src/dicom/data-set.ts';
import { CONTENT_ITEM_TABLE } from '../../src/transform/content-item-table.ts';
import type { DeidentifySettings } from '../../src/transform/de-identify.ts';
import { element, sequence, uint32 } from '../dicom/elements.ts';
import { deidentified, read } from './de-identified.ts';

const even = (value: string, pad = ' '): string => (value.length % 2 ? value + pad : value);
const code = (tag: string, scheme: string, value: string, meaning = 'a meaning'): Buffer =>
  sequence(tag, [
    Buffer.concat([
      element('00080100', 'SH', even(value)),
      element('00080102', 'SH', even(scheme)),
      element('00080104', 'LO', even(meaning)),
    ]),
  ]);
/** A content item; its concept as "DCM:121071". */
function item(valueType: string, concept: string, ...value: Buffer[]): Buffer {
  const [scheme = '', name = ''] = concept.split(':');
  return Buffer.concat([
    element('0040A010', 'CS', 'CONTAINS'),
    element('0040A040', 'CS', even(valueType)),
    code('0040A043', scheme.replace('NCDR[', 'NCDR ['), name),
    ...value,
  ]);
}
const TEXT = (prose: string): Buffer => element('0040A160', 'UT', even(prose));
const VALUES: Readonly<Record<string, () => Buffer>> = {
  TEXT: () => TEXT('PLANTED prose'),
  PNAME: () => element('0040A123', 'PN', 'PLANTED^NAME'),
  DATE: () => element('0040A121', 'DA', '20110315'),
  TIME: () => element('0040A122', 'TM', '113344'),
  DATETIME: () => element('0040A120', 'DT', '20110315113344'),
  UIDREF: () => element('0040A124', 'UI', '1.2.3.77777\0'),
  CODE: () => code('0040A168', 'DCM', '121103'),
  NUM: () => sequence('0040A300', [element('0040A30A', 'DS', '42')]),
  CONTAINER: () => element('0040A050', 'CS', 'SEPARATE'),
};
const reference = (): Buffer => sequence('00081199', [element('00081155', 'UI', '1.2.3.77777\0')]);
const aValueOf = (valueType: string): Buffer => (VALUES[valueType] ?? reference)();

function report(...items: Buffer[]): Buffer {
  return Buffer.concat([
    element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.88.33\0'),
    element('00100010', 'PN', 'Planted^Wilma '),
    element('00100020', 'LO', 'PLANTED-ID'),
    element('0040A040', 'CS', 'CONTAINER '),
    code('0040A043', 'LN', '18748-4'),
    sequence('0040A730', items),
  ]);
}
type Settings = Partial<DeidentifySettings>;
function clean(bytes: Buffer, settings: Settings = {}): { bytes: Buffer; items: readonly DataSet[] } {
  const after = deidentified(bytes, { content: {}, ...settings });
  expect(read(after).fault).toBeUndefined();
  return { bytes: after, items: read(after).elements.get('0040A730')?.items ?? [] };
}
const LEFT = /planted|wilma|20110315|113344|1\.2\.3\.77777/i;

describe('a report', () => {
  test('is not held any more, and says what was done', () => {
    const bytes = report(item('TEXT', 'DCM:1', TEXT('PLANTED')));
    expect(() => deidentified(bytes)).toThrow(/a person has to look/);
    const after = read(clean(bytes).bytes);
    const codes = after.elements.get('00120064')!.items!.map((one) => text(one, '00080100'));
    expect(codes).toEqual(['113100', '113104']);
    const pdf = Buffer.concat([element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.104.1\0')]);
    expect(() => deidentified(pdf, { content: {} })).toThrow(/a person has to look/);
  });

  test('keeps measurements, coordinates, public codes and references, with the pseudonyms of its images', () => {
    const { items, bytes } = clean(
      report(
        item(
          'NUM',
          'SCT:410668003',
          sequence('0040A300', [
            Buffer.concat([code('004008EA', 'UCUM', 'mm'), element('0040A30A', 'DS', '12.5')]),
          ]),
        ),
        item('CODE', 'DCM:121071', code('0040A168', 'SCT', '4147007', 'Mass')),
        item('SCOORD', 'DCM:111030', element('00700022', 'FL', Buffer.from('0000803f00000040', 'hex'))),
        item('IMAGE', 'DCM:999999', reference()),
      ),
    );
    expect(LEFT.test(bytes.toString('latin1'))).toBe(false);
    const measured = items[0]!.elements.get('0040A300')!.items![0]!;
    expect(text(measured, '0040A30A')).toBe('12.5');
    expect(text(measured.elements.get('004008EA')!.items![0]!, '00080100')).toBe('mm');
    expect(text(items[1]!.elements.get('0040A168')!.items![0]!, '00080104')).toBe('Mass');
    expect(Buffer.from(items[2]!.elements.get('00700022')!.value).toString('hex')).toBe('0000803f00000040');
    const uid = text(items[3]!.elements.get('00081199')!.items![0]!, '00081155');
    expect(uid).toMatch(/^2\.25\./);
    const image = Buffer.concat([element('00080018', 'UI', '1.2.3.77777\0')]);
    expect(text(read(deidentified(image)), '00080018')).toBe(uid);
  });

  test('loses names, dates, text, UIDs at any depth, and local codes', () => {
    const inner = Object.keys(VALUES).map((type) => item(type, '99SITE:1', aValueOf(type)));
    const { bytes, items } = clean(
      report(item('CONTAINER', 'DCM:1', sequence('0040A730', [...inner, ...inner]))),
    );
    expect(LEFT.exec(bytes.toString('latin1'))?.[0]).toBeUndefined();
    expect(bytes.includes('99SITE')).toBe(false);
    expect(items[0]!.elements.get('0040A730')!.items).toHaveLength(2 * inner.length);
  });

  test('keeps texts that somebody has read, and those of a concept, unless they name the patient', () => {
    const items = [
      item('TEXT', 'DCM:121071', TEXT('No fracture.')),
      item('TEXT', 'DCM:121071', TEXT('Something else')),
      item('TEXT', '99SITE:NOTE', TEXT('Seen by WILMA')),
      item('TEXT', '99SITE:NOTE', TEXT('Protocol seven')),
    ];
    const after = clean(report(...items), {
      content: { texts: ['no  fracture.'], concepts: ['99SITE:NOTE'], codingSchemes: ['99SITE'] },
    });
    expect(after.items.map((one) => text(one, '0040A160'))).toEqual([
      'No fracture.',
      'ANONYMIZED',
      'ANONYMIZED',
      'Protocol seven',
    ]);
    expect(text(after.items[3]!.elements.get('0040A043')!.items![0]!, '00080100')).toBe('NOTE');
  });

  test('whose items are referred to by their place loses none of them', () => {
    const removed = item('TEXT', 'DCM:121022', TEXT('PLANTED accession'));
    const gone = clean(report(removed, item('CODE', 'DCM:1', aValueOf('CODE'))));
    expect(gone.items).toHaveLength(1);
    const pointing = Buffer.concat([
      element('0040A010', 'CS', 'SELECTED FROM '),
      element('0040DB73', 'UL', Buffer.concat([uint32(1), uint32(2)])),
    ]);
    const after = clean(report(removed, item('CODE', 'DCM:1', aValueOf('CODE')), pointing));
    expect(after.items).toHaveLength(3);
    expect(LEFT.test(after.bytes.toString('latin1'))).toBe(false);
  });
});

describe('every row of the table of content items', () => {
  test.each(CONTENT_ITEM_TABLE.map((row) => [row.valueType, row.concept, row.basic, row.options] as const))(
    '%s %s is %s',
    (valueType, concept, basic, options) => {
      const bytes = report(
        item(valueType, concept, aValueOf(valueType)),
        item('CODE', 'DCM:1', aValueOf('CODE')),
      );
      const basically = clean(bytes);
      expect(LEFT.exec(basically.bytes.toString('latin1'))?.[0]).toBeUndefined();
      expect(basically.items).toHaveLength(basic === 'X' ? 1 : 2);
      for (const option of options) {
        if (option === 'desc~') continue;
        const retain = [option === 'dates' ? 'full-dates' : (option as 'uids')] as const;
        const kept = clean(bytes, { retain });
        expect(kept.items).toHaveLength(2);
        if (valueType === 'UIDREF' && option === 'uids')
          expect(text(kept.items[0]!, '0040A124')).toBe('1.2.3.77777');
        if (valueType.startsWith('DATE')) expect(kept.bytes.includes('20110315')).toBe(true);
      }
    },
  );
});

describe('annotations of a presentation state', () => {
  const state = Buffer.concat([
    element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.11.1\0'),
    element('00100010', 'PN', 'Planted^Wilma '),
    sequence('00700001', [
      Buffer.concat([
        sequence('00081140', [element('00081155', 'UI', '1.2.3.77777\0')]),
        element('00700002', 'CS', 'LAYER '),
        sequence('00700008', [element('00700006', 'ST', 'L2')]),
        sequence('00700009', [element('00700022', 'FL', Buffer.from('0000803f00000040', 'hex'))]),
      ]),
    ]),
  ]);
  test('keep their shapes and the texts allowed', () => {
    const annotation = (settings: Settings): DataSet =>
      read(deidentified(state, settings)).elements.get('00700001')!.items![0]!;
    const shape = (one: DataSet): string =>
      Buffer.from(one.elements.get('00700009')!.items![0]!.elements.get('00700022')!.value).toString('hex');
    const words = (one: DataSet): string | undefined =>
      text(one.elements.get('00700008')!.items![0]!, '00700006');
    expect(shape(annotation({}))).toBe('0000000000000000');
    expect(shape(annotation({ graphics: {} }))).toBe('0000803f00000040');
    expect(words(annotation({ graphics: {} }))).toBe('ANONYMIZED');
    expect(words(annotation({ graphics: { texts: ['l2'] } }))).toBe('L2');
    const codes = read(deidentified(state, { graphics: {} })).elements.get('00120064')!.items!;
    expect(codes.map((one) => text(one, '00080100'))).toEqual(['113100', '113103']);
    expect(deidentified(state, { graphics: {} }).includes('1.2.3.77777')).toBe(false);
  });
});

test('overlays go whole; one that lies in the pixels is for a person', () => {
  const overlay = (more: Buffer[]): Buffer =>
    Buffer.concat([
      element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.2\0'),
      element('60000010', 'US', Buffer.from([1, 0])),
      ...more,
    ]);
  const labelled = [element('60001500', 'LO', 'PLANTED '), element('60003000', 'OW', 'PLANTED ')];
  const after = deidentified(overlay(labelled), { graphics: {} });
  expect([...read(after).elements.keys()].some((tag) => tag.startsWith('6000'))).toBe(false);
  expect(() => deidentified(overlay([]))).toThrow(/\(6000,0010\) OverlayRows lies among the bits/);
});
