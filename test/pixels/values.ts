/** Decoded samples as numbers that can be compared, whoever decoded them. */
import { storedValues } from '../../src/pixels/grayscale.ts';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';

/** By pixel, also where the planes stand apart. `pixel` says what the samples are now. */
export function valuesByPixel(samples: Uint8Array, pixel: ImagePixel): ArrayLike<number> {
  const values = storedValues(samples, pixel);
  if (pixel.planarConfiguration === 0 || pixel.samplesPerPixel === 1) return values;
  const pixels = pixel.rows * pixel.columns;
  const inPlace = (at: number): number =>
    values[(at % pixel.samplesPerPixel) * pixels + Math.floor(at / pixel.samplesPerPixel)]!;
  return Array.from({ length: values.length }, (_, at) => inPlace(at));
}

/** The largest difference; infinite where there are not as many. */
export function furthest(some: ArrayLike<number>, others: ArrayLike<number>): number {
  if (some.length !== others.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let at = 0; at < some.length; at++) largest = Math.max(largest, Math.abs(some[at]! - others[at]!));
  return largest;
}
