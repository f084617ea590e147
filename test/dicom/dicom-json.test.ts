import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { elementAt, int, number, parseDataSet, text, texts } from '../../src/dicom/data-set.ts';
import { type DicomJson, dicomJsonText, toDicomJson } from '../../src/dicom/dicom-json.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, JPEG_BASELINE } from '../../src/dicom/transfer-syntax.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { peer } from '../support/peers.ts';
import { delimiter, element, encapsulated, item, sequence, uint16, uint32 } from './elements.ts';

const json = (bytes: Buffer, syntax = EXPLICIT_LE, options = {}) =>
  toDicomJson(parseDataSet(bytes, syntax), options);
const be = { bigEndian: true };
const implicit = { implicit: true };

describe('values', () => {
  test.each<[string, Buffer, unknown]>([
    [
      'texts are split and unpadded, empty ones null',
      element('00080008', 'CS', 'ORIGINAL\\\\ AXIAL '),
      ['ORIGINAL', null, 'AXIAL'],
    ],
    ['one text keeps its backslashes', element('00204000', 'LT', 'a\\b\r\n '), ['a\\b\r\n']],
    ['a UID loses its NUL', element('00080018', 'UI', '1.2.3\0'), ['1.2.3']],
    ['a NUL inside goes', element('00080070', 'LO', 'A\0B '), ['AB']],
    ['nothing', element('00080070', 'LO', ''), undefined],
    ['only padding', element('00080070', 'LO', '  '), undefined],
    ['decimals', element('00200032', 'DS', '-1.5\\+2e1\\ .25'), [-1.5, 20, 0.25]],
    ['a decimal that is none', element('00200032', 'DS', '1\\NaN\\1e999\\1,5'), [1, null, null, null]],
    ['no decimal at all', element('00281050', 'DS', 'high'), undefined],
    ['integers', element('00200013', 'IS', '7 '), [7]],
    ['no integer', element('00200013', 'IS', '1.5 '), undefined],
    ['US', element('00280010', 'US', Buffer.concat([uint16(1), uint16(65535)])), [1, 65535]],
    ['SS', element('00280106', 'SS', uint16(65535)), [-1]],
    [
      'FD, and what JSON has no word for',
      element('00189073', 'FD', Buffer.from(new Float64Array([0.1, Number.NaN]).buffer)),
      [0.1, null],
    ],
    [
      'UV beyond 2^53',
      element('0008040C', 'UV', Buffer.from(new BigUint64Array([2n ** 53n - 1n, 2n ** 60n]).buffer)),
      [2 ** 53 - 1, '1152921504606846976'],
    ],
    ['AT', element('00280009', 'AT', Buffer.concat([uint16(0x18), uint16(0x1063)])), ['00181063']],
    ['names', element('00100010', 'PN', 'Adams^John=\xb7'), [{ Alphabetic: 'Adams^John', Ideographic: '·' }]],
    ['a name and an empty one', element('00081048', 'PN', 'A^B\\'), [{ Alphabetic: 'A^B' }, null]],
    ['an empty sequence', sequence('00081140', []), undefined],
    ['an empty item', sequence('00081140', [Buffer.alloc(0)]), [{}]],
  ])('%s', (_name, bytes, value) => {
    const [[, found] = []] = Object.entries(json(bytes));
    expect(found?.Value).toEqual(value);
    expect(found && 'Value' in found).toBe(value !== undefined);
  });

  test('character sets become UTF-8, inside items too, where they can be other ones', () => {
    const bytes = Buffer.concat([
      element('00080005', 'CS', 'ISO_IR 100'),
      sequence('00081140', [
        element('00081030', 'LO', 'M\xfcnchen '),
        Buffer.concat([element('00080005', 'CS', 'ISO_IR 192'), element('00081030', 'LO', 'M\xc3\xbcnchen')]),
      ]),
    ]);
    const place = { vr: 'LO', Value: ['München'] };
    // (0008,0005) tells what the object was written in, not what the JSON is (PS3.18 F.2.2, note 3).
    const declared = (term: string) => ({ vr: 'CS', Value: [term] });
    expect(json(bytes)).toEqual({
      '00080005': declared('ISO_IR 100'),
      '00081140': {
        vr: 'SQ',
        Value: [{ '00081030': place }, { '00080005': declared('ISO_IR 192'), '00081030': place }],
      },
    });
  });

  test('File Meta, commands and group lengths are left out', () => {
    const bytes = Buffer.concat([
      element('00000002', 'UI', '1.2\0'),
      element('00020010', 'UI', '1.2\0'),
      element('00080000', 'UL', uint32(4)),
      element('00280010', 'US', uint16(3)),
    ]);
    expect(Object.keys(json(bytes))).toEqual(['00280010']);
  });

  test('the text has its properties in ascending order, whatever they look like', () => {
    const bytes = Buffer.concat([
      element('00080018', 'UI', '1.2\0'),
      sequence('30060020', [
        Buffer.concat([element('30060022', 'IS', '1 '), element('00081030', 'LO', 'x ')]),
      ]),
    ]);
    expect(dicomJsonText(json(bytes))).toBe(
      '{"00080018":{"vr":"UI","Value":["1.2"]},"30060020":{"vr":"SQ","Value":[{"00081030":{"vr":"LO","Value":["x"]},"30060022":{"vr":"IS","Value":[1]}}]}}',
    );
  });
});

