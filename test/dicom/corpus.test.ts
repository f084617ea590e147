import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { toDicomJson } from '../../src/dicom/dicom-json.ts';
import { HeaderScan, type Scan, scanUid } from '../../src/dicom/header-scan.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { Failure } from '../../src/failure.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';

const UIDS = [
  ['study_uid', '0020000D'],
  ['series_uid', '0020000E'],
  ['sop_uid', '00080018'],
  ['sop_class_uid', '00080016'],
] as const;

/** What the index's makers found unreadable, or what their tool cut at 80 characters, is not for comparison. */
const index = corpusIndex().filter((row) => row.file);
const good = index.filter((row) => !/^(synth\/malformed|fuzz-corpus)\//.test(row.file!));
const bad = index.filter((row) => /^(synth\/malformed|fuzz-corpus)\//.test(row.file!));

function read(file: string) {
  const bytes = readFileSync(join(corpusFolder!, file));
  const meta = readFileMeta(bytes);
  return { dataSet: bytes.subarray(meta.dataSetOffset), meta };
}

function scanned(dataSet: Uint8Array, transferSyntaxUid: string, size: number): Scan {
  const scan = new HeaderScan(transferSyntaxUid);
  for (let at = 0; at < dataSet.length; at += size) scan.push(dataSet.subarray(at, at + size));
  return scan.end();
}

/** Of a header from which only some elements are asked, those are as in the whole. */
function checkOnly(dataSet: Uint8Array, transferSyntaxUid: string, file: string): void {
  const only = new Set(['00080018', '00081140', '00100010', '00280010', '00400275', '52009229']);
  const json = (options: object) =>
    toDicomJson(parseDataSet(dataSet, transferSyntaxUid, { stopAtPixelData: true, ...options }), { only });
  expect(json({ only }), file).toEqual(json({}));
}

describe.skipIf(!corpusFolder)('the corpus (needs ../shared/corpus)', () => {
  /** No File Meta, so nothing says how they are written. */
  const bare = new Set([
    'dicom-test-files/data/pydicom/OT-PAL-8-face.dcm',
    'fo-dicom/Tests/FO-DICOM.Tests/Test Data/CR-MONO1-10-chest',
    'pydicom/src/pydicom/data/test_files/ExplVR_BigEndNoMeta.dcm',
    'pydicom/src/pydicom/data/test_files/ExplVR_LitEndNoMeta.dcm',
    'pydicom/src/pydicom/data/test_files/no_meta.dcm',
  ]);

  test('every good file gives the UIDs of the index, is complete, and says so in any chunking', () => {
    expect(good.length).toBeGreaterThan(400);
    for (const row of good) {
      if (bare.has(row.file!)) {
        expect(() => read(row.file!), row.file).toThrow(Failure);
        continue;
      }
      const { dataSet, meta } = read(row.file!);
      const scan = scanned(dataSet, meta.transferSyntaxUid, 65_536);
      for (const [column, tag] of UIDS) {
        expect(scanUid(scan, tag) ?? '', `${row.file} ${column}`).toBe(row[column]);
      }
      // GH1339 ends inside its fragments; DCMTK finds the same.
      expect(scan.complete, `${row.file} ${scan.fault}`).toBe(!row.file!.endsWith('GH1339.dcm'));
      expect(scanned(dataSet, meta.transferSyntaxUid, 7), row.file).toEqual(scan);
      if (dataSet.length < 300_000)
        expect(scanned(dataSet, meta.transferSyntaxUid, 1), row.file).toEqual(scan);
    }
  }, 120_000);

  test('every good file parses to the same identity, without a fault', () => {
    for (const row of good) {
      if (bare.has(row.file!) || row.file!.endsWith('GH1339.dcm')) continue;
      const { dataSet, meta } = read(row.file!);
      const parsed = parseDataSet(dataSet, meta.transferSyntaxUid);
      expect(parsed.fault, row.file).toBeUndefined();
      for (const [column, tag] of UIDS)
        expect(text(parsed, tag) ?? '', `${row.file} ${column}`).toBe(row[column]);
      checkOnly(dataSet, meta.transferSyntaxUid, row.file!);
    }
  }, 120_000);

  test('every malformed file is answered: the same in any chunking, by a sentence without its values', () => {
    expect(bad.length).toBeGreaterThan(100);
    for (const row of bad) {
      const bytes = readFileSync(join(corpusFolder!, row.file!));
      let meta: ReturnType<typeof readFileMeta>;
      try {
        meta = readFileMeta(bytes);
      } catch (error) {
        expect(error, row.file).toBeInstanceOf(Failure);
        expect((error as Failure).kind, row.file).toBe('invalid');
        continue;
      }
      const dataSet = bytes.subarray(meta.dataSetOffset);
      const scan = scanned(dataSet, meta.transferSyntaxUid, 65_536);
      expect(scan.complete, row.file).toBe(scan.fault === undefined);
      expect(scanned(dataSet, meta.transferSyntaxUid, 1), row.file).toEqual(scan);
      const parsed = parseDataSet(dataSet, meta.transferSyntaxUid);
      if (!scan.complete) expect(parsed.fault, row.file).toBeDefined();
      expect(JSON.stringify(toDicomJson(parsed)), row.file).not.toContain('\\u0000');
      checkOnly(dataSet, meta.transferSyntaxUid, row.file!);
    }
  }, 120_000);

  test.each([
    '00-control-valid',
    '10-meta-glen-too-small',
    '13-ts-unknown',
    '23-trailing-zeros',
    '25-trailing-padding-ok',
    '26-odd-length-LO',
    '28-UI-space-padded',
    '38-dup-tag',
    '40-vr-unknown-XX',
    '44-UN-undef-len',
    '49-empty-sq-and-items',
    '50-rle-3f-good',
    '67-group-length-elements',
    '68-private-no-creator',
    '72-huge-64k-short-vr',
  ])('%s is complete', (name) => {
    const { dataSet, meta } = read(`synth/malformed/${name}.dcm`);
    expect(scanned(dataSet, meta.transferSyntaxUid, 5)).toMatchObject({ complete: true });
  });

  test.each([
    ['14-ts-lies-implicit', /written in Explicit VR/],
    ['20-trunc-mid-tag', /truncated inside the header of \(7FE0,0010\) PixelData/],
    ['21-trunc-mid-pixels', /truncated inside \(7FE0,0010\) PixelData: 44 bytes of 64 present/],
    ['43-len-beyond-eof', /truncated inside \(7FE0,0010\) PixelData: 16 bytes of/],
    ['51-rle-no-seq-delim', /its delimitation item is missing/],
  ])('%s has a fault', (name, fault) => {
    const { dataSet, meta } = read(`synth/malformed/${name}.dcm`);
    expect(scanned(dataSet, meta.transferSyntaxUid, 5).fault).toMatch(fault);
  });

  test.each([
    ['01-empty', /not a DICOM file/],
    ['07-preamble-no-meta', /\(0002,0010\) TransferSyntaxUID/],
    ['08-meta-no-ts', /\(0002,0010\) TransferSyntaxUID/],
    ['77-html-not-dicom', /not a DICOM file/],
  ])('%s is refused by its File Meta', (name, sentence) => {
    expect(() => read(`synth/malformed/${name}.dcm`)).toThrow(sentence);
  });
});
