/**
 * Stored grey values to eight bits: modality, then VOI, then presentation (PS3.4 N.2).
 * Called by render-frame.ts in a worker. Up to 16 bits the whole way is one table a frame.
 */
import type { ImagePixel } from './image-pixel.ts';
import { lookedUp } from './lookup-table.ts';
import type { Presentation, Window } from './presentation.ts';

/** Stored values, in as few bytes as they need: a view on the samples where they lie as they are meant. */
export type StoredValues = Uint8Array | Int8Array | Uint16Array | Int16Array | Int32Array | Float64Array;

/** Samples of one frame as numbers: masked to BitsStored and sign-extended (PS3.5 8.1.1). */
export function storedValues(samples: Uint8Array, pixel: ImagePixel): StoredValues {
  const count = pixel.rows * pixel.columns * pixel.samplesPerPixel;
  const { bitsAllocated, bitsStored, highBit, signed } = pixel;
  if (pixel.isFloat) return floatValues(samples, bitsAllocated, count);
  const shift = lowestBit(bitsAllocated, bitsStored, highBit);
  if (bitsAllocated === 8 && bitsStored === 8)
    return signed ? new Int8Array(samples.buffer, samples.byteOffset, count) : samples.subarray(0, count);
  if (bitsAllocated === 16) return sixteenBits(samples, count, { bitsStored, shift, signed });
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength);
  if (bitsAllocated === 32 && bitsStored === 32) {
    const wide = new Float64Array(count);
    for (let at = 0; at < count; at++)
      wide[at] = signed ? view.getInt32(at * 4, true) : view.getUint32(at * 4, true);
    return wide;
  }
  const values = new Int32Array(count);
  const rawAt = rawValues(samples, view, bitsAllocated);
  // Shifting up and down again masks, and extends the sign where there is one.
  const up = 32 - bitsStored;
  for (let at = 0; at < count; at++) {
    const raised = (rawAt(at) >>> shift) << up;
    values[at] = signed ? raised >> up : raised >>> up;
  }
  return values;
}

/** A HighBit above the allocated bits is a slip; then the stored bits are the lowest. */
const lowestBit = (bitsAllocated: number, bitsStored: number, highBit: number): number =>
  highBit < bitsAllocated ? Math.max(0, highBit + 1 - bitsStored) : 0;

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Whether samples of 16 bits can be looked at as words where they lie. */
const areWords = (samples: Uint8Array): boolean => isLittleEndian && samples.byteOffset % 2 === 0;

/** What nearly all images are, without a detour: no copy for 16 bits stored, one pass for fewer. */
function sixteenBits(
  samples: Uint8Array,
  count: number,
  { bitsStored, shift, signed }: { bitsStored: number; shift: number; signed: boolean },
): Uint16Array | Int16Array {
  const bytes = areWords(samples) ? samples : Uint8Array.from(samples);
  if (!isLittleEndian) Buffer.from(bytes.buffer).swap16();
  const words = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  if (bitsStored === 16) return signed ? new Int16Array(bytes.buffer, bytes.byteOffset, count) : words;
  const up = 32 - bitsStored;
  if (signed) {
    const values = new Int16Array(count);
    for (let at = 0; at < count; at++) values[at] = ((words[at]! >>> shift) << up) >> up;
    return values;
  }
  const mask = (1 << bitsStored) - 1;
  const values = new Uint16Array(count);
  for (let at = 0; at < count; at++) values[at] = (words[at]! >>> shift) & mask;
  return values;
}

/** Samples as they are allocated: in whole bytes, or packed without gaps, lowest bits first (PS3.5 8.1.1, Annex D). */
function rawValues(samples: Uint8Array, view: DataView, bitsAllocated: number): (at: number) => number {
  switch (bitsAllocated) {
    case 8:
      return (at) => samples[at]!;
    case 32:
      return (at) => view.getUint32(at * 4, true);
    default:
      return (at) => {
        let value = 0;
        let done = 0;
        for (let bit = at * bitsAllocated; done < bitsAllocated; ) {
          const take = Math.min(8 - (bit & 7), bitsAllocated - done);
          const piece = (samples[bit >> 3]! >> (bit & 7)) & ((1 << take) - 1);
          value |= piece << done;
          done += take;
          bit += take;
        }
        return value >>> 0;
      };
  }
}

