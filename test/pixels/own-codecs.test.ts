/**
 * Frames of the syntaxes that no other program here can read or write: encoded by the codecs' own encoders, or by zlib,
 * and decoded in the worker threads. Lossless ones come back bit for bit.
 */
import { deflateRawSync } from 'node:zlib';
import codecs from 'dcmjs-codecs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { codecContext } from './codec-context.ts';
import { pixelOf } from './pixel-of.ts';
import { furthest } from './values.ts';

const { NativeCodecs } = codecs;
const workers = createPixelWorkers({ threads: 1 });
beforeAll(() => NativeCodecs.initializeAsync());
afterAll(() => workers.stop());

const RGB = { bitsAllocated: 8, samplesPerPixel: 3, photometricInterpretation: 'RGB' };
const forms = [
  ['HTJ2K, grey', '1.2.840.10008.1.2.4.201', {}, 0],
  ['HTJ2K, signed', '1.2.840.10008.1.2.4.202', { signed: true }, 0],
  ['HTJ2K, colour', '1.2.840.10008.1.2.4.201', RGB, 0],
  ['HTJ2K, lossy', '1.2.840.10008.1.2.4.203', { bitsAllocated: 8 }, 12],
  ['JPEG XL, grey', '1.2.840.10008.1.2.4.110', {}, 0],
  ['JPEG XL, colour', '1.2.840.10008.1.2.4.110', RGB, 0],
  ['JPEG XL, lossy', '1.2.840.10008.1.2.4.112', { bitsAllocated: 8 }, 12],
] as const;

/** A slope over rows and columns, so that lossy codecs keep near it. */
function slope(pixel: ImagePixel): Uint8Array {
  const { rows, columns, samplesPerPixel: samples, bitsAllocated, bitsStored } = pixel;
  const of = (at: number): number => {
    const [x, y] = [Math.floor(at / samples) % columns, Math.floor(at / samples / columns)];
    return Math.floor(((x + y + (at % samples)) / (rows + columns + samples)) * (2 ** bitsStored - 1));
  };
  const values = Array.from({ length: rows * columns * samples }, (_, at) => of(at));
  return new Uint8Array((bitsAllocated === 8 ? Uint8Array.from(values) : Uint16Array.from(values)).buffer);
}

describe('the codecs’ own frames', () => {
  it.each(forms)('of %s come back', async (_name, transferSyntaxUid, of, far) => {
    const pixel = pixelOf({ rows: 40, columns: 33, transferSyntaxUid, ...of });
    const samples = slope(pixel);
    const options = { lossy: far > 0 };
    const coded = transferSyntaxUid.includes('.4.11')
      ? NativeCodecs.encodeJpegXl(codecContext(pixel, samples), options)
      : NativeCodecs.encodeHtJpeg2000(codecContext(pixel, samples), options);
    const decoded = await workers.decode(pixel, coded.getEncodedBuffer()!);
    expect(furthest(decoded, samples)).toBeLessThanOrEqual(far);
  });
});

describe('deflated frames (Deflated Image Frame Compression)', () => {
  const transferSyntaxUid = '1.2.840.10008.1.2.8.1';

  it('are inflated: single bits, and words with or without padding', async () => {
    const bits = pixelOf({ rows: 3, columns: 5, bitsAllocated: 1, transferSyntaxUid });
    expect([...(await workers.decode(bits, deflateRawSync(Buffer.from([0x5a, 0x01]))))]).toEqual([
      0x5a, 0x01,
    ]);
    const pixel = pixelOf({ rows: 1, columns: 3, bitsAllocated: 8, transferSyntaxUid });
    for (const text of [
      [1, 2, 3],
      [1, 2, 3, 0],
    ])
      expect([...(await workers.decode(pixel, deflateRawSync(Buffer.from(text))))]).toEqual([1, 2, 3]);
  });

  it.each([
    ['broken', Buffer.from([7, 7, 7])],
    ['too short', deflateRawSync(Buffer.alloc(9))],
    ['a bomb', deflateRawSync(Buffer.alloc(50_000_000))],
  ])('that are %s are refused', async (_what, frame) => {
    const pixel = pixelOf({ rows: 4, columns: 4, bitsAllocated: 8, transferSyntaxUid });
    await expect(workers.decode(pixel, frame)).rejects.toMatchObject({ kind: 'invalid' });
  });
});
