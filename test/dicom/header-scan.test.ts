import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  HeaderScan,
  type HeaderScanOptions,
  MAX_FRAGMENTS,
  scanText,
  scanUid,
} from '../../src/dicom/header-scan.ts';
import {
  DEFLATED_LE,
  EXPLICIT_BE,
  EXPLICIT_LE,
  IMPLICIT_LE,
  JPEG_BASELINE,
} from '../../src/dicom/transfer-syntax.ts';
import { delimiter, element, encapsulated, item, sequence, uint16, uint32 } from './elements.ts';

const UNDEFINED = 0xffffffff;

function scan(
  bytes: Uint8Array,
  syntax = EXPLICIT_LE,
  options?: HeaderScanOptions,
  size = bytes.length || 1,
) {
  const scanning = new HeaderScan(syntax, options);
  for (let at = 0; at < bytes.length; at += size) scanning.push(bytes.subarray(at, at + size));
  return scanning.end();
}

const study = element('0020000D', 'UI', '1.2.3\0');
const pixels = element('7FE00010', 'OW', Buffer.alloc(8));

describe('what is legal is complete', () => {
  for (const [name, syntax, as] of [
    ['Explicit VR Little Endian', EXPLICIT_LE, {}],
    ['Implicit VR Little Endian', IMPLICIT_LE, { implicit: true }],
    ['Explicit VR Big Endian', EXPLICIT_BE, { bigEndian: true }],
  ] as const) {
    test(`${name}, sequences of both kinds of length, in every chunking`, () => {
      const inner = element('0020000D', 'UI', '9.9.9.', as);
      const bytes = Buffer.concat([
        element('00080005', 'CS', 'ISO_IR 100', as),
        element('00080018', 'UI', '1.2.3.4\0', as),
        sequence('00081140', [inner, Buffer.alloc(0)], as),
        sequence('00081140', [sequence('00081199', [inner], { ...as, undefinedLength: true }), inner], {
          ...as,
          undefinedLength: true,
        }),
        element('00100010', 'PN', Buffer.from([0x4d, 0xfc, 0x6c, 0x6c, 0x65, 0x72, 0x5e, 0x41]), as),
        element('0020000D', 'UI', '1.2.3\0', as),
        element('7FE00010', 'OW', Buffer.alloc(64), as),
        element('FFFCFFFC', 'OB', Buffer.alloc(10), as),
      ]);
      const whole = scan(bytes, syntax);
      expect(whole.fault).toBeUndefined();
      expect(whole.complete).toBe(true);
      expect(whole.length).toBe(bytes.length);
      expect(scanUid(whole, '00080018')).toBe('1.2.3.4');
      expect(scanUid(whole, '0020000D')).toBe('1.2.3');
      expect(scanText(whole, '00100010')).toBe('Müller^A');
      const { pixelData } = whole;
      expect(pixelData).toMatchObject({ tag: '7FE00010', vr: 'OW', length: 64, encapsulated: false });
      expect(bytes.subarray(pixelData!.elementOffset, pixelData!.elementOffset + 4)).toEqual(
        element('7FE00010', 'OW', '', as).subarray(0, 4),
      );
      for (const size of [1, 2, 7, 13]) expect(scan(bytes, syntax, {}, size)).toEqual(whole);
    });
  }

  test('fragments are located, with their Basic Offset Table', () => {
    const table = Buffer.concat([uint32(0), uint32(12)]);
    const bytes = Buffer.concat([study, encapsulated([table, Buffer.from('abcd'), Buffer.from('efghij')])]);
    const { pixelData, complete } = scan(bytes, JPEG_BASELINE, {}, 1);
    expect(complete).toBe(true);
    expect(pixelData?.encapsulated).toBe(true);
    expect(pixelData?.length).toBeUndefined();
    expect(pixelData?.elementOffset).toBe(study.length);
    expect(pixelData?.basicOffsetTable).toEqual([0, 12]);
    const { offsets, lengths } = pixelData!.fragments!;
    expect(offsets.map((at, index) => bytes.toString('latin1', at, at + lengths[index]!))).toEqual([
      'abcd',
      'efghij',
    ]);
  });

  test('fragments inside an item (an icon) are passed over, and the pixels behind are found', () => {
    const icon = encapsulated([Buffer.alloc(0), Buffer.from('icon')]);
    const bytes = Buffer.concat([sequence('00880200', [icon], { undefinedLength: true }), study, pixels]);
    const found = scan(bytes);
    expect(found.complete).toBe(true);
    expect(found.pixelData).toMatchObject({ encapsulated: false, length: 8 });
  });

  test('more fragments than are kept: the place stays, the list goes, the walk ends well', () => {
    const many = Array.from({ length: MAX_FRAGMENTS + 1 }, () => Buffer.from('ab'));
    const found = scan(encapsulated([Buffer.alloc(0), ...many]), JPEG_BASELINE);
    expect(found.complete).toBe(true);
    expect(found.pixelData).toMatchObject({ encapsulated: true, basicOffsetTable: [] });
    expect(found.pixelData?.fragments).toBeUndefined();
  });

  test('UN of undefined length holds Implicit VR (CP-246)', () => {
    const implicit = { implicit: true };
    const bytes = Buffer.concat([
      element('00091010', 'UN', item(element('00080018', 'UI', '1.2', implicit)), { length: UNDEFINED }),
      delimiter('FFFEE0DD'),
      study,
    ]);
    const found = scan(bytes, EXPLICIT_LE, {}, 1);
    expect(found.complete).toBe(true);
    expect(scanUid(found, '0020000D')).toBe('1.2.3');
    expect(scanUid(found, '00080018')).toBeUndefined();
  });

  test('an unknown VR is read in its long form, and in its short form where the reserved bytes are a length', () => {
    const long = Buffer.concat([Buffer.from([8, 0, 1, 1]), Buffer.from('ZZ\0\0\x04\0\0\0abcd', 'latin1')]);
    const short = Buffer.concat([Buffer.from([8, 0, 1, 1]), Buffer.from('ZZ\x04\0abcd', 'latin1')]);
    for (const bytes of [long, short]) {
      const found = scan(Buffer.concat([bytes, study]));
      expect(found.complete).toBe(true);
      expect(scanUid(found, '0020000D')).toBe('1.2.3');
    }
  });

  test('zeros after the last element are padding', () => {
    for (const zeros of [1, 4, 7, 8, 9, 512]) {
      for (const [syntax, as] of [
        [EXPLICIT_LE, {}],
        [IMPLICIT_LE, { implicit: true }],
      ] as const) {
        const bytes = Buffer.concat([element('0020000D', 'UI', '1.2.3\0', as), Buffer.alloc(zeros)]);
        expect(scan(bytes, syntax, {}, 3), `${zeros}`).toMatchObject({
          complete: true,
          length: bytes.length,
        });
      }
    }
    const notOnly = Buffer.concat([study, Buffer.alloc(64), Buffer.from([1])]);
    expect(scan(notOnly).fault).toMatch(/after the zero padding/);
  });

  test('a private transfer syntax is read as Explicit VR Little Endian', () => {
    expect(scanUid(scan(study, '1.2.3.4.5'), '0020000D')).toBe('1.2.3');
  });
});

