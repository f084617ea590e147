/**
 * WADO-RS of frames and rendered pictures over the real archive: bit for bit the source's pixels, sliced here by
 * dicom-parser, and pictures as DCMTK makes them.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import dicomParser from 'dicom-parser';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uint16 } from '../dicom/elements.ts';
import { corpusFolder } from '../support/corpus.ts';
import { type House, openHouse } from '../support/house.ts';
import { peer } from '../support/peers.ts';
import { corpusKinds } from './corpus-kinds.ts';
import { corpusFile, dicomwebClient, get, getParts, refusal, stow } from './door.ts';
import { EXPLICIT_BE, EXPLICIT_LE, madeObject, RAMP } from './made-object.ts';

const JPEG_LS = '1.2.840.10008.1.2.4.80';
const ANY = 'multipart/related; type=application/octet-stream; transfer-syntax=*';
const dcmtk = peer('dcmtk');

let house: House;
const instance = (study: string, series: string, sop: string): string =>
  `${house.url}/dicom-web/studies/${study}/series/${series}/instances/${sop}`;

beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house?.close());

const three = (values: readonly number[]) => Buffer.concat(values.map((value) => Buffer.alloc(32, value)));

describe('frames of native pixels', () => {
  beforeAll(async () => {
    const frames = [['00280008', 'IS', '3']] as const;
    const { status } = await stow(house.url, [
      madeObject({ study: '7.1', instance: '7.1.9.1', elements: frames, pixels: three([1, 2, 3]) }),
      madeObject({ study: '7.1', instance: '7.1.9.2', transferSyntax: EXPLICIT_BE }),
      // Eight bits in OW, odd frames: in Big Endian a frame begins inside a swapped word.
      madeObject({
        study: '7.1',
        instance: '7.1.9.3',
        transferSyntax: EXPLICIT_BE,
        elements: [
          ['00280008', 'IS', '2'],
          ['00280010', 'US', uint16(3, { bigEndian: true })],
          ['00280011', 'US', uint16(3, { bigEndian: true })],
          ['00280100', 'US', uint16(8, { bigEndian: true })],
          ['00280101', 'US', uint16(8, { bigEndian: true })],
          ['00280102', 'US', uint16(7, { bigEndian: true })],
        ],
        pixels: Buffer.from(Array.from({ length: 18 }, (_, index) => index + 1)).swap16(),
      }),
      // Single bits, nine a frame: the second begins inside a byte.
      madeObject({
        study: '7.1',
        instance: '7.1.9.4',
        elements: [
          ['00280008', 'IS', '2'],
          ['00280010', 'US', uint16(3)],
          ['00280011', 'US', uint16(3)],
          ['00280100', 'US', uint16(1)],
          ['00280101', 'US', uint16(1)],
          ['00280102', 'US', uint16(0)],
        ],
        pixels: Buffer.from([0b1010_0101, 0b0011_0011, 0b10, 0]),
      }),
    ]);
    expect(status).toBe(200);
  });
  const url = (sop: string, frames: string): string => `${instance('7.1', '7.1.1', sop)}/frames/${frames}`;

  it('come in the order asked for, each in its part', async () => {
    const parts = await getParts(url('7.1.9.1', '3,1'), ANY);
    expect(parts.map((part) => part.body[0])).toEqual([3, 1]);
    expect(parts[0]?.body.equals(three([3]))).toBe(true);
    expect(parts[0]?.type).toBe(`application/octet-stream; transfer-syntax=${EXPLICIT_LE}`);
  });

  it('come alone without multipart', async () => {
    const { bytes, type } = await get(url('7.1.9.1', '2'), 'application/octet-stream');
    expect([type.split(';')[0], bytes.equals(three([2]))]).toEqual(['application/octet-stream', true]);
  });

  it('of Big Endian come little endian', async () => {
    expect((await getParts(url('7.1.9.2', '1'), ANY))[0]?.body.equals(RAMP)).toBe(true);
    const parts = await getParts(url('7.1.9.3', '1,2'), ANY);
    expect(parts.map((part) => [...part.body])).toEqual([
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
      [10, 11, 12, 13, 14, 15, 16, 17, 18],
    ]);
  });

  it('of single bits begin at a byte', async () => {
    const parts = await getParts(url('7.1.9.4', '1,2'), ANY);
    expect(parts.map((part) => [...part.body])).toEqual([
      [0b1010_0101, 1],
      [0b0001_1001, 1],
    ]);
  });

  it('reach dicomweb-client', async () => {
    const frames = await dicomwebClient(house.url).retrieveInstanceFrames({
      studyInstanceUID: '7.1',
      seriesInstanceUID: '7.1.1',
      sopInstanceUID: '7.1.9.1',
      frameNumbers: [1, 2],
    } as never);
    expect(frames.map((frame) => new Uint8Array(frame as ArrayBuffer)[0])).toEqual([1, 2]);
  });

  it.each([
    ['4', 404, 'no frame 4'],
    ['1,9', 404, 'no frame 9'],
    ['0', 400, 'from 1 up'],
    ['-1', 400, 'from 1 up'],
    ['x', 400, 'from 1 up'],
    ['1,,2', 400, 'from 1 up'],
    ['1;2', 400, 'from 1 up'],
  ])('numbered %s: %i', async (frames, status, sentence) => {
    expect(await refusal(url('7.1.9.1', frames))).toMatchObject({
      status,
      message: expect.stringContaining(sentence),
    });
  });

  it('cannot be had compressed', async () => {
    expect(await refusal(url('7.1.9.1', '1'), { headers: { Accept: 'image/jp2' } })).toMatchObject({
      status: 406,
      message: expect.stringContaining('application/octet-stream'),
    });
  });
});

/** Sixteen pixels of one value below 256, as RLE of two segments (PS3.5 G.5). */
function rleOf(value: number): Buffer {
  const header = Buffer.alloc(64);
  for (const [at, word] of [2, 64, 66].entries()) header.writeUInt32LE(word, at * 4);
  return Buffer.concat([header, Buffer.from([241, 0, 241, value])]);
}

