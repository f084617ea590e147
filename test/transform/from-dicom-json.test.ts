/** DICOM JSON back into data sets: the whole corpus there and back, values at their limits, and what is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { type DicomJson, type DicomJsonElement, toDicomJson } from '../../src/dicom/dicom-json.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { Failure } from '../../src/failure.ts';
import { fromDicomJson } from '../../src/transform/from-dicom-json.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';

function bytesOf(json: DicomJson): Buffer {
  return Buffer.concat(fromDicomJson(json).pieces.filter((piece) => Buffer.isBuffer(piece)));
}
const back = (json: DicomJson): DicomJson => toDicomJson(parseDataSet(bytesOf(json), EXPLICIT_LE));

describe.skipIf(!corpusFolder)('the corpus', () => {
  it('is the same JSON after it was a data set again', () => {
    let compared = 0;
    for (const { file } of corpusIndex()) {
      if (!file || /^(synth\/malformed|fuzz-corpus)\//.test(file)) continue;
      const bytes = readFileSync(join(corpusFolder!, file));
      let meta: ReturnType<typeof readFileMeta>;
      try {
        meta = readFileMeta(bytes);
      } catch {
        continue;
      }
      const dataSet = parseDataSet(bytes.subarray(meta.dataSetOffset), meta.transferSyntaxUid, {
        stopAtPixelData: true,
      });
      // As text, in which there is no -0.
      const json = JSON.parse(
        JSON.stringify(writable(toDicomJson(dataSet, { inlineLimit: 1e9 }))),
      ) as DicomJson;
      let again: DicomJson;
      try {
        again = JSON.parse(JSON.stringify(back(json))) as DicomJson;
      } catch (thrown) {
        throw new Error(`${file}: ${(thrown as Error).message}`);
      }
      // A DS longer than the Standard allows is the one thing that changes, and that is told.
      if (fromDicomJson(json).rounded) continue;
      expect(withoutCharset(again), file).toEqual(withoutCharset(json));
      const scan = new HeaderScan(EXPLICIT_LE);
      scan.push(bytesOf(json));
      expect(scan.end().fault, file).toBeUndefined();
      compared++;
    }
    expect(compared).toBeGreaterThan(400);
  }, 120_000);
});

/** Whether the character set stands there depends on the text, and what is written is UTF-8, in items too. */
function withoutCharset({ '00080005': _charset, ...json }: DicomJson): DicomJson {
  return Object.fromEntries(
    Object.entries(json).map(([tag, element]) => [
      tag,
      element.vr === 'SQ' && element.Value
        ? { ...element, Value: element.Value.map((item) => withoutCharset(item as DicomJson)) }
        : element,
    ]),
  );
}

