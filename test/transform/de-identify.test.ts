/**
 * De-identification by PS3.15 Annex E: on an object that has every attribute of Table E.1-1, at the root and nested,
 * nothing of what stood in them is left anywhere in the bytes; options keep what they say and no more.
 */
import { describe, expect, test } from 'vitest';
import { attribute } from '../../src/dicom/attributes.ts';
import { text, texts } from '../../src/dicom/data-set.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { CONFIDENTIALITY_TABLE } from '../../src/transform/confidentiality-table.ts';
import type { DeidentifySettings } from '../../src/transform/de-identify.ts';
import { editable } from '../../src/transform/editable-data-set.ts';
import { shiftedDate } from '../../src/transform/pseudonym.ts';
import { compileTransform } from '../../src/transform/transform.ts';
import { element, sequence } from '../dicom/elements.ts';
import { deidentified, KEY, read } from './de-identified.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const SHARED_GROUPS = '52009229';

const run = (bytes: Buffer, settings: Partial<DeidentifySettings> = {}, key = KEY): Buffer =>
  deidentified(bytes, settings, { key });

/** A value that is nobody else's, in the form of its VR. */
function planted(vr: string, index: number): Buffer {
  const even = (value: string, pad = ' '): Buffer =>
    Buffer.from(value.length % 2 ? value + pad : value, 'latin1');
  const number = String(index).padStart(4, '0');
  switch (vr) {
    case 'DA':
      return even('20110315');
    case 'DT':
      return even('20110315113344.5512');
    case 'TM':
      return even('113344.5512');
    case 'AS':
      return even('042Y');
    case 'UI':
      return even(`1.2.3.77777.${index}`, '\0');
    case 'IS':
    case 'DS':
      return even(`77777${number}`);
    case 'PN':
      return even(`PLANTED${number}^NAME`);
    case 'US':
    case 'SS':
      return Buffer.from('QZ');
    case 'UL':
    case 'SL':
    case 'FL':
    case 'AT':
      return Buffer.from('QZQZ');
    case 'FD':
      return Buffer.from('QZQZQZQZ');
    default:
      return even(`PLANTED${number}`);
  }
}
const LEFT = /PLANTED|20110315|113344|042Y|1\.2\.3\.77777|77777\d{4}|QZ/;

type Row = { tag: string; bytes: Buffer };
function rows(nested: boolean): Row[] {
  return CONFIDENTIALITY_TABLE.map(({ keyword }, index) => {
    const { tag, vr } = attribute(keyword)!;
    if (vr !== 'SQ') return { tag, bytes: element(tag, vr === 'OW' ? 'OB' : vr, planted(vr, index)) };
    const inside = nested ? [] : rows(true).filter((row) => row.tag !== tag);
    const some = inside.slice(index % 7, (index % 7) + 12);
    return { tag, bytes: sequence(tag, [joined(some)]) };
  });
}
function joined(all: readonly Row[]): Buffer {
  return Buffer.concat([...all].sort((a, b) => (a.tag < b.tag ? -1 : 1)).map(({ bytes }) => bytes));
}
function everything(more: Row[] = []): Buffer {
  const all = rows(false).filter(({ tag }) => tag < '7FE00000');
  const group = [...all.filter(({ tag }) => tag !== SHARED_GROUPS)];
  const own = [
    { tag: '00080016', bytes: element('00080016', 'UI', `${CT}\0`) },
    { tag: SHARED_GROUPS, bytes: sequence(SHARED_GROUPS, [joined(group)]) },
    { tag: '00090010', bytes: element('00090010', 'LO', 'PLANTED CREATOR ') },
    { tag: '00091001', bytes: element('00091001', 'LO', 'PLANTED PRIVATE ') },
    { tag: '50003000', bytes: element('50003000', 'OB', 'PLANTED CURVE ') },
    { tag: '60003000', bytes: element('60003000', 'OB', 'PLANTED OVERLAY ') },
    { tag: '60004000', bytes: element('60004000', 'LT', 'PLANTED COMMENT ') },
    { tag: '00189999', bytes: element('00189999', 'UN', 'PLANTED UNKNOWN ') },
  ];
  const given = new Set([...own, ...more].map(({ tag }) => tag));
  return joined([...group.filter(({ tag }) => !given.has(tag)), ...own, ...more]);
}