describe('frames of fragments that do not say enough', () => {
  const JPEG_BASELINE = '1.2.840.10008.1.2.4.50';
  const cut = '7.8.9.1';
  const lying = '7.8.9.2';
  beforeAll(async () => {
    const { status } = await stow(house.url, [
      madeObject({
        study: '7.8',
        instance: cut,
        transferSyntax: '1.2.840.10008.1.2.5',
        elements: [['00280008', 'IS', '3']],
        fragments: [Buffer.alloc(0), rleOf(7), rleOf(8)],
      }),
      // As many offsets as frames, and none of them right.
      madeObject({
        study: '7.8',
        instance: lying,
        transferSyntax: JPEG_BASELINE,
        elements: [['00280008', 'IS', '2']],
        fragments: [
          Buffer.from([4, 0, 0, 0, 9, 0, 0, 0]),
          Buffer.from('ffd8ffe0', 'hex'),
          Buffer.from('one '),
          Buffer.from('ffd8ffdb', 'hex'),
        ],
      }),
    ]);
    expect(status).toBe(200);
  });
  const url = (sop: string): string => instance('7.8', '7.8.1', sop);

  it('are the first ones where some are missing, stored, decoded and as pictures', async () => {
    const stored = await getParts(`${url(cut)}/frames/2,1`, ANY);
    expect(stored.map((part) => part.body.at(-1))).toEqual([8, 7]);
    const decoded = await get(
      `${url(cut)}/frames/2`,
      'application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1',
    );
    expect([...new Set(new Uint16Array(Uint8Array.from(decoded.bytes).buffer))]).toEqual([8]);
    expect((await get(`${url(cut)}/frames/2/rendered`, 'image/png')).status).toBe(200);
    for (const [path, accept] of [
      ['frames/3', ANY],
      ['frames/1,3', ANY],
      ['frames/3/rendered', 'image/png'],
    ] as const) {
      expect(await refusal(`${url(cut)}/${path}`, { headers: { Accept: accept } }), path).toMatchObject({
        status: 404,
        message: expect.stringContaining('Frame 3 is missing: (7FE0,0010) PixelData has 2 of the 3 frames'),
      });
    }
    expect((await get(`${url(cut)}/frames/4`, ANY)).status).toBe(404);
  });

  it('leave no decoded object that has fewer than it says', async () => {
    const { status, bytes } = await get(url(cut), `application/dicom; transfer-syntax=${EXPLICIT_LE}`);
    expect([status, bytes.toString()]).toEqual([406, expect.stringContaining('has 2 of its 3 frames')]);
    expect((await get(url(cut), 'application/dicom; transfer-syntax=*')).status).toBe(200);
  });

  it('are found by their first bytes where the offset table points elsewhere', async () => {
    const parts = await getParts(`${url(lying)}/frames/1,2`, ANY);
    expect(parts.map((part) => part.body.toString('latin1'))).toEqual([
      '\xff\xd8\xff\xe0one ',
      '\xff\xd8\xff\xdb',
    ]);
  });
});