describe('what is kept', () => {
  test('the tags asked for at the root, and the Extended Offset Table', () => {
    const bytes = Buffer.concat([
      element('00080020', 'DA', '20240101'),
      study,
      element('7FE00001', 'OV', Buffer.alloc(16)),
    ]);
    const found = scan(bytes, EXPLICIT_LE, { keep: new Set(['00080020']) });
    expect([...found.elements.keys()]).toEqual(['00080020', '7FE00001']);
  });

  test('a value beyond the limit is passed over', () => {
    const bytes = Buffer.concat([element('00100010', 'PN', 'x'.repeat(100)), study]);
    const found = scan(bytes, EXPLICIT_LE, { maxValueBytes: 99 });
    expect(found.complete).toBe(true);
    expect([...found.elements.keys()]).toEqual(['0020000D']);
  });

  test('of a repeated element the first is kept and the repetition is told', () => {
    const found = scan(Buffer.concat([study, element('0020000D', 'UI', '9.9\0')]));
    expect(scanUid(found, '0020000D')).toBe('1.2.3');
    expect(found.repeated).toEqual(['0020000D']);
  });

  test('the kept bytes are no view on a chunk that the caller uses again', () => {
    const bytes = Buffer.from(study);
    const scanning = new HeaderScan(EXPLICIT_LE);
    scanning.push(bytes);
    bytes.fill(0);
    expect(scanUid(scanning.end(), '0020000D')).toBe('1.2.3');
  });

  test('an empty or absent UID is undefined, an absent text is empty', () => {
    const found = scan(element('0020000D', 'UI', ''));
    expect(found.elements.has('0020000D')).toBe(true);
    expect(scanUid(found, '0020000D')).toBeUndefined();
    expect(scanText(found, '00100010')).toBe('');
  });
});

