/**
 * Stored grey values to eight bits: modality, then VOI, then presentation (PS3.4 N.2).
 * Called by render-frame.ts in a worker. Up to 16 bits the whole way is one table, made once a frame.
 */
import type { ImagePixel } from './image-pixel.ts';
import type { LookupTable, Presentation, Window } from './presentation.ts';

/** Samples of one frame as numbers: masked to BitsStored and sign-extended (PS3.5 8.1.1). */
export function storedValues(samples: Uint8Array, pixel: ImagePixel): Int32Array | Float64Array {
  const count = pixel.rows * pixel.columns * pixel.samplesPerPixel;
  const { bitsAllocated, bitsStored, highBit, signed } = pixel;
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength);
  if (bitsAllocated === 32 && bitsStored === 32) {
    const wide = new Float64Array(count);
    for (let at = 0; at < count; at++)
      wide[at] = signed ? view.getInt32(at * 4, true) : view.getUint32(at * 4, true);
    return wide;
  }
  const values = new Int32Array(count);
  if (bitsAllocated === 1) {
    for (let at = 0; at < count; at++) values[at] = (samples[at >> 3]! >> (at & 7)) & 1;
    return values;
  }
  const shift = Math.max(0, highBit + 1 - bitsStored);
  // Shifting up and down again masks, and extends the sign where there is one.
  const up = 32 - bitsStored;
  for (let at = 0; at < count; at++) {
    const raw =
      bitsAllocated === 8
        ? samples[at]!
        : bitsAllocated === 16
          ? view.getUint16(at * 2, true)
          : view.getUint32(at * 4, true);
    const raised = (raw >>> shift) << up;
    values[at] = signed ? raised >> up : raised >>> up;
  }
  return values;
}

/** Eight-bit grey, one byte a pixel. */
export function toGray(
  values: Int32Array | Float64Array,
  presentation: Presentation,
  window?: Window,
): Buffer {
  const modality = modalityOf(presentation);
  const voi = voiOf(values, modality, presentation, window);
  const inverse = presentation.inverse ? 255 : 0;
  const gray = Buffer.allocUnsafe(values.length);
  const { low, high } = extent(values);
  if (values instanceof Int32Array && high - low <= 65_536) {
    const table = new Uint8Array(high - low + 1);
    for (let value = low; value <= high; value++) table[value - low] = voi(modality(value)) ^ inverse;
    for (let at = 0; at < values.length; at++) gray[at] = table[values[at]! - low]!;
    return gray;
  }
  for (let at = 0; at < values.length; at++) gray[at] = voi(modality(values[at]!)) ^ inverse;
  return gray;
}

type Transformation = (value: number) => number;

function modalityOf({ modalityTable, rescale }: Presentation): Transformation {
  if (modalityTable) return (value) => lookedUp(modalityTable, value);
  const { slope, intercept } = rescale;
  return slope === 1 && intercept === 0 ? (value) => value : (value) => value * slope + intercept;
}

/** To whole numbers from 0 to 255. */
function voiOf(
  values: Int32Array | Float64Array,
  modality: Transformation,
  presentation: Presentation,
  asked: Window | undefined,
): Transformation {
  const { voiTable } = presentation;
  if (asked) return windowing(asked);
  if (presentation.window) return windowing(presentation.window);
  if (voiTable) {
    const highest = 2 ** voiTable.bits - 1;
    return (value) => eightBits((lookedUp(voiTable, Math.round(value)) / highest) * 255);
  }
  const { low, high } = extent(values, presentation.padding);
  const ends = [modality(low), modality(high)];
  const [from, to] = [Math.min(...ends), Math.max(...ends)];
  return windowing({ center: (from + to) / 2, width: Math.max(to - from, 1), shape: 'LINEAR_EXACT' });
}

/** PS3.3 C.11.2.1.2 and .3. */
function windowing({ center, width, shape }: Window): Transformation {
  switch (shape) {
    case 'LINEAR':
      return width <= 1
        ? (value) => (value <= center - 0.5 ? 0 : 255)
        : (value) => eightBits(((value - (center - 0.5)) / (width - 1) + 0.5) * 255);
    case 'LINEAR_EXACT':
      return (value) => eightBits(((value - center) / width + 0.5) * 255);
    case 'SIGMOID':
      return (value) => eightBits(255 / (1 + Math.exp((-4 * (value - center)) / width)));
  }
}

const eightBits = (value: number): number => (value <= 0 ? 0 : value >= 255 ? 255 : Math.round(value));

export function lookedUp({ first, entries }: LookupTable, value: number): number {
  const index = value - first;
  return entries[index <= 0 ? 0 : index >= entries.length ? entries.length - 1 : index]!;
}

function extent(
  values: Int32Array | Float64Array,
  padding?: { from: number; to: number },
): { low: number; high: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (padding && value >= padding.from && value <= padding.to) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  // Nothing but padding.
  return low > high ? { low: 0, high: 0 } : { low, high };
}
