/** An ImagePixel for the tests of src/pixels: two by two, 16 bits, unless they say otherwise. */
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';

export function pixelOf(of: Partial<ImagePixel> = {}): ImagePixel {
  const bitsAllocated = of.bitsAllocated ?? 16;
  const bitsStored = of.bitsStored ?? bitsAllocated;
  return {
    transferSyntaxUid: '1.2.840.10008.1.2.1',
    numberOfFrames: 1,
    rows: 2,
    columns: 2,
    samplesPerPixel: 1,
    bitsAllocated,
    bitsStored,
    highBit: bitsStored - 1,
    signed: false,
    planarConfiguration: 0,
    photometricInterpretation: 'MONOCHROME2',
    ...of,
  };
}