describe('pixels that are not what their object says', () => {
  const claims = { rows: 65_535, columns: 65_535 };
  const dimensions = [
    ['00280010', 'US', uint16(claims.rows)],
    ['00280011', 'US', uint16(claims.columns)],
  ] as const;

  it('are refused with a sentence, as frames and as pictures', async () => {
    await stow(house.url, [
      madeObject({ study: '7.2', instance: '7.2.9.1', elements: dimensions }),
      madeObject({
        study: '7.2',
        instance: '7.2.9.2',
        transferSyntax: JPEG_LS,
        elements: dimensions,
        fragments: [Buffer.alloc(0), Buffer.from('ffd8fff7000b10020002000101', 'hex')],
      }),
      madeObject({ study: '7.2', instance: '7.2.9.3', without: ['7FE00010'] }),
      madeObject({
        study: '7.2',
        instance: '7.2.9.4',
        transferSyntax: '1.2.840.10008.1.2.4.102',
        fragments: [Buffer.alloc(0), Buffer.from('video!')],
      }),
    ]);
    const url = (sop: string): string => instance('7.2', '7.2.1', sop);
    expect(await refusal(`${url('7.2.9.1')}/frames/1`)).toMatchObject({
      status: 406,
      message: expect.stringContaining('(7FE0,0010) PixelData has 32 bytes'),
    });
    expect(await refusal(`${url('7.2.9.1')}/rendered`)).toMatchObject({ status: 406 });
    expect((await refusal(`${url('7.2.9.2')}/rendered`)).status).toBe(413);
    expect(await refusal(`${url('7.2.9.3')}/frames/1`)).toMatchObject({ status: 404 });
    expect(await refusal(`${url('7.2.9.3')}/rendered`)).toMatchObject({ status: 406 });
    expect(await refusal(`${url('7.2.9.4')}/rendered`)).toMatchObject({ status: 501 });
    expect((await getParts(`${url('7.2.9.4')}/frames/1`, ANY))[0]?.body.toString()).toBe('video!');
    expect(
      (await get(`${url('7.2.9.4')}/bulkdata/7FE00010`, 'application/octet-stream')).bytes.toString(),
    ).toBe('video!');
  });
});

