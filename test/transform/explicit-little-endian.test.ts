import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { toDicomJson } from '../../src/dicom/dicom-json.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import {
  DEFLATED_LE,
  EXPLICIT_BE,
  EXPLICIT_LE,
  IMPLICIT_LE,
  JPEG_BASELINE,
  transferSyntax,
} from '../../src/dicom/transfer-syntax.ts';
import { ExplicitLittleEndianConversion } from '../../src/transform/explicit-little-endian.ts';
import { delimiter, element, item, sequence, uint16, uint32 } from '../dicom/elements.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { peer } from '../support/peers.ts';

const be = { bigEndian: true };
const implicit = { implicit: true };

function converted(bytes: Uint8Array, syntax: string, size = bytes.length || 1): Buffer {
  const conversion = new ExplicitLittleEndianConversion(syntax);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size)
    parts.push(...conversion.push(bytes.subarray(at, at + size)));
  return Buffer.concat([...parts, ...conversion.end()]);
}

describe('Implicit VR', () => {
  test('gets the VRs of the dictionary; sequences leave with undefined lengths, group lengths not at all', () => {
    const source = Buffer.concat([
      element('00080000', '', uint32(99), implicit),
      element('00080018', '', '1.2\0', implicit),
      sequence('00081140', [element('00081150', '', '1.3\0', implicit), Buffer.alloc(0)], implicit),
      sequence('00081140', [], implicit),
      element('00280103', '', uint16(1), implicit),
      element('00280106', '', uint16(65535), implicit),
      element('00291010', '', 'ab', implicit),
      element('7FE00010', '', 'pixels', implicit),
      Buffer.alloc(20),
    ]);
    const expected = Buffer.concat([
      element('00080018', 'UI', '1.2\0'),
      sequence('00081140', [element('00081150', 'UI', '1.3\0'), Buffer.alloc(0)], { undefinedLength: true }),
      element('00081140', 'SQ', ''),
      element('00280103', 'US', uint16(1)),
      element('00280106', 'SS', uint16(65535)),
      element('00291010', 'UN', 'ab'),
      element('7FE00010', 'OW', 'pixels'),
    ]);
    for (const size of [1, 3, 1000]) expect(converted(source, IMPLICIT_LE, size)).toEqual(expected);
  });

  test('a value too long for its VR becomes UN (PS3.5 6.2.2)', () => {
    const long = 'x'.repeat(70_000);
    expect(converted(element('00204000', '', long, implicit), IMPLICIT_LE)).toEqual(
      element('00204000', 'UN', long),
    );
  });
});

describe('leaving in Implicit VR', () => {
  const toImplicit = (bytes: Uint8Array, from: string, size: number): Buffer => {
    const conversion = new ExplicitLittleEndianConversion(from, undefined, { implicit: true });
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size)
      parts.push(...conversion.push(bytes.subarray(at, at + size)));
    return Buffer.concat([...parts, ...conversion.end()]);
  };
  const elementsIn = (more: object, form: { implicit: boolean; undefinedLength?: boolean }) => [
    element('00080018', form.implicit ? '' : 'UI', '1.2\0', { ...more, ...form }),
    sequence('00081140', [element('00081150', form.implicit ? '' : 'UI', '1.3\0', { ...more, ...form })], {
      ...more,
      ...form,
    }),
    element('00280010', form.implicit ? '' : 'US', uint16(512, more), { ...more, ...form }),
    element('00291010', form.implicit ? '' : 'UN', 'ab', { ...more, ...form }),
    element('7FE00010', form.implicit ? '' : 'OW', uint16(513, more), { ...more, ...form }),
  ];

  test.each([
    ['Explicit VR Little Endian', EXPLICIT_LE, {}],
    ['Explicit VR Big Endian', EXPLICIT_BE, { bigEndian: true }],
  ])('from %s, in any chunking', (_name, from, more) => {
    const source = Buffer.concat(elementsIn(more, { implicit: false }));
    const expected = Buffer.concat(elementsIn({}, { implicit: true, undefinedLength: true }));
    for (const size of [1, 3, 1000]) expect(toImplicit(source, from, size)).toEqual(expected);
  });

  test('and back it is what it was', () => {
    const source = Buffer.concat(elementsIn({}, { implicit: false, undefinedLength: true }));
    expect(converted(toImplicit(source, EXPLICIT_LE, 1000), IMPLICIT_LE)).toEqual(source);
  });

  test('what is deflated is inflated first', () => {
    expect(() => toImplicit(Buffer.alloc(2), DEFLATED_LE, 1)).toThrow(
      /becomes Explicit VR Little Endian first/,
    );
  });
});

describe('Big Endian', () => {
  test('turns words by VR, in any chunking', () => {
    const bytes = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]);
    const source = Buffer.concat([
      element('00080060', 'CS', 'CT', be),
      element('00280009', 'AT', bytes, be),
      element('00280010', 'US', uint16(512, be), be),
      element('00189073', 'FD', bytes, be),
      sequence('00081140', [element('00189219', 'SS', uint16(0xfffe, be), be)], be),
      element('00291010', 'UN', bytes, be),
      element('60003000', 'OB', bytes, be),
      element('7FE00010', 'OW', bytes, be),
    ]);
    const pairs = Buffer.from([2, 1, 4, 3, 6, 5, 8, 7]);
    const expected = Buffer.concat([
      element('00080060', 'CS', 'CT'),
      element('00280009', 'AT', pairs),
      element('00280010', 'US', uint16(512)),
      element('00189073', 'FD', Buffer.from(bytes).reverse()),
      sequence('00081140', [element('00189219', 'SS', uint16(0xfffe))], { undefinedLength: true }),
      element('00291010', 'UN', bytes),
      element('60003000', 'OB', bytes),
      element('7FE00010', 'OW', pairs),
    ]);
    for (const size of [1, 3, 5, 1000]) expect(converted(source, EXPLICIT_BE, size)).toEqual(expected);
  });
});

