/**
 * Compressed objects given whole in Explicit VR Little Endian, which PS3.18 8.7.3.5.2 promises to every client: pixels
 * as DCMTK or GDCM decode them, and a header that says no more and no less than it did.
 */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { toDicomJson } from '../../src/dicom/dicom-json.ts';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { transferSyntax } from '../../src/dicom/transfer-syntax.ts';
import { decodedPixel, isDecodable } from '../../src/pixels/decodable.ts';
import { element, item, uint16 } from '../dicom/elements.ts';
import { imageOf } from '../pixels/image-file.ts';
import { byDcmtk, byGdcm } from '../pixels/other-decoder.ts';
import { corpusFolder } from '../support/corpus.ts';
import { type House, openHouse } from '../support/house.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { corpusKinds } from './corpus-kinds.ts';
import { corpusFile, get, getParts, refusal, stow } from './door.ts';
import { EXPLICIT_LE, madeObject } from './made-object.ts';

const RLE = '1.2.840.10008.1.2.5';
const VIDEO = '1.2.840.10008.1.2.4.102';
const DICOM = 'multipart/related; type="application/dicom"';

let house: House;
const instance = (study: string, series: string, sop: string): string =>
  `${house.url}/dicom-web/studies/${study}/series/${series}/instances/${sop}`;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house?.close());

/** An RLE frame of these planes, each one literal run (PS3.5 Annex G). */
function rle(...planes: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(planes.length, 0);
  const segments = planes.map((plane) => Buffer.concat([Buffer.from([plane.length - 1]), plane]));
  let offset = 64;
  for (const [index, segment] of segments.entries()) {
    header.writeUInt32LE(offset, 4 + 4 * index);
    offset += segment.length;
  }
  const frame = Buffer.concat([header, ...segments]);
  return frame.length % 2 === 0 ? frame : Buffer.concat([frame, Buffer.alloc(1)]);
}

const THREE_BY_THREE = [
  ['00280010', 'US', uint16(3)],
  ['00280011', 'US', uint16(3)],
  ['00280100', 'US', uint16(8)],
  ['00280101', 'US', uint16(8)],
  ['00280102', 'US', uint16(7)],
] as const;
const NINE = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9]);
const MORE = Buffer.from([11, 12, 13, 14, 15, 16, 17, 18, 19]);

