/** Retain Safe Private (PS3.15 E.3.10): what may stay of a maker's own attributes, and nothing else of them. */
import { describe, expect, test } from 'vitest';
import { type DataSet, text, texts } from '../../src/dicom/data-set.ts';
import { IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import type { DeidentifySettings } from '../../src/transform/de-identify.ts';
import { SAFE_PRIVATE_TABLE } from '../../src/transform/safe-private-table.ts';
import { element, sequence, uint16 } from '../dicom/elements.ts';
import { deidentified, read } from './de-identified.ts';

const CT = element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.2\0');
const WHO = Buffer.concat([
  element('00100010', 'PN', 'PLANTED^NAME'),
  element('00100020', 'LO', 'PLANTED-ID'),
]);
const SIEMENS = Buffer.concat([
  element('00190010', 'LO', 'SIEMENS MR HEADER '),
  element('0019100C', 'IS', '1000'),
  element('00191010', 'LO', 'not in the table'),
]);

function run(bytes: Buffer[], settings: Partial<DeidentifySettings> = { retain: ['safe-private'] }): DataSet {
  return read(deidentified(Buffer.concat(bytes), settings));
}

/** (0008,0300) of one block. */
function characteristics(status: string, group: number, creator: string, more: Buffer[] = []): Buffer {
  return sequence('00080300', [
    Buffer.concat([
      element('00080301', 'US', uint16(group)),
      element('00080302', 'LO', creator),
      element('00080303', 'CS', status),
      ...more,
    ]),
  ]);
}
const ACME = Buffer.concat([
  element('00110010', 'LO', 'ACME'),
  element('00111001', 'LO', 'one '),
  element('00111002', 'LO', 'two '),
  element('00111003', 'UI', '1.2.3.4\0'),
  element('00111004', 'PN', 'Else^Somebody '),
  element('00111005', 'DA', '20200101'),
  element('00111006', 'LO', 'of Planted'),
  sequence('00111007', [element('00080080', 'LO', 'Hospital')]),
]);

test('the table has every row', () => {
  expect(SAFE_PRIVATE_TABLE).toHaveLength(479);
  expect(new Set(SAFE_PRIVATE_TABLE.map(({ creator }) => creator)).size).toBe(20);
});

describe('of Table E.3.10-1', () => {
  test('attributes stay with their creator, others of the block go; without the option all go', () => {
    const after = run([CT, WHO, SIEMENS]);
    expect(text(after, '0019100C')).toBe('1000');
    expect(text(after, '00190010')).toBe('SIEMENS MR HEADER');
    expect(after.elements.has('00191010')).toBe(false);
    const codes = after.elements.get('00120064')!.items!.map((item) => text(item, '00080100'));
    expect(codes).toContain('113111');
    expect([...run([CT, WHO, SIEMENS], {}).elements.keys()].filter((tag) => tag.startsWith('0019'))).toEqual(
      [],
    );
  });

  test('by creator and not by number, whatever the block', () => {
    const block = Buffer.concat([
      element('00190010', 'LO', 'SOMEBODY'),
      element('00190011', 'LO', 'SIEMENS MR HEADER '),
      element('0019100C', 'LO', 'SECRET'),
      element('0019110C', 'IS', '50'),
    ]);
    const after = run([CT, block]);
    expect([...after.elements.keys()].filter((tag) => tag.startsWith('0019'))).toEqual([
      '00190011',
      '0019110C',
    ]);
    const orphan = run([CT, element('0019100C', 'IS', '50')]);
    expect(orphan.elements.has('0019100C')).toBe(false);
  });

  test('sequences are cleaned inside, UIDs replaced, opaque bytes go, also in Implicit VR', () => {
    const stack = sequence('2001105F', [
      Buffer.concat([element('00080080', 'LO', 'Hospital'), element('00200052', 'UI', '1.2.3.9\0')]),
    ]);
    const after = run([
      CT,
      element('00990010', 'LO', 'NQHeader'),
      element('00991002', 'UI', '1.2.3.4\0'),
      element('20010010', 'LO', 'Philips Imaging DD 001'),
      stack,
      element('2001107D', 'OB', 'PIXELS'),
    ]);
    expect(text(after, '00991002')).toMatch(/^2\.25\./);
    expect(after.elements.has('2001107D')).toBe(false);
    const [item] = after.elements.get('2001105F')!.items!;
    expect(item!.elements.has('00080080')).toBe(true);
    expect(text(item!, '00080080')).toBe('ANONYMIZED');
    expect(text(item!, '00200052')).toMatch(/^2\.25\./);

    const as = { implicit: true };
    const implicit = Buffer.concat([
      element('00990010', 'LO', 'NQHeader', as),
      element('00991002', 'UI', '1.2.3.4\0', as),
      element('20010010', 'LO', 'Philips Imaging DD 001', as),
      sequence('2001105F', [element('00080080', 'LO', 'Hospital', as)], as),
    ]);
    const settings = { retain: ['safe-private' as const] };
    const bytes = deidentified(implicit, settings, { syntax: IMPLICIT_LE, implicit: true });
    expect(bytes.includes('1.2.3.4')).toBe(false);
    expect(bytes.includes('Hospital')).toBe(false);
    expect(text(read(bytes, IMPLICIT_LE), '00991002')).toMatch(/^2\.25\./);
  });

  test('text that names the patient goes all the same', () => {
    const block = Buffer.concat([
      element('00990010', 'LO', 'NQHeader'),
      element('00991005', 'LT', 'done for planted-id '),
      element('00991020', 'SH', 'cm3 '),
    ]);
    const after = run([CT, WHO, block]);
    expect(after.elements.has('00991020')).toBe(true);
    expect(text(after, '00991005') ?? '').toBe('');
  });
});

describe('by the word of the object', () => {
  test('a SAFE block stays, but for names, dates, UIDs and what names the patient', () => {
    const after = run([characteristics('SAFE', 0x11, 'ACME'), CT, WHO, ACME]);
    expect(texts(after, '00111001')).toEqual(['one']);
    expect(text(after, '00111003')).toMatch(/^2\.25\./);
    expect(text(after, '00111004')).toBe('ANONYMIZED');
    expect(text(after, '00111005')).toBe('19000101');
    expect(after.elements.has('00111006')).toBe(false);
    expect(text(after.elements.get('00111007')!.items![0]!, '00080080')).toBe('ANONYMIZED');
    expect(text(after.elements.get('00080300')!.items![0]!, '00080302')).toBe('ACME');
  });

  test('a sequence that Implicit VR left as bytes goes, because nobody can look into it', () => {
    const inside = Buffer.from('feff00e008000000', 'hex');
    const block = [
      element('00110010', 'LO', 'ACME'),
      element('00111009', 'UN', Buffer.concat([inside, ACME])),
    ];
    const after = run([characteristics('SAFE', 0x11, 'ACME'), CT, WHO, ...block]);
    expect(after.elements.has('00111009')).toBe(false);
  });

  test('of a MIXED block single elements stay, and others as it says; of an UNSAFE one nothing', () => {
    const actions = sequence('00080305', [
      Buffer.concat([element('00080306', 'US', uint16(2)), element('00080307', 'CS', 'D ')]),
      Buffer.concat([element('00080306', 'US', uint16(6)), element('00080307', 'CS', 'X ')]),
    ]);
    const more = [element('00080304', 'US', uint16(1)), actions];
    const after = run([characteristics('MIXED ', 0x11, 'ACME', more), CT, WHO, ACME]);
    const left = [...after.elements.keys()].filter((tag) => tag.startsWith('0011'));
    expect(left).toEqual(['00110010', '00111001', '00111002']);
    expect(text(after, '00111002')).toBe('ANONYMIZED');
    const unsafe = run([characteristics('UNSAFE', 0x11, 'ACME'), CT, WHO, ACME]);
    expect([...unsafe.elements.keys()].some((tag) => tag.startsWith('0011') || tag === '00080300')).toBe(
      false,
    );
    const other = run([characteristics('SAFE', 0x11, 'OTHER '), CT, WHO, ACME]);
    expect(other.elements.has('00111001')).toBe(false);
  });
});

describe('by the list of a rule', () => {
  const listed = (elements: string[]): Partial<DeidentifySettings> => ({
    retain: ['safe-private'],
    privateElements: [{ creator: 'ACME', elements }],
  });
  test('what it names stays', () => {
    const after = run([CT, WHO, ACME], listed(['0011,xx02']));
    expect([...after.elements.keys()].filter((tag) => tag.startsWith('0011'))).toEqual([
      '00110010',
      '00111002',
    ]);
  });
  test.each([
    ['0010,xx02', /no private element/],
    ['00111002', /no private element/],
  ])('%s is a fault', (one, fault) => {
    expect(() => run([CT], listed([one]))).toThrow(fault);
  });
  test('is a fault without the option', () => {
    const { privateElements } = listed(['0011,xx02']);
    expect(() => run([CT], { retain: [], privateElements })).toThrow(/safe-private among retain/);
  });
});
