/**
 * The worker threads: what decodes equals the uncompressed sibling, what is broken is refused and harms nobody after it.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import dicomParser from 'dicom-parser';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import type { Presentation } from '../../src/pixels/presentation.ts';
import { corpusFolder } from '../support/corpus.ts';
import { pixelOf } from './pixel-of.ts';

const workers = createPixelWorkers({ threads: 1 });
afterAll(() => workers.stop());
const plain: Presentation = { rescale: { slope: 1, intercept: 0 }, inverse: false };

const JPEG_BASELINE = '1.2.840.10008.1.2.4.50';
const JPEG_LS = '1.2.840.10008.1.2.4.80';

async function jpeg(width: number, height: number): Promise<Buffer> {
  const ramp = Buffer.from(Array.from({ length: width * height }, (_, index) => (index % width) * 8));
  return sharp(ramp, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .jpeg({ quality: 100 })
    .toBuffer();
}

describe('the pixel workers', () => {
  it('decode a JPEG frame', async () => {
    const pixel = pixelOf({ rows: 8, columns: 16, bitsAllocated: 8, transferSyntaxUid: JPEG_BASELINE });
    const samples = await workers.decode(pixel, await jpeg(16, 8));
    expect(samples).toHaveLength(128);
    for (const [index, sample] of samples.entries())
      expect(Math.abs(sample - (index % 16) * 8)).toBeLessThanOrEqual(2);
  });

  it.each([
    ['of another size than its object says', { rows: 9 }, 'codestream has 16 columns, 8 rows'],
    ['that claims 65,535 by 65,535', { rows: 65_535, columns: 65_535 }, 'can be worked on'],
    ['of no size', { rows: 0 }, '(0028,0010) Rows'],
    [
      'of a syntax without a codec',
      { transferSyntaxUid: '1.2.840.10008.1.2.4.102' },
      'cannot be decoded here',
    ],
    ['that is no JPEG-LS', { transferSyntaxUid: JPEG_LS }, 'The JPEG-LS frame is broken'],
  ])('refuse a frame %s, and go on', async (_what, wrong, sentence) => {
    const pixel = pixelOf({
      rows: 8,
      columns: 16,
      bitsAllocated: 8,
      transferSyntaxUid: JPEG_BASELINE,
      ...wrong,
    });
    await expect(workers.decode(pixel, await jpeg(16, 8))).rejects.toThrow(sentence);
    const right = pixelOf({ rows: 8, columns: 16, bitsAllocated: 8, transferSyntaxUid: JPEG_BASELINE });
    expect(await workers.decode(right, await jpeg(16, 8))).toHaveLength(128);
  });

  it('keep frames apart that lie where the one before lay, small and large, grey and colour', async () => {
    // One thread: the others wait while one is decoded. The largest does not fit the memory that is shared.
    const sides = [
      [4, 4],
      [700, 700],
      [1024, 512],
      [1024, 513],
      [3, 5],
    ] as const;
    const grey = sides.map(async ([rows, columns], n) => {
      const frame = Buffer.alloc(rows * columns * 2, n + 1);
      const samples = await workers.decode(pixelOf({ rows, columns }), frame);
      expect(Buffer.compare(samples, frame), `${rows} by ${columns}`).toBe(0);
    });
    const colour = sides.map(async ([rows, columns], n) => {
      const rgb = { bitsAllocated: 8, samplesPerPixel: 3, photometricInterpretation: 'RGB' };
      const pixel = pixelOf({ rows, columns, ...rgb });
      const frame = Buffer.alloc(rows * columns * 3, n + 101);
      const png = await workers.render(pixel, frame, plain, { type: 'image/png', quality: 90 });
      expect((await sharp(png).raw().toBuffer()).equals(frame), `${rows} by ${columns}`).toBe(true);
    });
    await Promise.all([...grey, ...colour]);
  });

  it('refuse a frame cut short', async () => {
    const pixel = pixelOf({ rows: 64, columns: 64 });
    await expect(
      workers.render(pixel, Buffer.alloc(100), plain, { type: 'image/png', quality: 90 }),
    ).rejects.toThrow('The frame has 100 bytes where its dimensions need 8192');
  });

  it('refuse more than they may keep waiting', async () => {
    const few = createPixelWorkers({ threads: 1, maxWaiting: 2 });
    const pixel = pixelOf({ rows: 256, columns: 256 });
    const all = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        few.render(pixel, new Uint8Array(131_072), plain, { type: 'image/png', quality: 90 }),
      ),
    );
    await few.stop();
    const refused = all.filter((one) => one.status === 'rejected');
    expect(refused.length).toBe(5);
    expect(refused[0]?.reason).toMatchObject({ kind: 'unavailable', retryAfterS: 2 });
  });

  it('give up a frame that takes too long', async () => {
    const hasty = createPixelWorkers({ threads: 1, taskLimitMs: 1 });
    const pixel = pixelOf({ rows: 2048, columns: 2048 });
    await expect(
      hasty.render(pixel, new Uint8Array(2048 * 2048 * 2), plain, { type: 'image/png', quality: 90 }),
    ).rejects.toMatchObject({ kind: 'too-large' });
    await hasty.stop();
  });
});

describe.skipIf(!corpusFolder)('lossless frames (corpus)', () => {
  const folder = path.join(corpusFolder ?? '', 'dicom-test-files/data/WG04');
  const read = (file: string) => dicomParser.parseDicom(readFileSync(path.join(folder, file)));

  it.each([
    ['CT1', 'J2KR', '1.2.840.10008.1.2.4.90'],
    ['CT1', 'JLSL', JPEG_LS],
    ['CT1', 'JPLL', '1.2.840.10008.1.2.4.70'],
    ['CT1', 'RLE', '1.2.840.10008.1.2.5'],
  ])('of %s_%s decode to the uncompressed pixels, bit for bit', async (name, form, transferSyntaxUid) => {
    const source = read(`REF/${name}_UNC`);
    const pixels = source.elements.x7fe00010!;
    const expected = source.byteArray.subarray(pixels.dataOffset, pixels.dataOffset + pixels.length);
    const compressed = read(`${form}/${name}_${form}`);
    const element = compressed.elements.x7fe00010!;
    const frame = dicomParser.readEncapsulatedPixelDataFromFragments(
      compressed,
      element,
      0,
      element.fragments!.length,
    );
    const pixel = pixelOf({
      rows: compressed.uint16('x00280010')!,
      columns: compressed.uint16('x00280011')!,
      signed: compressed.uint16('x00280103') === 1,
      transferSyntaxUid,
    });
    const samples = await workers.decode(pixel, Uint8Array.from(frame));
    expect(Buffer.from(samples).equals(Buffer.from(expected))).toBe(true);
  });

  it.each(['VL1', 'VL3'])('of %s in colour are the same from JPEG 2000 as from RLE', async (name) => {
    const decodedOf = async (form: string, transferSyntaxUid: string): Promise<Buffer> => {
      const dataSet = read(`${form}/${name}_${form}`);
      const element = dataSet.elements.x7fe00010!;
      const count = element.fragments!.length;
      const pixel = pixelOf({
        rows: dataSet.uint16('x00280010')!,
        columns: dataSet.uint16('x00280011')!,
        bitsAllocated: 8,
        samplesPerPixel: 3,
        photometricInterpretation: dataSet.string('x00280004')!,
        transferSyntaxUid,
      });
      const frame = dicomParser.readEncapsulatedPixelDataFromFragments(dataSet, element, 0, count);
      return Buffer.from(await workers.decode(pixel, Uint8Array.from(frame)));
    };
    const fromRle = await decodedOf('RLE', '1.2.840.10008.1.2.5');
    expect((await decodedOf('J2KR', '1.2.840.10008.1.2.4.90')).equals(fromRle)).toBe(true);
  });
});