describe('the Basic Profile', () => {
  test('leaves nothing of any attribute of the table, root or nested, anywhere in the bytes', () => {
    expect(CONFIDENTIALITY_TABLE.length).toBe(617);
    const before = everything();
    const after = run(before);
    expect(LEFT.exec(after.toString('latin1'))?.[0]).toBeUndefined();
    expect(read(after).fault).toBeUndefined();
  });

  test.each(CONFIDENTIALITY_TABLE.map(({ keyword, basic }) => [keyword, basic] as const))(
    '%s is %s',
    (keyword, basic) => {
      const { tag, vr } = attribute(keyword)!;
      if (tag >= '7FE00000' || ['00100010', '00100020'].includes(tag)) return;
      const value =
        vr === 'SQ'
          ? sequence(tag, [element('00081155', 'UI', '1.2.3.77777.5\0')])
          : element(tag, vr === 'OW' ? 'OB' : vr, planted(vr, 5));
      const after = read(run(joined([{ tag, bytes: value }])));
      const left = after.elements.get(tag);
      if (tag.startsWith('001200') || tag === '00280303') return;
      // Of File Meta and commands none belongs in a data set.
      if (keyword.startsWith('PresentationCreation')) expect(left!.value.length).toBeGreaterThan(0);
      else if (basic === 'X' || tag < '00080000' || keyword === 'ReferencedStudySequence')
        expect(left).toBeUndefined();
      else if (basic === 'Z' || basic === 'X/Z') {
        expect(left!.value.length).toBe(0);
        expect(left!.items ?? []).toEqual([]);
      } else if (vr === 'SQ') expect(text(left!.items![0]!, '00081155')).toMatch(/^2\.25\./);
      else {
        expect(left!.value.length).toBeGreaterThan(0);
        expect(LEFT.test(Buffer.from(left!.value).toString('latin1'))).toBe(false);
      }
    },
  );

  test('says what was done', () => {
    const after = read(
      run(everything(), { retain: ['modified-dates', 'device'], descriptors: ['CT THORAX'] }),
    );
    expect(text(after, '00120062')).toBe('YES');
    expect(text(after, '00280303')).toBe('MODIFIED');
    const codes = after.elements.get('00120064')!.items!.map((item) => text(item, '00080100'));
    expect(codes).toEqual(['113100', '113105', '113109', '113107']);
  });

  test('gives a patient and a UID the same pseudonym in every study, and others with another key', () => {
    const study = (uid: string, id: string, issuer: string): Buffer =>
      joined([
        { tag: '00100020', bytes: element('00100020', 'LO', id) },
        { tag: '00100021', bytes: element('00100021', 'LO', issuer) },
        { tag: '0020000D', bytes: element('0020000D', 'UI', uid) },
        { tag: '00200052', bytes: element('00200052', 'UI', '1.2.99') },
      ]);
    const [a, b] = [read(run(study('1.2.10', 'P1', 'AA'))), read(run(study('1.2.20', 'P1', 'AA')))];
    expect(text(a, '00100020')).toMatch(/^ANON-[0-9A-F]{16}$/);
    expect(text(a, '00100020')).toBe(text(b, '00100020'));
    expect(text(a, '00200052')).toBe(text(b, '00200052'));
    expect(text(a, '0020000D')).not.toBe(text(b, '0020000D'));
    expect(text(read(run(study('1.2.10', 'P1', 'BB'))), '00100020')).not.toBe(text(a, '00100020'));
    const other = read(run(study('1.2.10', 'P1', 'AA'), {}, 'another key'));
    expect(text(other, '00100020')).not.toBe(text(a, '00100020'));
    expect(text(other, '0020000D')).not.toBe(text(a, '0020000D'));
    const blank = [study('1.2.10', '', 'AA'), study('1.2.20', '', 'AA')].map((one) =>
      text(read(run(one)), '00100020'),
    );
    expect(blank[0]).not.toBe(blank[1]);
  });

  test('reads names in other character sets, and leaves none of their bytes', () => {
    const name = Buffer.from('1b2442353946441b2842', 'hex');
    const bytes = joined([
      { tag: '00080005', bytes: element('00080005', 'CS', '\\ISO 2022 IR 87 ') },
      { tag: '00080080', bytes: element('00080080', 'LO', name) },
      { tag: '00081050', bytes: element('00081050', 'PN', name) },
      { tag: '00100010', bytes: element('00100010', 'PN', name) },
    ]);
    expect(run(bytes, { retain: ['institution'] }).includes(name)).toBe(true);
    expect(run(bytes).includes(name)).toBe(false);
  });

  test('of names in several character sets, and in sequences of any form of length, leaves nothing', () => {
    const cases: [string, string][] = [
      ['ISO 2022 IR 149', 'Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab'],
      ['\\ISO 2022 IR 87', 'Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B'],
      ['GB18030 ', 'Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab'],
      ['ISO_IR 192', Buffer.from('Buc^Jérôme').toString('latin1')],
    ];
    for (const [characterSet, name] of cases) {
      const even = name.length % 2 ? `${name} ` : name;
      const who = element('00100010', 'PN', even);
      const text = element('00081070', 'PN', even);
      const free = element('00181020', 'LO', even);
      const undefinedLength = sequence('00081111', [Buffer.concat([text, free])], { undefinedLength: true });
      const bytes = joined([
        {
          tag: '00080005',
          bytes: element('00080005', 'CS', characterSet.length % 2 ? `${characterSet} ` : characterSet),
        },
        { tag: '00081111', bytes: undefinedLength },
        { tag: '00081115', bytes: sequence('00081115', [Buffer.concat([text, free]), free]) },
        { tag: '00100010', bytes: who },
        { tag: '00181020', bytes: free },
      ]);
      const after = run(bytes);
      expect(read(after).fault).toBeUndefined();
      for (const part of name.split(/[\^=]/))
        expect(after.includes(Buffer.from(part, 'latin1')), part).toBe(false);
    }
  });

  test('does nothing without a key', () => {
    expect(() => {
      const compiled = compileTransform([{ deidentify: { retain: [], burnedIn: 'send' } }]);
      if (!('faults' in compiled)) compiled.edit(editable(everything(), EXPLICIT_LE));
    }).toThrow(/DEIDENTIFY_KEY/);
  });
});