/** What has no JSON form in a number VR (NaN) is null there: left out here, as are VRs of nobody. */
function writable(json: DicomJson): DicomJson {
  const entries = Object.entries(json).flatMap(([tag, element]): [string, DicomJsonElement][] => {
    const { Value, vr } = element;
    if (vr === 'SQ')
      return [[tag, Value ? { vr, Value: Value.map((item) => writable(item as DicomJson)) } : { vr }]];
    if (!/^(A[EST]|CS|D[AST]|F[LD]|IS|L[OT]|O[BDFLVW]|PN|S[HLSTV]|TM|U[CILNRSTV])$/.test(vr)) return [];
    if (/^(FL|FD)$/.test(vr) && Value?.includes(null)) return [];
    // Of odd length against PS3.5 7.1.1: written, it is padded.
    const bytes = Buffer.from(element.InlineBinary ?? '', 'base64');
    if (bytes.length % 2 === 1)
      return [[tag, { vr, InlineBinary: Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64') }]];
    return [[tag, element]];
  });
  return Object.fromEntries(entries);
}

const one = (vr: string, ...Value: unknown[]): DicomJson => ({ '00091001': { vr, Value } });
const givenIn = (json: DicomJson): unknown => json['00091001']?.Value;

describe('values', () => {
  it.each<[string, DicomJson, unknown[]]>([
    ['text of several values', one('LO', 'a', null, 'b'), ['a', null, 'b']],
    ['a text with backslashes', one('UT', 'a\\b'), ['a\\b']],
    ['a long text in a short form', one('LT', 'x'.repeat(65_534)), ['x'.repeat(65_534)]],
    ['names', one('PN', { Alphabetic: 'A^B', Phonetic: 'ア' }), [{ Alphabetic: 'A^B', Phonetic: 'ア' }]],
    ['integers at their limits', one('SL', -(2 ** 31), 2 ** 31 - 1), [-(2 ** 31), 2 ** 31 - 1]],
    ['unsigned ones', one('US', 0, 65_535), [0, 65_535]],
    ['64 bits as text', one('UV', '18446744073709551615'), ['18446744073709551615']],
    ['negative ones', one('SV', -1, '-9223372036854775808'), [-1, '-9223372036854775808']],
    ['decimals', one('DS', 0.1, -1e-7, '+1.50', 1e22), [0.1, -1e-7, 1.5, 1e22]],
    ['integer strings', one('IS', -7, '12'), [-7, 12]],
    ['tags', one('AT', '7FE00010'), ['7FE00010']],
    ['doubles', one('FD', 0.1, 1e308), [0.1, 1e308]],
  ])('%s', (_what, json, expected) => {
    expect(givenIn(back(json))).toEqual(expected);
  });

  it('are padded to even length, UIDs with NUL', () => {
    expect(bytesOf({ '00080018': { vr: 'UI', Value: ['1.2'] } }).subarray(8)).toEqual(Buffer.from('1.2\0'));
    expect(bytesOf(one('OB')).length).toBe(12);
    expect(bytesOf({ '00091001': { vr: 'OB', InlineBinary: 'AQID' } }).subarray(12)).toEqual(
      Buffer.from([1, 2, 3, 0]),
    );
  });

  it('are said to be rounded when a decimal has more digits than DS holds', () => {
    const written = fromDicomJson(one('DS', 1 / 3));
    expect(written.rounded).toBe(true);
    expect(givenIn(back(one('DS', -1 / 3)))).toEqual([-0.3333333333333]);
    expect(fromDicomJson(one('DS', 0.125)).rounded).toBe(false);
  });

  it('say their character set when they need it, and only then', () => {
    expect(back({ '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller' }] } })['00080005']).toEqual({
      vr: 'CS',
      Value: ['ISO_IR 192'],
    });
    expect(back({ '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Doe' }] } })).not.toHaveProperty('00080005');
    expect(bytesOf({ '00080005': { vr: 'CS', Value: ['ISO_IR 100'] } }).toString('latin1')).toContain(
      'ISO_IR 192',
    );
  });

  it('of Command and File Meta groups, and group lengths, are left out', () => {
    const json = { '00020010': { vr: 'UI', Value: ['1.2'] }, '00080000': { vr: 'UL', Value: [4] } };
    expect(bytesOf(json).length).toBe(0);
  });
});

describe('bulk data', () => {
  it('stands in its place, with its address', () => {
    const { pieces } = fromDicomJson({
      '7fe00010': { vr: 'OW', BulkDataURI: '../p' },
      '00080016': { vr: 'UI', Value: ['1.2'] },
      '00081140': { vr: 'SQ', Value: [{ '00091010': { vr: 'OB', BulkDataURI: 'q' } }] },
    });
    expect(
      pieces.map((piece) => (Buffer.isBuffer(piece) ? 'bytes' : [piece.tag, piece.uri, piece.atRoot])),
    ).toEqual(['bytes', ['00091010', 'q', false], 'bytes', ['7FE00010', '../p', true]]);
  });
});

describe('what is no DICOM JSON', () => {
  let deep: DicomJson = {};
  for (let n = 0; n < 300; n++) deep = { '00081140': { vr: 'SQ', Value: [deep] } };
  it.each<[string, unknown]>([
    ['a keyword for a tag', { PatientName: { vr: 'PN' } }],
    ['no object', { '00100010': 'Doe' }],
    ['no VR', { '00091001': {} }],
    ['a VR of nobody', one('XX', 1)],
    ['a Value that is no list', { '00091001': { vr: 'LO', Value: 'x' } }],
    ['two forms of a value', { '00091001': { vr: 'OB', InlineBinary: '', BulkDataURI: 'x' } }],
    ['a number out of its range', one('US', 65_536)],
    ['a fraction in an integer', one('UL', 1.5)],
    ['text in a number', one('SS', '1')],
    ['a number in a text', one('LO', 1)],
    ['a backslash in one of several texts', one('LO', 'a\\b')],
    ['two values of a text that has one', one('LT', 'a', 'b')],
    ['a name that is no object', one('PN', 'Doe^Jane')],
    ['a decimal that is none', one('DS', 'high')],
    ['a tag that is none', one('AT', 'PixelData')],
    ['a code in another alphabet', one('CS', 'あ')],
    ['no base64', { '00091001': { vr: 'OB', InlineBinary: '§' } }],
    ['an unsigned 64 bit number below 0', one('UV', '-1')],
    ['a text too long for its VR', one('LT', 'x'.repeat(65_536))],
    ['an item that is none', { '00081140': { vr: 'SQ', Value: ['x'] } }],
    ['nesting without end', deep],
  ])('is refused: %s', (_what, json) => {
    expect(() => fromDicomJson(json as DicomJson)).toThrow(Failure);
  });
});