describe('byte order and VR', () => {
  test('Big Endian numbers, tags and words are turned', () => {
    const bytes = Buffer.concat([
      element('00280009', 'AT', Buffer.from([0, 0x18, 0x10, 0x63]), be),
      element('00280010', 'US', uint16(512, be), be),
      element('00281201', 'OW', Buffer.from([1, 2, 3, 4]), be),
      element('00420011', 'OB', Buffer.from([1, 2]), be),
    ]);
    expect(json(bytes, EXPLICIT_BE)).toEqual({
      '00280009': { vr: 'AT', Value: ['00181063'] },
      '00280010': { vr: 'US', Value: [512] },
      '00281201': { vr: 'OW', InlineBinary: Buffer.from([2, 1, 4, 3]).toString('base64') },
      '00420011': { vr: 'OB', InlineBinary: Buffer.from([1, 2]).toString('base64') },
    });
  });

  test('Implicit VR is read by the dictionary; PixelRepresentation settles US or SS, for items too', () => {
    const smallest = element('00280106', '', uint16(65535), implicit);
    const bytes = Buffer.concat([
      element('00280103', '', uint16(1), implicit),
      smallest,
      element('00283010', '', item(smallest, implicit), implicit),
      element('00291010', '', 'ab', implicit),
    ]);
    expect(json(bytes, IMPLICIT_LE)).toMatchObject({
      '00280103': { vr: 'US', Value: [1] },
      '00280106': { vr: 'SS', Value: [-1] },
      '00283010': { vr: 'SQ', Value: [{ '00280106': { vr: 'SS', Value: [-1] } }] },
      '00291010': { vr: 'UN', InlineBinary: 'YWI=' },
    });
  });

  test('UN that the dictionary knows is read by it, so that a patient is who they are; sequences stay bytes', () => {
    const bytes = Buffer.concat([
      element('00100020', 'UN', '0012'),
      element('00280010', 'UN', uint16(512)),
      element('00081199', 'UN', item(element('00081150', 'UI', '1.2\0'))),
      element('00291010', 'UN', 'ab'),
    ]);
    expect(json(bytes)).toMatchObject({
      '00100020': { vr: 'LO', Value: ['0012'] },
      '00280010': { vr: 'US', Value: [512] },
      '00081199': { vr: 'UN' },
      '00291010': { vr: 'UN', InlineBinary: 'YWI=' },
    });
  });

  test('UN of undefined length is a sequence in Implicit VR (CP-246)', () => {
    const inside = element('00081150', '', '1.2\0', implicit);
    const bytes = Buffer.concat([
      element('00081199', 'UN', item(inside, implicit), { length: 0xffffffff }),
      delimiter('FFFEE0DD'),
    ]);
    expect(json(bytes)).toEqual({
      '00081199': { vr: 'SQ', Value: [{ '00081150': { vr: 'UI', Value: ['1.2'] } }] },
    });
  });
});

