/** Two frames side by side: what lossless compression may change makes no difference, one sample does. */
import codecs from 'dcmjs-codecs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCodecs } from '../../src/pixels/decode-frame.ts';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { sameSamples } from '../../src/pixels/same-samples.ts';
import { pixelOf } from './pixel-of.ts';

const JPEG_2000 = '1.2.840.10008.1.2.4.90';
beforeAll(loadCodecs);

const colour = (more: Partial<ImagePixel> = {}): ImagePixel =>
  pixelOf({
    samplesPerPixel: 3,
    bitsAllocated: 8,
    photometricInterpretation: 'RGB',
    rows: 16,
    columns: 16,
    ...more,
  });
const interleaved = Buffer.from(Array.from({ length: 16 * 16 * 3 }, (_, n) => (n * 7) % 251));
const planar = Buffer.from(
  [0, 1, 2].flatMap((sample) => Array.from({ length: 256 }, (_, at) => interleaved[at * 3 + sample]!)),
);
const words = (...values: number[]): Buffer => Buffer.from(Uint16Array.from(values).buffer);

describe('the same', () => {
  it('in planes and by pixel', () => {
    expect(sameSamples(colour(), interleaved, colour({ planarConfiguration: 1 }), planar)).toBe(true);
  });

  it('with the byte that pads the value', () => {
    const odd = pixelOf({ rows: 1, columns: 3, bitsAllocated: 8 });
    expect(sameSamples(odd, Buffer.from([1, 2, 3, 0]), odd, Buffer.from([1, 2, 3]))).toBe(true);
  });

  it('with zeros or the sign above the stored bits', () => {
    const signed = pixelOf({ bitsStored: 12, signed: true });
    expect(sameSamples(signed, words(0xffff, 1, 2, 0xf800), signed, words(0x0fff, 1, 2, 0x0800))).toBe(true);
  });

  it('as RGB and as the reversible transform of it in JPEG 2000', () => {
    const context = new codecs.Context({
      width: 16,
      height: 16,
      bitsAllocated: 8,
      bitsStored: 8,
      samplesPerPixel: 3,
      pixelRepresentation: 0,
      planarConfiguration: 0,
      photometricInterpretation: 'RGB',
      decodedBuffer: interleaved,
    });
    const encoded = codecs.NativeCodecs.encodeJpeg2000(context, { lossy: false }).getEncodedBuffer()!;
    const compressed = colour({ transferSyntaxUid: JPEG_2000, photometricInterpretation: 'YBR_RCT' });
    expect(sameSamples(colour(), interleaved, compressed, encoded)).toBe(true);
    const other = Buffer.from(interleaved);
    other[100]!++;
    expect(sameSamples(colour(), other, compressed, encoded)).toBe(false);
  });
});

describe('not the same', () => {
  it('in one sample', () => {
    const grey = pixelOf();
    expect(sameSamples(grey, words(1, 2, 3, 4), grey, words(1, 2, 3, 5))).toBe(false);
  });

  it('with an overlay in the bits above, which a codec would lose', () => {
    const grey = pixelOf({ bitsStored: 12 });
    expect(sameSamples(grey, words(0x1001, 2, 3, 4), grey, words(1, 2, 3, 4))).toBe(false);
    // The sign of a sample that has none is no filling either.
    const signed = pixelOf({ bitsStored: 12, signed: true });
    expect(sameSamples(signed, words(0xf001, 2, 3, 4), signed, words(1, 2, 3, 4))).toBe(false);
  });

  it('and not to be told, in colours of another kind', () => {
    const full = colour({ photometricInterpretation: 'YBR_FULL' });
    expect(() => sameSamples(colour(), interleaved, full, interleaved)).toThrow(/RGB and in YBR_FULL/);
  });
});