test('UN of undefined length becomes the sequence it is (CP-246)', () => {
  const source = Buffer.concat([
    element('00091010', 'UN', item(element('00081150', '', '1.3\0', implicit)), { length: 0xffffffff }),
    delimiter('FFFEE0DD'),
  ]);
  expect(converted(source, EXPLICIT_LE)).toEqual(
    sequence('00091010', [element('00081150', 'UI', '1.3\0')], { undefinedLength: true }),
  );
});

test('a deflated data set is inflated', () => {
  const plain = Buffer.concat([
    element('00080018', 'UI', '1.2\0'),
    element('7FE00010', 'OW', Buffer.alloc(100_000, 3)),
  ]);
  expect(converted(deflateRawSync(plain), DEFLATED_LE, 10)).toEqual(plain);
  expect(() => converted(deflateRawSync(plain).subarray(0, 50), DEFLATED_LE)).toThrow(
    expect.objectContaining({ kind: 'invalid' }),
  );
  const bomb = deflateRawSync(Buffer.alloc(70 << 20), { level: 1 });
  expect(() => converted(bomb, DEFLATED_LE)).toThrow(expect.objectContaining({ kind: 'too-large' }));
});

test('encapsulated pixels are refused: that would be decoding', () => {
  expect(() => new ExplicitLittleEndianConversion(JPEG_BASELINE)).toThrow(
    expect.objectContaining({ kind: 'unsupported' }),
  );
});

test.each<[string, Buffer]>([
  ['a value cut short', element('7FE00010', '', 'pixels', implicit).subarray(0, 10)],
  ['a header cut short', element('7FE00010', '', 'pixels', implicit).subarray(0, 6)],
  [
    'a delimitation that is missing',
    sequence('00081140', [], { ...implicit, undefinedLength: true }).subarray(0, -8),
  ],
  [
    'an item longer than its sequence',
    element('00081140', '', item(Buffer.alloc(8)).subarray(0, 12), implicit),
  ],
  ['a header across the end of its item', element('00081140', '', item(Buffer.alloc(4, 8)), implicit)],
  [
    'an element longer than its item',
    element('00081140', '', item(element('00080018', '', '', { ...implicit, length: 9 })), implicit),
  ],
  ['bytes behind the padding', Buffer.concat([Buffer.alloc(16), Buffer.from([1])])],
])('%s is invalid', (_name, bytes) => {
  for (const size of [1, 1000]) {
    expect(() => converted(bytes, IMPLICIT_LE, size)).toThrow(expect.objectContaining({ kind: 'invalid' }));
  }
});

const sources = corpusIndex().filter((row) => {
  if (/^(synth\/malformed|fuzz-corpus)\//.test(row.file!) || row.dcmdump_rc !== '0') return false;
  return [IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE].includes(row.ts_uid!);
});

function read(file: string) {
  const bytes = readFileSync(file);
  const meta = readFileMeta(bytes);
  return { dataSet: bytes.subarray(meta.dataSetOffset), syntax: meta.transferSyntaxUid };
}

/** Values and pixels, as little endian words. */
function content(dataSet: Uint8Array, syntax: string) {
  const parsed = parseDataSet(dataSet, syntax);
  expect(parsed.fault).toBeUndefined();
  const pixels = parsed.elements.get('7FE00010');
  const words = pixels && Buffer.from(pixels.value);
  if (words && transferSyntax(syntax).bigEndian && pixels.vr === 'OW') words.swap16();
  return { json: toDicomJson(parsed), pixels: words?.toString('base64') };
}

describe.skipIf(!corpusFolder)('the corpus (needs ../shared/corpus)', () => {
  test('every Implicit, Big Endian and deflated file keeps its values and pixels', () => {
    let compared = 0;
    for (const row of sources) {
      const file = join(corpusFolder!, row.file!);
      if (!readFileSync(file).subarray(128, 132).equals(Buffer.from('DICM'))) continue;
      const { dataSet, syntax } = read(file);
      const result = converted(dataSet, syntax, 65_536);
      expect(converted(dataSet, syntax, 1021).equals(result), row.file).toBe(true);
      const scan = new HeaderScan(EXPLICIT_LE);
      scan.push(result);
      expect(scan.end().complete, row.file).toBe(true);
      expect(content(result, EXPLICIT_LE), row.file).toEqual(content(dataSet, syntax));
      compared++;
    }
    expect(compared).toBeGreaterThan(50);
  }, 120_000);
});

const dcmtk = peer('dcmtk');

describe.skipIf(!corpusFolder || !dcmtk)('against dcmconv (needs dcmtk and ../shared/corpus)', () => {
  test('Big Endian becomes the same values and pixels', () => {
    const folder = mkdtempSync(join(tmpdir(), 'isocenter-endian-'));
    try {
      const bigEndian = sources.filter((row) => row.ts_uid === EXPLICIT_BE && !row.file!.includes('NoMeta'));
      expect(bigEndian.length).toBeGreaterThan(1);
      for (const row of bigEndian) {
        const file = join(corpusFolder!, row.file!);
        const out = join(folder, 'out.dcm');
        execFileSync(dcmtk!.dcmconv!, ['+te', file, out], { stdio: 'pipe' });
        const theirs = read(out);
        const { dataSet, syntax } = read(file);
        expect(content(converted(dataSet, syntax), EXPLICIT_LE), row.file).toEqual(
          content(theirs.dataSet, theirs.syntax),
        );
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 60_000);
});