describe('pictures', () => {
  const url = (what: string): string => `${instance('7.1', '7.1.1', '7.1.9.2')}/${what}`;

  it.each([
    ['image/png', 'png'],
    ['image/jpeg', 'jpeg'],
    ['image/webp', 'webp'],
    ['*/*', 'jpeg'],
  ])('for %s are %s', async (accept, format) => {
    const { status, bytes, type } = await get(url('rendered'), accept);
    expect(status).toBe(200);
    expect(type).toBe(`image/${format}`);
    expect(await sharp(bytes).metadata()).toMatchObject({ format, width: 4, height: 4 });
  });

  it('take a window, a viewport and a quality', async () => {
    const gray = async (query: string) => {
      const { bytes } = await get(url(`rendered?${query}`), 'image/png');
      return sharp(bytes).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
    };
    const darker = await gray('window=257,2,linear-exact');
    expect([...darker.data.subarray(0, 4)]).toEqual([0, 128, 255, 255]);
    const small = await gray('viewport=2,2');
    expect(small.info).toMatchObject({ width: 2, height: 2 });
    const part = await gray('viewport=2,2,2,0,2,2&window=2048,4096,linear-exact');
    expect([...part.data]).toEqual([32, 48, 96, 112]);
    const flipped = await gray('viewport=2,2,2,0,-2,2&window=2048,4096,linear-exact');
    expect([...flipped.data]).toEqual([48, 32, 112, 96]);
  });

  it('of several frames come in parts, thumbnails alone', async () => {
    const frames = `${instance('7.1', '7.1.1', '7.1.9.1')}/frames/1,3/rendered`;
    const parts = await getParts(frames, 'image/png');
    expect(parts.map((part) => part.type)).toEqual(['image/png', 'image/png']);
    for (const where of [
      `${house.url}/dicom-web/studies/7.1`,
      `${house.url}/dicom-web/studies/7.1/series/7.1.1`,
    ]) {
      const { bytes } = await get(`${where}/thumbnail`, 'image/png');
      expect((await sharp(bytes).metadata()).format).toBe('png');
    }
    expect((await refusal(`${house.url}/dicom-web/studies/9.9/thumbnail`)).status).toBe(404);
  });

  it.each([
    ['rendered?window=1', 'window'],
    ['rendered?window=1,-5,linear', 'window'],
    ['rendered?window=1,2,cubic', 'window'],
    ['rendered?viewport=0,10', 'viewport'],
    ['rendered?viewport=99999,10', 'viewport'],
    ['rendered?viewport=a,b', 'viewport'],
    ['rendered?viewport=10,10,1', 'viewport'],
    ['rendered?quality=0', 'quality'],
    ['rendered?quality=high', 'quality'],
  ])('%s: 400', async (what, name) => {
    expect(await refusal(url(what))).toMatchObject({ status: 400, message: expect.stringContaining(name) });
  });

  it('are not made in formats that are not offered', async () => {
    expect(await refusal(url('rendered'), { headers: { Accept: 'image/avif' } })).toMatchObject({
      status: 406,
    });
  });
});

describe.skipIf(!corpusFolder)('frames of real objects (corpus)', () => {
  it('are bit for bit those of the source, whatever the transfer syntax', async () => {
    const compared = new Set<string>();
    for (const row of corpusKinds()) {
      const file = corpusFile(row.file!);
      if ((await stow(house.url, [file])).status !== 200) continue;
      const source = sourceFrames(file);
      if (!source) continue;
      const url = instance(row.study_uid!, row.series_uid!, row.sop_uid!);
      const last = source.length;
      const parts = await getParts(`${url}/frames/${last === 1 ? '1' : `1,${last}`}`, ANY);
      const expected = last === 1 ? [source[0]!] : [source[0]!, source[last - 1]!];
      const equal = parts.map((part, index) => part.body.equals(expected[index]!));
      expect(equal, row.file).toEqual(expected.map(() => true));
      compared.add(row.ts_uid!);
    }
    expect(compared.size).toBeGreaterThan(12);
  }, 120_000);
});

describe.skipIf(!corpusFolder || !dcmtk)('pictures of real objects (corpus, dcmtk)', () => {
  it('are those that DCMTK makes', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'isocenter-pictures-'));
    const bin = path.dirname(dcmtk!.dcmdump!);
    const compared = new Set<string>();
    for (const row of corpusKinds()) {
      const syntax = row.ts_uid!;
      const kind = `${syntax} ${row.photometric} ${row.bits}`;
      // Says RGB over YCbCr without a marker: DCMTK believes the header, our decoder the codestream (and shows it right).
      if (row.file!.endsWith('SC_rgb_jpeg_lossy_gdcm.dcm')) continue;
      const file = path.join(corpusFolder!, row.file!);
      const png = path.join(folder, 'dcmtk.png');
      rmSync(png, { force: true });
      if (!dcmtkPicture(bin, syntax, file, png, row)) continue;
      if ((await stow(house.url, [corpusFile(row.file!)])).status !== 200) continue;
      const url = instance(row.study_uid!, row.series_uid!, row.sop_uid!);
      const { status, bytes } = await get(`${url}/rendered`, 'image/png');
      if (status !== 200) throw new Error(`${row.file}: ${status} ${bytes}`);
      const ours = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
      const theirs = await sharp(png).raw().toBuffer({ resolveWithObject: true });
      expect(ours.info, row.file).toMatchObject({ width: theirs.info.width, height: theirs.info.height });
      expect(farthest(ours.data, theirs.data), row.file).toBeLessThanOrEqual(2);
      compared.add(kind);
    }
    rmSync(folder, { recursive: true });
    expect(compared.size).toBeGreaterThan(12);
  }, 180_000);
});