test('a report keeps its form and none of its words, codes and numbers', () => {
  const code = [element('00080100', 'SH', 'PLANTED1'), element('00080104', 'LO', 'PLANTED2')];
  const node = Buffer.concat([
    element('0040A010', 'CS', 'CONTAINS'),
    element('0040A040', 'CS', 'TEXT'),
    sequence('0040A043', [Buffer.concat(code)]),
    element('0040A160', 'UT', 'PLANTED prose '),
    element('0040A30A', 'DS', '777770123 '),
  ]);
  const report = joined([
    { tag: '00080016', bytes: element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.88.11\0') },
    { tag: '0040A730', bytes: sequence('0040A730', [Buffer.concat([node, sequence('0040A730', [node])])]) },
  ]);
  const bytes = run(report, { burnedIn: 'send' });
  expect(LEFT.exec(bytes.toString('latin1'))?.[0]).toBeUndefined();
  const first = read(bytes).elements.get('0040A730')!.items![0]!;
  expect(text(first, '0040A010')).toBe('CONTAINS');
  expect(text(first.elements.get('0040A730')!.items![0]!, '0040A160')).toBe('ANONYMIZED');
});

describe('attributes of no row', () => {
  const WHO = [
    { tag: '00100010', bytes: element('00100010', 'PN', 'M\xfcller^Ida=\xfc\xfc ') },
    { tag: '00100020', bytes: element('00100020', 'LO', 'ID-4711 ') },
    { tag: '00080005', bytes: element('00080005', 'CS', 'ISO_IR 100') },
  ];
  const left = (tag: string, vr: string, value: string, settings: Partial<DeidentifySettings> = {}) =>
    text(read(run(joined([...WHO, { tag, bytes: element(tag, vr, value) }]), settings)), tag);
  test.each([
    ['SOPInstanceUIDOfConcatenationSource', '00200242', 'UI', '1.2.3.4\0', /^2\.25\./],
    ['VolumeFrameOfReferenceUID', '00209312', 'UI', '1.2.3.4\0', /^2\.25\./],
    ['ReferencedSOPClassUID, private', '00081150', 'UI', '1.2.3.4\0', /^1\.2\.3\.4$/],
    ['PatientBirthDateInAlternativeCalendar', '00100033', 'LO', 'Showa 34', /^ANONYMIZED$/],
    ['RetrieveURI', '0040E010', 'UR', 'http://a/1.2.3.4', /invalid$/],
    ['CommentsOnTheScheduledProcedureStep', '00400400', 'LT', 'anything', /^ANONYMIZED$/],
    ['ExpirationDateTime', '00080416', 'DT', '20200101', /^19000101/],
    ['EvaluatorName', '00142006', 'PN', 'Else^Somebody ', /^ANONYMIZED$/],
    ['SoftwareVersions', '00181020', 'LO', 'HEAD of M\xdcLLER', /^ANONYMIZED$/],
    ['Manufacturer', '00080070', 'LO', 'ACME for id-4711 ', /^ANONYMIZED$/],
    ['Manufacturer', '00080070', 'LO', 'ACME, unrelated ', /^ACME, unrelated$/],
    ['comments written as CS', '00400400', 'CS', 'ANYTHING', /^ANONYMIZED$/],
    ['a person written as SH', '00142006', 'SH', 'Else^Somebody ', /^ANONYMIZED$/],
    ['a date written as LO', '00080416', 'LO', '20200101', /^ANONYMIZED$/],
    ['a UID written as LO', '00200242', 'LO', '1.2.3.4 ', /^2\.25\./],
    ['Manufacturer written as CS', '00080070', 'CS', 'FOR ID-4711 ', /^ANONYMIZED$/],
  ])('%s', (_, tag, vr, value, expected) => {
    expect(left(tag, vr, value)).toMatch(expected);
  });
  test('follow the options', () => {
    expect(left('00200242', 'UI', '1.2.3.4\0', { retain: ['uids'] })).toBe('1.2.3.4');
    expect(left('00080416', 'DT', '20200101', { retain: ['full-dates'] })).toBe('20200101');
    expect(left('00080416', 'DT', '20200101', { retain: ['modified-dates'] })).toMatch(/^20[01]\d{5}$/);
    expect(left('00400400', 'LT', 'anything', { descriptors: ['Anything'] })).toBe('anything');
  });
  test('UIDs of instances below the root of the Standard are replaced, its own are not', () => {
    expect(left('00080018', 'UI', '1.2.840.10008.9.77.1')).toMatch(/^2\.25\./);
    expect(left('00200052', 'UI', '1.2.840.10008.1.4.1.1\0')).toBe('1.2.840.10008.1.4.1.1');
    expect(left('00081150', 'UI', '1.2.840.10008.5.1.4.1.1.2\0')).toBe('1.2.840.10008.5.1.4.1.1.2');
  });
  test.each([
    ['Manufacturer as bytes', '00080070', 'OB'],
    ['StationName as bytes', '00081010', 'OW'],
    ['Variable Pixel Data', '7F100010', 'OW'],
  ])('%s is not sent', (_, tag, vr) => {
    expect(run(joined([...WHO, { tag, bytes: element(tag, vr, 'SECRET') }])).includes('SECRET')).toBe(false);
  });
  test('of an attribute that stands twice the second is not sent', () => {
    const bytes = Buffer.concat([
      element('00080070', 'LO', 'ACME'),
      element('00100010', 'PN', 'First '),
      element('00100010', 'PN', 'SECRET'),
    ]);
    expect(run(bytes).includes('SECRET')).toBe(false);
  });
  test('what others have encrypted is not sent', () => {
    const bytes = run(
      joined([{ tag: '04000500', bytes: sequence('04000500', [element('04000520', 'OB', 'SECRET')]) }]),
    );
    expect(bytes.includes('SECRET')).toBe(false);
  });
});

test('what others did to the pixels before is still said', () => {
  const code = Buffer.concat([element('00080100', 'SH', '113101'), element('00080102', 'SH', 'DCM ')]);
  const before = [{ tag: '00120064', bytes: sequence('00120064', [code]) }];
  const codes = read(run(joined(before))).elements.get('00120064')!.items!;
  expect(codes.map((item) => text(item, '00080100'))).toEqual(['113100', '113101']);
});

describe('options', () => {
  const values = (settings: Partial<DeidentifySettings>) => read(run(everything(), settings));

  test('keep what they name and nothing else', () => {
    expect(text(values({ retain: ['uids'] }), '0020000D')).toMatch(/^1\.2\.3\.77777/);
    expect(text(values({ retain: ['institution'] }), '00080080')).toMatch(/^PLANTED/);
    expect(text(values({ retain: ['device'] }), '00081010')).toMatch(/^PLANTED/);
    expect(text(values({ retain: ['patient'] }), '00101010')).toBe('042Y');
    expect(text(values({ retain: ['full-dates'] }), '00080020')).toBe('20110315');
    const kept = run(everything(), { retain: ['full-dates', 'device', 'patient'] }).toString('latin1');
    expect(/1\.2\.3\.77777/.test(kept)).toBe(true);
    const names = read(
      run(everything(), { retain: ['uids', 'device', 'institution', 'patient', 'full-dates'] }),
    );
    expect(text(names, '00100010')).toMatch(/^ANON-/);
    expect(names.elements.has('00090010')).toBe(false);
    expect(names.elements.has('00101040')).toBe(false);
  });

  test('modified dates go back by the same days for a patient, and no true date is left, of devices neither', () => {
    const bytes = run(everything(), { retain: ['modified-dates', 'device'] });
    const after = read(bytes);
    expect(bytes.includes('20110315')).toBe(false);
    const date = text(after, '00080020')!;
    expect(date).toMatch(/^\d{8}$/);
    expect(date).not.toBe('19000101');
    expect(text(after, '00080012')).toBe(date);
    expect(text(after, '0008002A')!.startsWith(date)).toBe(true);
  });

  test('texts that a person has read stay, all others go', () => {
    const more = [{ tag: '00081030', bytes: element('00081030', 'LO', 'CT  Thorax') }];
    const after = read(run(everything(more), { descriptors: ['ct thorax'] }));
    expect(texts(after, '00081030')).toEqual(['CT  Thorax']);
    expect(after.elements.has('0008103E')).toBe(false);
  });

  test('that contradict each other are a fault', () => {
    expect(
      compileTransform([{ deidentify: { retain: ['full-dates', 'modified-dates'], burnedIn: 'hold' } }]),
    ).toMatchObject({ faults: [expect.stringContaining('exclude each other')] });
  });
});

describe('what may show text waits for a person', () => {
  const object = (sopClass: string, burnedIn?: string, imageType?: string): Buffer =>
    joined([
      ...(imageType ? [{ tag: '00080008', bytes: element('00080008', 'CS', imageType) }] : []),
      { tag: '00080016', bytes: element('00080016', 'UI', sopClass) },
      ...(burnedIn ? [{ tag: '00280301', bytes: element('00280301', 'CS', burnedIn) }] : []),
    ]);
  test.each([
    ['1.2.840.10008.5.1.4.1.1.6.1', undefined, undefined],
    ['1.2.840.10008.5.1.4.1.1.7', undefined, undefined],
    ['1.2.840.10008.5.1.4.1.1.7.2', undefined, undefined],
    ['1.2.840.10008.5.1.4.1.1.12.1', undefined, undefined],
    [CT, 'YES ', undefined],
    [CT, undefined, 'DERIVED\\SECONDARY\\SCREEN SAVE '],
    ['1.2.840.10008.5.1.4.1.1.88.22', 'NO', undefined],
    ['1.2.840.10008.5.1.4.1.1.104.1', 'NO', undefined],
  ])('%s, Burned In Annotation %s', (sopClass, burnedIn, imageType) => {
    expect(() => run(object(sopClass, burnedIn, imageType))).toThrow(/a person has to look/);
    expect(() => run(object(sopClass, burnedIn, imageType), { burnedIn: 'send' })).not.toThrow();
  });
  test.each([
    [CT, undefined],
    ['1.2.840.10008.5.1.4.1.1.6.1', 'NO'],
    ['1.2.840.10008.5.1.4.1.1.66.4', undefined],
  ])('%s, Burned In Annotation %s goes', (sopClass, burnedIn) => {
    expect(() => run(object(sopClass, burnedIn))).not.toThrow();
  });
});

test.each([
  ['20240301', 1, '20240229'],
  ['20240229113000.5+0100', 365, '20230301113000.5+0100'],
  ['00010102', 1, '00010101'],
  ['00010101', 1, undefined],
  ['20230229', 1, undefined],
  ['2023', 1, undefined],
  ['2011.03.15', 1, undefined],
])('%s less %s days is %s', (date, days, expected) => {
  expect(shiftedDate(date, days)).toBe(expected);
});
