/** What the encoders of dcmjs-codecs are given: native samples and what they are. For the tests that make frames of their own. */
import codecs from 'dcmjs-codecs';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';

export function codecContext(pixel: ImagePixel, decodedBuffer: Uint8Array) {
  return new codecs.Context({
    width: pixel.columns,
    height: pixel.rows,
    bitsAllocated: pixel.bitsAllocated,
    bitsStored: pixel.bitsStored,
    samplesPerPixel: pixel.samplesPerPixel,
    pixelRepresentation: pixel.signed ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: pixel.photometricInterpretation,
    decodedBuffer,
  });
}

/** The samples alone count: unsigned, and grey or RGB, whatever the image says of them. */
export function plainContext(pixel: ImagePixel, samples: Uint8Array) {
  const photometricInterpretation = pixel.samplesPerPixel === 3 ? 'RGB' : 'MONOCHROME2';
  return codecContext({ ...pixel, signed: false, photometricInterpretation }, samples);
}

/** Samples made one by one; `next` says each from the one before. */
export function madeOf(
  { rows, columns, samplesPerPixel, bitsAllocated, bitsStored }: ImagePixel,
  first: number,
  next: (value: number, at: number) => number,
): Uint8Array {
  const count = rows * columns * samplesPerPixel;
  const most = 2 ** bitsStored - 1;
  const values = bitsAllocated === 8 ? new Uint8Array(count) : new Uint16Array(count);
  let value = first;
  for (let at = 0; at < count; at++) {
    value = Math.min(most, Math.max(0, next(value, at)));
    values[at] = value;
  }
  return new Uint8Array(values.buffer);
}