describe('bulk data', () => {
  const icon = sequence('00880200', [element('7FE00010', 'OB', Buffer.alloc(2000))]);
  const bytes = Buffer.concat([
    element('00282000', 'OB', Buffer.alloc(2000, 7)),
    icon,
    element('7FE00010', 'OW', Buffer.alloc(8)),
  ]);
  const bulkDataUri = (path: string) => `../bulk/${path}`;

  test('large values and pixels are pointed at, and found again by their path', () => {
    expect(json(bytes, EXPLICIT_LE, { bulkDataUri })).toEqual({
      '00282000': { vr: 'OB', BulkDataURI: '../bulk/00282000' },
      '00880200': {
        vr: 'SQ',
        Value: [{ '7FE00010': { vr: 'OB', BulkDataURI: '../bulk/00880200/0/7FE00010' } }],
      },
      '7FE00010': { vr: 'OW', BulkDataURI: '../bulk/7FE00010' },
    });
    const parsed = parseDataSet(bytes, EXPLICIT_LE);
    expect(elementAt(parsed, '00880200/0/7FE00010')?.element.length).toBe(2000);
    expect(elementAt(parsed, '7FE00010')?.element.length).toBe(8);
    for (const path of [
      '',
      '00880200',
      '00880200/1/7FE00010',
      '00880200/0',
      '00100010',
      '00282000/0/00282000',
    ]) {
      expect(elementAt(parsed, path)?.element.tag, path).toBe(path === '00880200' ? path : undefined);
    }
  });

  test('pixels behind a header that was cut before them are named by the scan', () => {
    const header = parseDataSet(bytes, EXPLICIT_LE, { stopAtPixelData: true });
    expect(header.elements.has('7FE00010')).toBe(false);
    const pixelData = { tag: '7FE00010', vr: 'OW' };
    expect(toDicomJson(header, { bulkDataUri, pixelData })['7FE00010']).toEqual({
      vr: 'OW',
      BulkDataURI: '../bulk/7FE00010',
    });
  });

  test('without addresses values are inline and pixels left out', () => {
    const found = json(bytes);
    expect(Buffer.from(found['00282000']!.InlineBinary!, 'base64')).toEqual(Buffer.alloc(2000, 7));
    expect(found['7FE00010']).toEqual({ vr: 'OW' });
    expect(json(encapsulated([Buffer.alloc(0), Buffer.from('ab')]), JPEG_BASELINE)).toEqual({
      '7FE00010': { vr: 'OB' },
    });
  });
});

describe('the tree', () => {
  test('helpers read the first value, or say there is none', () => {
    const parsed = parseDataSet(
      Buffer.concat([
        element('00080008', 'CS', 'ORIGINAL\\PRIMARY '),
        element('00080050', 'SH', ''),
        element('00200013', 'IS', '12'),
        element('00280010', 'US', uint16(512)),
        element('00281050', 'DS', '40.5\\80'),
      ]),
      EXPLICIT_LE,
    );
    expect(texts(parsed, '00080008')).toEqual(['ORIGINAL', 'PRIMARY']);
    expect(text(parsed, '00080008')).toBe('ORIGINAL');
    expect(text(parsed, '00080050')).toBe('');
    expect(text(parsed, '00100010')).toBeUndefined();
    expect(int(parsed, '00200013')).toBe(12);
    expect(int(parsed, '00280010')).toBe(512);
    expect(int(parsed, '00281050')).toBeUndefined();
    expect(number(parsed, '00281050')).toBe(40.5);
    expect(number(parsed, '00080008')).toBeUndefined();
  });

  test('places lead back to the bytes', () => {
    const bytes = Buffer.concat([
      element('00080050', 'SH', 'A1'),
      encapsulated([Buffer.alloc(0), Buffer.from('ab')]),
    ]);
    const found = parseDataSet(bytes, JPEG_BASELINE).elements;
    const pixels = found.get('7FE00010')!;
    expect(pixels.start).toBe(10);
    expect(pixels.offset + pixels.length).toBe(bytes.length);
    expect(pixels.fragments!.map((fragment) => Buffer.from(fragment).toString())).toEqual(['', 'ab']);
    expect(found.get('00080050')).toMatchObject({ start: 0, offset: 8, length: 2 });
  });

  test('a broken sequence of known length does not hide what stands behind it', () => {
    const bytes = Buffer.concat([
      element('00081140', 'SQ', 'nonsense nonsens'),
      element('0020000D', 'UI', '1.2\0'),
    ]);
    const parsed = parseDataSet(bytes, EXPLICIT_LE);
    expect(parsed.fault).toMatch(/where an item was expected/);
    expect(text(parsed, '0020000D')).toBe('1.2');
  });

  test('nesting ends at a bound, without an exception', () => {
    let inside: Buffer = element('0020000D', 'UI', '1.2\0');
    for (let level = 0; level < 300; level++)
      inside = sequence('00081140', [inside], { undefinedLength: true });
    expect(parseDataSet(inside, EXPLICIT_LE).fault).toMatch(/nested deeper/);
  });

  test('empty items count against the bound of a tree: eight bytes of a sequence cost some hundred in memory', () => {
    const items = Buffer.alloc(8 * 2_100_000, element('FFFEE000', '', '', { implicit: true }));
    const bytes = element('00081140', '', items, { implicit: true });
    const parsed = parseDataSet(bytes, IMPLICIT_LE);
    expect(parsed.fault).toMatch(/more than 2000000/);
    expect(parsed.elements.get('00081140')!.items!.length).toBeLessThanOrEqual(2_000_000);
  });
});