describe('a compressed object in Explicit VR Little Endian', () => {
  beforeAll(async () => {
    const icon = item(
      Buffer.concat([
        element('7FE00010', 'OB', '', { length: 0xffffffff }),
        item(Buffer.alloc(0)),
        item(NINE.subarray(0, 8)),
        Buffer.from('feffdde000000000', 'hex'),
      ]),
    );
    const { status } = await stow(house.url, [
      madeObject({
        study: '8.1',
        instance: '8.1.9.1',
        transferSyntax: RLE,
        elements: [
          ...THREE_BY_THREE,
          ['00280000', 'UL', Buffer.from([99, 0, 0, 0])],
          ['00280008', 'IS', '3'],
          ['00880200', 'SQ', icon],
        ],
        fragments: [Buffer.alloc(0), rle(NINE), rle(MORE), rle(NINE)],
      }),
      madeObject({
        study: '8.1',
        instance: '8.1.9.2',
        transferSyntax: RLE,
        elements: [...THREE_BY_THREE, ['00280010', 'US', uint16(65_535)], ['00280011', 'US', uint16(65_535)]],
        fragments: [Buffer.alloc(0), rle(NINE)],
      }),
      madeObject({
        study: '8.2',
        instance: '8.2.9.1',
        transferSyntax: VIDEO,
        fragments: [Buffer.alloc(0), Buffer.from('video!')],
      }),
      madeObject({
        study: '8.2',
        instance: '8.2.9.2',
        transferSyntax: RLE,
        without: ['7FE00010'],
      }),
    ]);
    expect(status).toBe(200);
  });

  it('has its frames one behind the other, and a byte of padding', async () => {
    const { status, type, bytes } = await get(instance('8.1', '8.1.1', '8.1.9.1'), 'application/dicom');
    expect([status, type]).toEqual([200, `application/dicom; transfer-syntax=${EXPLICIT_LE}`]);
    const expected = element('7FE00010', 'OB', Buffer.concat([NINE, MORE, NINE, Buffer.alloc(1)]));
    expect(bytes.subarray(-expected.length).equals(expected)).toBe(true);
    expect(readFileMeta(bytes).transferSyntaxUid).toBe(EXPLICIT_LE);
    const { elements, fault } = parseDataSet(bytes.subarray(readFileMeta(bytes).dataSetOffset), EXPLICIT_LE);
    expect(fault).toBeUndefined();
    expect(elements.get('00100010')?.value.toString()).toContain('Doe^Jane');
    // The compressed icon could not be read any more, and lengths of groups would be wrong.
    expect([elements.has('00880200'), elements.has('00280000')]).toEqual([false, false]);
  });

  it('comes so by default, in a study too, and as it is stored where that is taken', async () => {
    const url = instance('8.1', '8.1.1', '8.1.9.1');
    expect((await getParts(url, DICOM))[0]?.type).toContain(EXPLICIT_LE);
    expect((await getParts(url, `${DICOM}; transfer-syntax=${RLE}`))[0]?.type).toContain(RLE);
    expect((await getParts(url, `${DICOM}; transfer-syntax=*`))[0]?.type).toContain(RLE);
    const both = `${DICOM}; transfer-syntax=${RLE}; q=0.3, ${DICOM}; transfer-syntax=${EXPLICIT_LE}; q=0.8`;
    expect((await getParts(url, both))[0]?.type).toContain(EXPLICIT_LE);
  });

  it('is refused in words where it is asked for and cannot be made', async () => {
    const refused = (url: string, accept: string) =>
      refusal(url, { headers: { Accept: `${accept}; transfer-syntax=${EXPLICIT_LE}` } });
    expect(await refused(instance('8.1', '8.1.1', '8.1.9.2'), 'application/dicom')).toMatchObject({
      status: 413,
    });
    const video = instance('8.2', '8.2.1', '8.2.9.1');
    for (const accept of ['application/dicom', DICOM])
      expect(await refused(video, accept)).toMatchObject({
        status: 406,
        message: expect.stringContaining(VIDEO),
      });
  });

  it('is as it is stored where it cannot be made and no transfer syntax was named, in a study, too', async () => {
    const typeOf = (syntax: string): string => `application/dicom; transfer-syntax=${syntax}`;
    const tooLong = await get(instance('8.1', '8.1.1', '8.1.9.2'), 'application/dicom');
    expect([tooLong.status, tooLong.type]).toEqual([200, typeOf(RLE)]);
    const answer = await fetch(`${house.url}/dicom-web/studies/8.2`, { headers: { Accept: DICOM } });
    expect([answer.status, answer.headers.get('warning')]).toEqual([200, null]);
    await answer.arrayBuffer();
    const parts = await getParts(`${house.url}/dicom-web/studies/8.2`, DICOM);
    expect(parts.map(({ type }) => type).sort()).toEqual([typeOf(EXPLICIT_LE), typeOf(VIDEO)].sort());
    const video = parts.find(({ type }) => type === typeOf(VIDEO))!;
    const original = await get(`${house.url}/api/instances/8.2.9.1/original`);
    expect(video.body.equals(original.bytes)).toBe(true);
  });

  it('of a study is given without those that cannot be had so, and that is said', async () => {
    const url = `${house.url}/dicom-web/studies/8.2`;
    const accept = `${DICOM}; transfer-syntax=${EXPLICIT_LE}`;
    const answer = await fetch(url, { headers: { Accept: accept } });
    await answer.arrayBuffer();
    expect(answer.status).toBe(206);
    expect(answer.headers.get('warning')).toMatch(
      /^299 .*\/dicom-web: 1 instances are left out.*transfer-syntax=\*/,
    );
    expect(answer.headers.get('warning')).toContain(VIDEO);
    const { bytes, type } = await get(url, accept);
    expect(type).toContain('multipart/related');
    expect(bytes.includes('8.2.9.2')).toBe(true);
    expect(bytes.includes('8.2.9.1')).toBe(false);
    const { rows } = await house.db.database.query<{ instances: number }>(
      'select instances from disclosure order by id desc limit 1',
    );
    expect(rows).toEqual([{ instances: 1 }]);
  });

  it('without pixels is the same but for its File Meta', async () => {
    const { bytes } = await get(instance('8.2', '8.2.1', '8.2.9.2'), 'application/dicom');
    const { elements, fault } = parseDataSet(bytes.subarray(readFileMeta(bytes).dataSetOffset), EXPLICIT_LE);
    expect([fault, elements.get('00280010')?.value.length]).toEqual([undefined, 2]);
  });
});