function floatValues(samples: Uint8Array, bits: number, count: number): Float64Array {
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength);
  const values = new Float64Array(count);
  for (let at = 0; at < count; at++)
    values[at] = bits === 32 ? view.getFloat32(at * 4, true) : view.getFloat64(at * 8, true);
  return values;
}

/** One frame's samples to eight-bit grey, one byte a pixel. */
export function grayOf(
  samples: Uint8Array,
  pixel: ImagePixel,
  presentation: Presentation,
  window?: Window,
): Buffer {
  const isSaid = window ?? presentation.window ?? presentation.voiTable;
  return isSaid && pixel.bitsAllocated === 16 && pixel.bitsStored <= SMALL_TABLE_BITS && areWords(samples)
    ? wordsToGray(samples, pixel, presentation, window)
    : toGray(storedValues(samples, pixel), presentation, window);
}

/** Making a table of so many values costs less than finding out which of them occur. */
const SMALL_TABLE_BITS = 13;

/** What most images are, in one pass: a table of all values they could have, since what is shown does not hang on them. */
function wordsToGray(
  samples: Uint8Array,
  { rows, columns, bitsStored, highBit, signed }: ImagePixel,
  presentation: Presentation,
  window: Window | undefined,
): Buffer {
  const modality = modalityOf(presentation);
  const voi = voiOf(new Uint16Array(0), modality, presentation, window);
  const inverse = presentation.inverse ? 255 : 0;
  const up = 32 - bitsStored;
  const mask = 2 ** bitsStored - 1;
  const table = new Uint8Array(mask + 1);
  for (let stored = 0; stored <= mask; stored++)
    table[stored] = voi(modality(signed ? (stored << up) >> up : stored)) ^ inverse;
  const words = new Uint16Array(samples.buffer, samples.byteOffset, rows * columns);
  const shift = lowestBit(16, bitsStored, highBit);
  const gray = Buffer.allocUnsafe(words.length);
  for (let at = 0; at < words.length; at++) gray[at] = table[(words[at]! >>> shift) & mask]!;
  return gray;
}

/** Eight-bit grey, one byte a pixel. */
export function toGray(values: StoredValues, presentation: Presentation, window?: Window): Buffer {
  const modality = modalityOf(presentation);
  const voi = voiOf(values, modality, presentation, window);
  const inverse = presentation.inverse ? 255 : 0;
  const gray = Buffer.allocUnsafe(values.length);
  const { low, high } = extent(values);
  if (!(values instanceof Float64Array) && high - low <= 65_536) {
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
  values: StoredValues,
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
  // Nothing stands out of a frame of one value: black, as an empty mask or a lost exposure is expected to be.
  if (low === high) return () => 0;
  const ends = [modality(low), modality(high)];
  const [from, to] = [Math.min(...ends), Math.max(...ends)];
  return windowing({ center: (from + to) / 2, width: to - from || 1, shape: 'LINEAR_EXACT' });
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

/** What is no number is shown as the lowest: there is nothing. */
const eightBits = (value: number): number => (value >= 255 ? 255 : value > 0 ? Math.round(value) : 0);

function extent(values: StoredValues, padding?: { from: number; to: number }): { low: number; high: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  // Nothing is what is no number, nor what is infinite, and padding is no image.
  const from = padding?.from ?? Number.POSITIVE_INFINITY;
  const to = padding?.to ?? Number.NEGATIVE_INFINITY;
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (value >= from && value <= to) continue;
    if (value < low && value > Number.NEGATIVE_INFINITY) low = value;
    if (value > high && value < Number.POSITIVE_INFINITY) high = value;
  }
  // Nothing but padding.
  return low > high ? { low: 0, high: 0 } : { low, high };
}
