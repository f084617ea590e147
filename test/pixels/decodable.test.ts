/** What a header has to say of decoded frames, by transfer syntax and colour. */
import { describe, expect, it } from 'vitest';
import { decodedPixel, lossyMethod } from '../../src/pixels/decodable.ts';
import { pixelOf } from './pixel-of.ts';

const JPEG = '1.2.840.10008.1.2.4.50';
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';
const JPEG_LS = '1.2.840.10008.1.2.4.80';
const JPEG_2000 = '1.2.840.10008.1.2.4.91';
const RLE = '1.2.840.10008.1.2.5';
const EXPLICIT = '1.2.840.10008.1.2.1';

describe('decodedPixel', () => {
  it.each([
    [JPEG, 'YBR_FULL_422', 'RGB', 0],
    [JPEG, 'YBR_FULL', 'RGB', 0],
    [JPEG, 'RGB', 'RGB', 0],
    [JPEG_LOSSLESS, 'YBR_FULL', 'YBR_FULL', 0],
    [JPEG_LOSSLESS, 'RGB', 'RGB', 0],
    [JPEG_LS, 'YBR_FULL_422', 'YBR_FULL', 0],
    [JPEG_2000, 'YBR_ICT', 'RGB', 0],
    [JPEG_2000, 'YBR_RCT', 'RGB', 0],
    [JPEG_2000, 'YBR_FULL', 'YBR_FULL', 0],
    [RLE, 'YBR_FULL', 'YBR_FULL', 1],
    ['1.2.840.10008.1.2.8.1', 'YBR_FULL_422', 'YBR_FULL_422', 1],
    ['1.2.840.10008.1.2.4.112', 'XYB', 'RGB', 0],
    [EXPLICIT, 'YBR_FULL_422', 'YBR_FULL_422', 1],
  ])('of %s in %s is %s', (transferSyntaxUid, photometricInterpretation, after, planarConfiguration) => {
    const pixel = pixelOf({
      samplesPerPixel: 3,
      bitsAllocated: 8,
      planarConfiguration: 1,
      transferSyntaxUid,
      photometricInterpretation,
    });
    expect(decodedPixel(pixel)).toEqual({ ...pixel, photometricInterpretation: after, planarConfiguration });
  });

  it('leaves grey and palette frames as they are', () => {
    for (const photometricInterpretation of ['MONOCHROME1', 'PALETTE COLOR']) {
      const pixel = pixelOf({ transferSyntaxUid: JPEG_LS, photometricInterpretation });
      expect(decodedPixel(pixel)).toEqual(pixel);
    }
  });
});

describe('lossyMethod', () => {
  it('is the defined term of lossy syntaxes only', () => {
    expect(lossyMethod(JPEG)).toBe('ISO_10918_1');
    expect(lossyMethod(JPEG_2000)).toBe('ISO_15444_1');
    expect(lossyMethod(JPEG_LOSSLESS)).toBeUndefined();
    expect(lossyMethod(RLE)).toBeUndefined();
  });
});