/** What may differ from the compressed object: pixels, their colour, lengths and marks of compression. */
const MAY_DIFFER = /^(7FE0|....0000|00280004|00280006|00282110|00282114|00083002|FFFC|FFFA)/;

describe.skipIf(!corpusFolder)('compressed objects of the corpus in Explicit VR Little Endian', () => {
  it('are what DCMTK or GDCM make of them', async () => {
    const folder = await tempFolder('decoded-instances');
    const compared = new Set<string>();
    for (const row of corpusKinds()) {
      const { encapsulated, lossy } = transferSyntax(row.ts_uid!);
      if (!encapsulated || !isDecodable(row.ts_uid!)) continue;
      // Says RGB over YCbCr without a marker: others believe the header, our decoder the codestream.
      if (row.file!.endsWith('SC_rgb_jpeg_lossy_gdcm.dcm')) continue;
      const source = corpusFile(row.file!);
      if ((await stow(house.url, [source])).status !== 200) continue;
      const file = path.join(corpusFolder!, row.file!);
      const theirs = (await byDcmtk(file, row.ts_uid!, folder.path)) ?? (await byGdcm(file, folder.path));
      const url = instance(row.study_uid!, row.series_uid!, row.sop_uid!);
      const { status, bytes } = await get(url, 'application/dicom');
      if (!theirs || !imageOf(theirs).pixel.rows) continue;
      expect(status, `${row.file}: ${bytes.subarray(0, 200)}`).toBe(200);
      expect(headerOf(bytes), row.file).toEqual(headerOf(source));
      const mine = imageOf(bytes);
      expect(mine.pixel, row.file).toMatchObject({
        photometricInterpretation: decodedPixel(imageOf(source).pixel).photometricInterpretation,
        transferSyntaxUid: EXPLICIT_LE,
      });
      const other = imageOf(theirs);
      expect(mine.frameCount, row.file).toBe(other.frameCount);
      // Their colour may lie by plane, or still be YCbCr: pixels/corpus.test.ts compares those.
      if (other.pixel.photometricInterpretation !== mine.pixel.photometricInterpretation) continue;
      if (other.pixel.planarConfiguration !== mine.pixel.planarConfiguration) continue;
      for (const number of new Set([1, mine.frameCount])) {
        const [ours, their] = [await mine.frame(number), await other.frame(number)];
        expect(ours.length, row.file).toBe(their.length);
        if (!lossy) expect(Buffer.from(ours).equals(Buffer.from(their)), row.file).toBe(true);
      }
      compared.add(row.ts_uid!);
    }
    await folder.remove();
    expect(compared.size).toBeGreaterThan(7);
  }, 180_000);
});

function headerOf(file: Buffer): Record<string, unknown> {
  const { transferSyntaxUid, dataSetOffset } = readFileMeta(file);
  const dataSet = parseDataSet(file.subarray(dataSetOffset), transferSyntaxUid, { stopAtPixelData: true });
  const json = toDicomJson(dataSet, { bulkDataUri: (at) => at });
  return Object.fromEntries(Object.entries(json).filter(([tag]) => !MAY_DIFFER.test(tag)));
}
