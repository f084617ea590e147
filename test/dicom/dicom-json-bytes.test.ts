/**
 * DICOM JSON written straight into bytes says what toDicomJson says: of the values where the two go different ways, of
 * values made at random, and of every header of the corpus.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { type DicomJson, dicomJsonText, toDicomJson } from '../../src/dicom/dicom-json.ts';
import { dicomJsonBytes } from '../../src/dicom/dicom-json-bytes.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { element, encapsulated, sequence, uint16 } from './elements.ts';

const BIG_ENDIAN = '1.2.840.10008.1.2.2';
const bulkDataUri = (path: string): string => `/${path}`;

/** Both ways, each read back; a zero has no sign in JSON.stringify. */
function bothWays(
  bytes: Uint8Array,
  syntax = EXPLICIT_LE,
): { written: unknown; said: unknown; text: string } {
  const dataSet = parseDataSet(bytes, syntax, { stopAtPixelData: true });
  const text = dicomJsonBytes(dataSet, { bulkDataUri }).toString();
  const said = dicomJsonText(toDicomJson(dataSet, { bulkDataUri }));
  return { written: withoutSignedZeros(text), said: JSON.parse(said), text };
}
const withoutSignedZeros = (text: string): unknown =>
  JSON.parse(text, (_, value: unknown) => (Object.is(value, -0) ? 0 : value));