const dcmtk = peer('dcmtk');

describe.skipIf(!corpusFolder || !dcmtk)('against dcm2json (needs dcmtk and ../shared/corpus)', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'isocenter-json-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What the two may say differently: the declared character set, private VRs that only DCMTK's table knows, precision. */
  function comparable(model: DicomJson): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const [tag, { vr, Value, InlineBinary }] of Object.entries(model)) {
      const isPrivate = Number.parseInt(tag.slice(3, 4), 16) % 2 === 1;
      if (tag === '00080005' || tag.startsWith('0002') || tag.endsWith('0000') || isPrivate) continue;
      if (vr === 'SQ') result[tag] = (Value ?? []).map((nested) => comparable(nested as DicomJson));
      else if (vr === 'PN')
        result[tag] = JSON.stringify(Value ?? [])
          .replace(/\^+"/g, '"')
          .replace('[{"Alphabetic":""}]', '[]');
      else if (['FL', 'FD', 'DS'].includes(vr))
        result[tag] = Value?.map((value) => Number(Number(value).toPrecision(6)));
      else if (['UT', 'ST', 'LT'].includes(vr)) result[tag] = Value?.map((value) => String(value).trimEnd());
      else result[tag] = { vr, Value, InlineBinary: InlineBinary || undefined };
    }
    return result;
  }

  /** One of each transfer syntax, class and character set. */
  const seen = new Set<string>();
  const sample = corpusIndex().filter((row) => {
    if (/^(synth\/malformed|fuzz-corpus)\//.test(row.file!) || row.dcmdump_rc !== '0' || row.modality === '')
      return false;
    // GH1301 has bytes beyond ASCII in a CS, which DCMTK replaces by U+FFFD and we read as Latin-1.
    if (row.file!.endsWith('GH1301.dcm')) return false;
    const kind = `${row.ts_uid} ${row.sop_class} ${row.charset}`;
    return seen.has(kind) ? false : seen.add(kind);
  });

  test('says the same of one file of each kind', () => {
    let compared = 0;
    for (const row of sample) {
      const bytes = readFileSync(join(corpusFolder!, row.file!));
      let meta: ReturnType<typeof readFileMeta>;
      try {
        meta = readFileMeta(bytes);
      } catch {
        continue; // without File Meta there is nothing to compare by
      }
      const dataSet = bytes.subarray(meta.dataSetOffset);
      const scan = new HeaderScan(meta.transferSyntaxUid);
      scan.push(dataSet);
      const { pixelData } = scan.end();
      const isWhole = meta.transferSyntaxUid.endsWith('.99') || !pixelData;
      const header = join(folder, 'header.dcm');
      writeFileSync(
        header,
        isWhole ? bytes : bytes.subarray(0, meta.dataSetOffset + pixelData.elementOffset),
      );
      let theirs: DicomJson;
      try {
        const out = execFileSync(dcmtk!.dcm2json!, ['-fc', header], { stdio: 'pipe', maxBuffer: 1 << 28 });
        theirs = JSON.parse(out.toString());
      } catch {
        continue; // what DCMTK cannot convert (ISO 2022 with glibc, NaN) is for the other tests
      }
      const ours = toDicomJson(parseDataSet(dataSet, meta.transferSyntaxUid, { stopAtPixelData: true }));
      if (isWhole) delete theirs['7FE00010'];
      // DCMTK leaves as UN what the dictionary knows; see "UN that the dictionary knows".
      for (const [tag, { vr }] of Object.entries(theirs))
        if (vr === 'UN' && ours[tag]?.vr !== 'UN') {
          delete theirs[tag];
          delete ours[tag];
        }
      expect(comparable(JSON.parse(dicomJsonText(ours))), row.file).toEqual(comparable(theirs));
      compared++;
    }
    expect(compared).toBeGreaterThan(60);
  }, 120_000);
});