/** Frames by dicom-parser; undefined where it cannot tell them apart. */
function sourceFrames(file: Buffer): Buffer[] | undefined {
  const dataSet = dicomParser.parseDicom(file);
  const pixels = dataSet.elements.x7fe00010;
  if (!pixels) return undefined;
  const count = Number(dataSet.string('x00280008') ?? 1);
  if (pixels.encapsulatedPixelData) {
    const fragments = pixels.fragments ?? [];
    const table = pixels.basicOffsetTable ?? [];
    if (count === 1)
      return [
        Buffer.from(dicomParser.readEncapsulatedPixelDataFromFragments(dataSet, pixels, 0, fragments.length)),
      ];
    if (table.length !== count && fragments.length !== count) return undefined;
    return Array.from({ length: count }, (_, index) =>
      Buffer.from(
        table.length === count
          ? dicomParser.readEncapsulatedImageFrame(dataSet, pixels, index)
          : dicomParser.readEncapsulatedPixelDataFromFragments(dataSet, pixels, index),
      ),
    );
  }
  const bits = dataSet.uint16('x00280100')! * (dataSet.uint16('x00280002') ?? 1);
  const length = (dataSet.uint16('x00280010')! * dataSet.uint16('x00280011')! * bits) / 8;
  if (!Number.isInteger(length) || length * count > pixels.length) return undefined;
  const bigEndian = dataSet.string('x00020010') === EXPLICIT_BE;
  // Only words of 16 bits: those of eight have a test of their own.
  if (bigEndian && dataSet.uint16('x00280100') !== 16) return undefined;
  return Array.from({ length: count }, (_, index) => {
    const from = pixels.dataOffset + index * length;
    const frame = Buffer.from(dataSet.byteArray.subarray(from, from + length));
    return bigEndian ? frame.swap16() : frame;
  });
}

/** By the tool that has the codec, without overlays, with the object's own window or none; false when it cannot. */
function dcmtkPicture(
  bin: string,
  syntax: string,
  file: string,
  png: string,
  row: Record<string, string>,
): boolean {
  const tool = syntax.startsWith('1.2.840.10008.1.2.4.8')
    ? 'dcml2pnm'
    : syntax.startsWith('1.2.840.10008.1.2.4.')
      ? 'dcmj2pnm'
      : 'dcm2pnm';
  const header = dicomParser.parseDicom(corpusFile(row.file!), { untilTag: 'x7fe00010' });
  // Without a window ours leaves padding out of the extent and DCMTK does not: nothing to compare then.
  const gray = row.photometric!.startsWith('MONOCHROME');
  if (gray && (!header.elements.x00281050 || header.elements.x00283010)) return false;
  try {
    execFileSync(path.join(bin, tool), ['-O', ...(gray ? ['+Wi', '1'] : []), '+on', file, png], {
      stdio: 'ignore',
    });
    return true;
  } catch (thrown) {
    // It has no codec for JPEG 2000, and refuses some headers.
    if (thrown instanceof Error && 'status' in thrown) return false;
    throw thrown;
  }
}

function farthest(a: Buffer, b: Buffer): number {
  if (a.length !== b.length) return 255;
  let most = 0;
  for (let at = 0; at < a.length; at++) most = Math.max(most, Math.abs(a[at]! - b[at]!));
  return most;
}