function expectTheSame(bytes: Uint8Array, syntax?: string): void {
  const { written, said, text } = bothWays(bytes, syntax);
  expect(written).toEqual(said);
  expect(text).toBe(ordered(text));
}
/** The text with every object's properties in ascending order. */
const ordered = (text: string): string => {
  const tags = [...text.matchAll(/[{,]"([0-9A-F]{8})":\{"vr"/g)].map(([, tag]) => tag!);
  return isAscending(tags, text) ? text : 'not in ascending order';
};
/** Flat data sets only: nested ones are compared by their values. */
const isAscending = (tags: string[], text: string): boolean =>
  text.includes('"SQ"') || tags.every((tag, n) => n === 0 || tag > tags[n - 1]!);

describe('the bytes', () => {
  it.each([
    ['LO', 'plain'],
    ['LO', '  leading and trailing  '],
    ['LO', ''],
    ['LO', '   '],
    ['LO', 'a\\b\\c '],
    ['LO', ' a \\ b \\c'],
    ['LO', 'a\\\\c '],
    ['LO', '\\'],
    ['LO', '\\\\'],
    ['LO', 'say "this"'],
    ['LO', 'tab\there'],
    ['LO', 'a\0b'],
    ['LO', 'ends in NULs\0\0'],
    ['LO', 'M\xfcnchen '],
    ['LO', '\x7f!'],
    ['LO', 'curly {} <tag> \x7e'],
    ['LT', 'a\\b '],
    ['LT', '  keeps what leads '],
    ['ST', 'line\r\nline'],
    ['UT', 'plain text'],
    ['UR', 'http://x/y\\z'],
    ['UI', '1.2.3\0'],
    ['PN', 'Doe^John '],
    ['PN', 'Doe^John\\Roe^Jane '],
    ['PN', 'A^B=C^D=E^F '],
    ['PN', '=C '],
    ['PN', '= '],
    ['DS', '1.5 '],
    ['DS', '1.50'],
    ['DS', '-1\\0\\0.25\\1e3 '],
    ['DS', ' 1 \\ 2 '],
    ['DS', '+1'],
    ['DS', '007 '],
    ['DS', '.5'],
    ['DS', '5.'],
    ['DS', '-'],
    ['DS', '-0 '],
    ['DS', '1e999 '],
    ['DS', '12345678901234567890'],
    ['DS', 'none'],
    ['DS', '1\\none\\\\2 '],
    ['DS', '1 2 '],
    ['IS', '42'],
    ['IS', '-42 '],
    ['IS', '1.5 '],
    ['IS', '1.0 '],
    ['IS', '4200000000'],
    ['DA', '20260105'],
    ['AS', '056Y'],
    ['CS', 'ORIGINAL\\PRIMARY '],
    ['TM', '101112.5'],
    ['AE', ' AET '],
  ])('of %s %j', (vr, value) => {
    expectTheSame(Buffer.concat([element('00080005', 'CS', 'ISO_IR 100'), element('00091001', vr, value)]));
  });

  it.each([
    ['US', uint16(0)],
    ['US', uint16(65_535)],
    ['US', Buffer.from([1, 0, 10, 0, 99, 0, 100, 0, 16, 39])],
    ['US', Buffer.alloc(0)],
    ['US', Buffer.alloc(1)],
    ['US', Buffer.alloc(3, 1)],
    ['SS', Buffer.from([255, 255])],
    ['FD', Buffer.from(new Float64Array([1.5, Number.NaN]).buffer)],
    ['AT', Buffer.from([8, 0, 5, 0])],
    ['OB', Buffer.from([1, 2, 3])],
    ['OW', Buffer.alloc(2000)],
    ['UN', Buffer.alloc(0)],
  ])('of %s bytes', (vr, value) => {
    expectTheSame(element('00091001', vr, value));
    expectTheSame(element('00091001', vr, value, { bigEndian: true }), BIG_ENDIAN);
  });

  it('of sequences, empty ones and items too, of any depth', () => {
    const inner = sequence('00081140', [element('00081150', 'UI', '1.2\0'), Buffer.alloc(0)]);
    expectTheSame(Buffer.concat([sequence('00081115', [inner, inner]), sequence('00400275', [])]));
  });

  it('of what stands out of order, twice, or in fragments', () => {
    const bytes = Buffer.concat([
      element('00280010', 'US', uint16(1)),
      element('00080060', 'CS', 'CT'),
      element('00080000', 'UL', Buffer.alloc(4)),
      element('00280010', 'US', uint16(2)),
    ]);
    expectTheSame(bytes);
    expect(bothWays(bytes).text).toBe(
      '{"00080060":{"vr":"CS","Value":["CT"]},"00280010":{"vr":"US","Value":[1]}}',
    );
    expectTheSame(encapsulated([Buffer.alloc(0), Buffer.alloc(8)]));
    expectTheSame(Buffer.alloc(0));
  });

  it('of elements that stand for others, or between them', () => {
    const dataSet = parseDataSet(
      Buffer.concat([element('00080060', 'CS', 'CT'), element('00280010', 'US', uint16(1))]),
      EXPLICIT_LE,
    );
    const others = new Map(
      ['00080005', '00080060', '00083002', '7FE00010'].map((tag) => [tag, { vr: 'UN', BulkDataURI: tag }]),
    );
    const written = JSON.parse(dicomJsonBytes(dataSet, {}, others).toString()) as DicomJson;
    expect(Object.keys(written)).toEqual(['00080005', '00080060', '00083002', '00280010', '7FE00010']);
    expect(written['00080060']).toEqual({ vr: 'UN', BulkDataURI: '00080060' });
  });

  it('longer than the room there is at first', () => {
    const values = Array.from({ length: 3000 }, (_, n) => String(n)).join('\\');
    const many = Buffer.alloc(20_000, 255);
    expectTheSame(Buffer.concat([element('00091001', 'UC', values), element('00091002', 'US', many)]));
  });

  it('of values made at random', () => {
    const vrs = 'AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT US'.split(' ');
    const letters = ['A', '1', '0', '.', '-', ' ', '\\', '=', '^', '"', '\0', 'e', '\xe9', '7', '\n'];
    let seed = 20_261_122;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let n = 0; n < 20_000; n++) {
      const vr = vrs[random(vrs.length)]!;
      const value = Array.from({ length: random(9) }, () => letters[random(letters.length)]).join('');
      const { written, said } = bothWays(element('00091001', vr, value));
      expect(written, `${vr} ${JSON.stringify(value)}`).toEqual(said);
    }
  });

  it.skipIf(!corpusFolder)(
    'of every header of the corpus (needs ../shared/corpus)',
    () => {
      let compared = 0;
      for (const row of corpusIndex()) {
        const bytes = readFileSync(join(corpusFolder!, row.file!));
        let start = 0;
        let syntax = IMPLICIT_LE;
        try {
          ({ dataSetOffset: start, transferSyntaxUid: syntax } = readFileMeta(bytes));
        } catch {
          // One without File Meta is read as what it may be.
        }
        const { written, said } = bothWays(bytes.subarray(start), syntax);
        expect(written, row.file).toEqual(said);
        compared++;
      }
      expect(compared).toBeGreaterThan(500);
    },
    120_000,
  );
});
