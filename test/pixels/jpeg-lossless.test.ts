/**
 * JPEG Lossless as it is decoded here, against the encoder of dcmjs-codecs: every predictor, depth and point transform,
 * restart markers, and what is left to the codec. Real files and DCMTK's own are in corpus.test.ts and recoded-images.
 */
import codecs from 'dcmjs-codecs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { decodeJpegLossless } from '../../src/pixels/jpeg-lossless.ts';
import { chance } from '../torture/chance.ts';
import { madeOf, plainContext } from './codec-context.ts';
import { pixelOf } from './pixel-of.ts';

const { NativeCodecs } = codecs;
beforeAll(() => NativeCodecs.initializeAsync());

function encoded(pixel: ImagePixel, samples: Uint8Array, predictor: number, pointTransform = 0): Buffer {
  const options = { lossy: false, predictor, pointTransform };
  return Buffer.from(NativeCodecs.encodeJpeg(plainContext(pixel, samples), options).getEncodedBuffer()!);
}

/** Slopes, plains and noise to the full: differences of every category. */
function madeSamples(pixel: ImagePixel, seed: number): Uint8Array {
  const { whole, happens } = chance(seed);
  let noise = 0;
  return madeOf(pixel, whole(0, 2 ** pixel.bitsStored - 1), (value) => {
    if (happens(0.05)) noise = 2 ** whole(0, pixel.bitsStored) - 1;
    return value + whole(-noise, noise);
  });
}

describe('decodeJpegLossless', () => {
  it.each([
    [8, 8, 1],
    [8, 8, 3],
    [16, 10, 1],
    [16, 12, 1],
    [16, 16, 1],
    [16, 16, 3],
  ])(
    'gives back what was encoded: %i bits allocated, %i stored, %i samples',
    (bitsAllocated, bitsStored, samplesPerPixel) => {
      for (let seed = 1; seed <= 35; seed++) {
        const { whole } = chance(seed * 7919);
        const size = { rows: whole(1, 40), columns: whole(1, 50) };
        const pixel = pixelOf({ ...size, bitsAllocated, bitsStored, samplesPerPixel });
        const samples = madeSamples(pixel, seed);
        const decoded = decodeJpegLossless(encoded(pixel, samples, (seed % 7) + 1), pixel);
        const what = `seed ${seed}, ${size.rows} by ${size.columns}`;
        expect(decoded && Buffer.compare(decoded, samples), what).toBe(0);
      }
    },
  );

  it('leaves the bits below the point transform zero', () => {
    const pixel = pixelOf({ rows: 9, columns: 21, bitsStored: 12 });
    const samples = madeSamples(pixel, 3);
    const expected = new Uint16Array(samples.buffer).map((value) => (value >> 2) << 2);
    const decoded = decodeJpegLossless(encoded(pixel, samples, 4, 2), pixel);
    expect(decoded && Buffer.compare(decoded, new Uint8Array(expected.buffer))).toBe(0);
  });

  it('begins anew after each restart marker', () => {
    // An interval is coded as an image of its own (T.81 H.1.1): the same twice has the same tables.
    const half = pixelOf({ rows: 8, columns: 31 });
    const samples = madeSamples(half, 4);
    const frame = encoded(half, samples, 1);
    const sos = frame.indexOf('ffda', 'hex');
    const data = frame.subarray(sos + 2 + frame.readUInt16BE(sos + 2), -2);
    const header = Buffer.from(frame.subarray(0, sos));
    header.writeUInt16BE(16, header.indexOf('ffc3', 'hex') + 5);
    const whole = (every: number): Buffer =>
      Buffer.concat([
        header,
        Buffer.from([0xff, 0xdd, 0, 4, every >> 8, every & 255]),
        frame.subarray(sos, -2),
        Buffer.from('ffd0', 'hex'),
        data,
        Buffer.from('ffd9', 'hex'),
      ]);
    const pixel = { ...half, rows: 16 };
    const decoded = decodeJpegLossless(whole(8 * 31), pixel);
    expect(decoded && Buffer.compare(decoded, Buffer.concat([samples, samples]))).toBe(0);
    // Restarts within a line are the codec's.
    expect(decodeJpegLossless(whole(8 * 31 + 1), pixel)).toBeUndefined();
  });

  it('leaves to the codec what is cut short, broken, or another process', () => {
    const pixel = pixelOf({ rows: 20, columns: 20, bitsAllocated: 8 });
    const frame = encoded(pixel, madeSamples(pixel, 5), 1);
    for (let length = 4; length < frame.length - 3; length++)
      expect(decodeJpegLossless(frame.subarray(0, length), pixel), `${length} bytes`).toBeUndefined();
    const baseline = Buffer.from(frame);
    baseline[baseline.indexOf('ffc3', 'hex') + 1] = 0xc0;
    expect(decodeJpegLossless(baseline, pixel)).toBeUndefined();
  });
});