describe('what is broken has a fault, and what came before it stays', () => {
  const nested = (depth: number) =>
    Buffer.concat(
      Array.from({ length: depth }, () => [
        element('00081140', 'SQ', '', { length: UNDEFINED }),
        Buffer.concat([delimiter('FFFEE000').subarray(0, 4), uint32(UNDEFINED)]),
      ]).flat(),
    );

  test.each<[string, Buffer, string, RegExp]>([
    [
      'value cut',
      pixels.subarray(0, -4),
      EXPLICIT_LE,
      /^truncated inside \(7FE0,0010\) PixelData: 4 bytes of 8 present$/,
    ],
    [
      'header cut',
      pixels.subarray(0, 9),
      EXPLICIT_LE,
      /^truncated inside the header of \(7FE0,0010\) PixelData/,
    ],
    ['tag cut', pixels.subarray(0, 3), EXPLICIT_LE, /^truncated inside an element's tag/],
    [
      'two gigabytes',
      element('7FE00010', 'OW', 'x', { length: 0x80000000 }),
      EXPLICIT_LE,
      /1 bytes of 2147483648/,
    ],
    ['no VR', Buffer.alloc(12, 1), EXPLICIT_LE, /no value representation/],
    [
      'undefined length of text',
      element('00081030', 'UT', '', { length: UNDEFINED }),
      EXPLICIT_LE,
      /undefined length/,
    ],
    ['item at the root', item(Buffer.alloc(0)), EXPLICIT_LE, /\(FFFE,E000\)\S* stands among the elements/],
    [
      'no sequence delimitation',
      sequence('00081140', [study], { undefinedLength: true }).subarray(0, -8),
      EXPLICIT_LE,
      /^truncated inside \(0008,1140\) ReferencedImageSequence: its delimitation item is missing$/,
    ],
    [
      'no item in the sequence',
      Buffer.concat([element('00081140', 'SQ', '', { length: UNDEFINED }), study]),
      EXPLICIT_LE,
      /\(0020,000D\) StudyInstanceUID stands in \(0008,1140\) ReferencedImageSequence .* where an item was expected/,
    ],
    [
      'no end of the fragments',
      encapsulated([Buffer.alloc(0)]).subarray(0, -8),
      JPEG_BASELINE,
      /delimitation item is missing/,
    ],
    ['deeper than anything real', nested(300), EXPLICIT_LE, /nested deeper than 256 levels/],
    [
      'explicit called implicit',
      element('00080008', 'CS', 'ORIGINAL'),
      IMPLICIT_LE,
      /is written in Explicit VR/,
    ],
  ])('%s', (_name, broken, syntax, fault) => {
    const before = element('0008003E', 'UI', '1.2\0', { implicit: syntax === IMPLICIT_LE });
    const bytes = _name === 'explicit called implicit' ? broken : Buffer.concat([before, broken]);
    const found = scan(bytes, syntax, { keep: new Set(['0008003E']) });
    expect(found.fault).toMatch(fault);
    expect(found.complete).toBe(false);
    expect(found.length).toBe(bytes.length);
    if (bytes !== broken) expect(scanUid(found, '0008003E')).toBe('1.2');
    expect(scan(bytes, syntax, { keep: new Set(['0008003E']) }, 1)).toEqual(found);
  });

  test('a hundred levels are no fault', () => {
    let inside = study;
    for (let level = 0; level < 100; level++)
      inside = sequence('00081140', [inside], { undefinedLength: true });
    expect(scan(inside).complete).toBe(true);
  });

  test('a fault quotes no value', () => {
    const bytes = element('00100010', 'PN', 'SECRET^NAME', { length: 200 });
    expect(scan(bytes).fault).toBe('truncated inside (0010,0010) PatientName: 11 bytes of 200 present');
  });
});

describe('Deflated Explicit VR Little Endian', () => {
  const plain = Buffer.concat([study, element('7FE00010', 'OW', Buffer.alloc(100_000))]);

  test('is inflated and read, in any chunking', () => {
    const deflated = deflateRawSync(plain);
    const found = scan(deflated, DEFLATED_LE, {}, 1);
    expect(found).toMatchObject({ complete: true, partial: false, length: deflated.length });
    expect(scanUid(found, '0020000D')).toBe('1.2.3');
    expect(found.pixelData).toMatchObject({ elementOffset: study.length, length: 100_000 });
  });

  test('an even padding byte after the stream is legal (PS3.5 A.5)', () => {
    expect(scan(Buffer.concat([deflateRawSync(plain), Buffer.alloc(1)]), DEFLATED_LE).complete).toBe(true);
  });

  test('cut short has a fault, and what came before stays', () => {
    const deflated = deflateRawSync(plain);
    const found = scan(deflated.subarray(0, deflated.length - 20), DEFLATED_LE);
    expect(found.fault).toMatch(/corrupt or its end is missing/);
    expect(scanUid(found, '0020000D')).toBe('1.2.3');
  });

  test('garbage has a fault', () => {
    expect(scan(Buffer.from('<html>not deflated at all</html>'), DEFLATED_LE).fault).toMatch(/corrupt/);
  });

  test('a bomb is read no further than the bound', () => {
    const bomb = deflateRawSync(Buffer.concat([study, element('7FE00010', 'OW', Buffer.alloc(200 << 20))]), {
      level: 9,
    });
    const found = scan(bomb, DEFLATED_LE);
    expect(found).toMatchObject({ complete: true, partial: true });
    expect(scanUid(found, '0020000D')).toBe('1.2.3');
  });
});

test('group lengths, private tags and command groups are walked', () => {
  const bytes = Buffer.concat([
    element('00080000', 'UL', uint32(12345)),
    element('00091010', 'LO', 'whatever'),
    element('00280010', 'US', uint16(5)),
    study,
  ]);
  expect(scan(bytes).complete).toBe(true);
});
