/**
 * Colour samples to interleaved eight-bit RGB (PS3.3 C.7.6.3.1.2). Called by render-frame.ts in a worker.
 */
import { Failure } from '../failure.ts';
import { storedValues } from './grayscale.ts';
import type { ImagePixel } from './image-pixel.ts';
import { lookedUp } from './lookup-table.ts';
import type { Presentation } from './presentation.ts';
import { retiredToRgb } from './retired-colour.ts';

/** @throws Failure 'unsupported' for colour spaces that are not rendered */
export function toRgb(samples: Uint8Array, pixel: ImagePixel, palette: Presentation['palette']): Buffer {
  switch (pixel.photometricInterpretation) {
    case 'PALETTE COLOR':
      if (!palette) throw new Failure('invalid', 'PALETTE COLOR without a palette');
      if (pixel.samplesPerPixel !== 1)
        throw new Failure('invalid', '(0028,0002) SamplesPerPixel must be 1 for PALETTE COLOR');
      return fromPalette(storedValues(samples, pixel), palette);
    case 'RGB':
      return interleaved(eightBit(samples, pixel), pixel);
    case 'YBR_FULL':
      return fromYbr(interleaved(eightBit(samples, pixel), pixel), 'full');
    case 'YBR_FULL_422':
      return fromYbr(spread422(samples, pixel), 'full');
    case 'YBR_PARTIAL_422':
      return fromYbr(spread422(samples, pixel), 'partial');
    case 'HSV':
    case 'ARGB':
    case 'CMYK':
      return retiredToRgb(
        pixel.photometricInterpretation,
        interleaved(eightBit(samples, pixel), pixel),
        palette,
      );
    default:
      throw new Failure(
        'unsupported',
        `(0028,0004) PhotometricInterpretation is ${/^[A-Z0-9_ ]{1,16}$/.test(pixel.photometricInterpretation) ? pixel.photometricInterpretation : 'no defined term'}, which cannot be rendered`,
      );
  }
}

function fromPalette(
  values: ArrayLike<number>,
  { red, green, blue }: NonNullable<Presentation['palette']>,
): Buffer {
  const rgb = Buffer.allocUnsafe(values.length * 3);
  // Some writers say 16 bits and fill eight: then nothing above a byte appears in any of the three.
  const isWide = [red, green, blue].some(({ entries }) => entries.some((entry) => entry > 255));
  const shift = isWide ? 8 : 0;
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    rgb[at * 3] = lookedUp(red, value) >> shift;
    rgb[at * 3 + 1] = lookedUp(green, value) >> shift;
    rgb[at * 3 + 2] = lookedUp(blue, value) >> shift;
  }
  return rgb;
}

/** Samples of up to 16 bits, as bytes in the same order. */
function eightBit(samples: Uint8Array, pixel: ImagePixel): Uint8Array {
  const needed = /^(ARGB|CMYK)$/.test(pixel.photometricInterpretation) ? 4 : 3;
  if (pixel.samplesPerPixel !== needed)
    throw new Failure(
      'invalid',
      `(0028,0002) SamplesPerPixel must be ${needed} for a colour image of this kind`,
    );
  const count = pixel.rows * pixel.columns * needed;
  if (pixel.bitsAllocated === 8) return samples.subarray(0, count);
  const values = storedValues(samples, pixel);
  const bytes = new Uint8Array(count);
  const shift = Math.max(0, pixel.bitsStored - 8);
  for (let at = 0; at < count; at++) bytes[at] = values[at]! >> shift;
  return bytes;
}

function interleaved(
  bytes: Uint8Array,
  { rows, columns, samplesPerPixel, planarConfiguration }: ImagePixel,
): Buffer {
  // A copy: overlays are drawn upon it, and sharp does not promise to take memory that threads share.
  if (planarConfiguration === 0) return Buffer.from(bytes);
  const plane = rows * columns;
  const result = Buffer.allocUnsafe(plane * samplesPerPixel);
  for (let sample = 0; sample < samplesPerPixel; sample++)
    for (let at = 0; at < plane; at++) result[at * samplesPerPixel + sample] = bytes[sample * plane + at]!;
  return result;
}

/** Y1 Y2 Cb Cr for two neighbours (C.7.6.3.1.2), or three samples a pixel where a writer did not share them. */
export function spread422(samples: Uint8Array, pixel: ImagePixel): Buffer {
  const count = pixel.rows * pixel.columns;
  if (pixel.bitsAllocated !== 8)
    throw new Failure('unsupported', 'YBR with shared samples is rendered with 8 bits only');
  if (samples.length >= count * 3) return interleaved(samples.subarray(0, count * 3), pixel);
  const ybr = Buffer.allocUnsafe(count * 3);
  for (let at = 0; at < count; at++) {
    const pair = (at >> 1) * 4;
    ybr[at * 3] = samples[pair + (at & 1)]!;
    ybr[at * 3 + 1] = samples[pair + 2]!;
    ybr[at * 3 + 2] = samples[pair + 3]!;
  }
  return ybr;
}

/** Of eight bits, samples by pixel. */
export function fromYbr(ybr: Buffer, range: 'full' | 'partial'): Buffer {
  const rgb = Buffer.allocUnsafe(ybr.length);
  for (let at = 0; at + 2 < ybr.length; at += 3) {
    const y = range === 'full' ? ybr[at]! : (ybr[at]! - 16) * 1.1644;
    const scale = range === 'full' ? 1 : 1.1384;
    const b = (ybr[at + 1]! - 128) * scale;
    const r = (ybr[at + 2]! - 128) * scale;
    rgb[at] = clamped(y + 1.402 * r);
    rgb[at + 1] = clamped(y - 0.344136 * b - 0.714136 * r);
    rgb[at + 2] = clamped(y + 1.772 * b);
  }
  return rgb;
}

const clamped = (value: number): number => (value <= 0 ? 0 : value >= 255 ? 255 : Math.round(value));
