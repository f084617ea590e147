/**
 * Blanks an area of native pixels in place, every frame of them: black as the Photometric Interpretation has it.
 * Used by forwarding/masked-pixels.ts on pixels as they pass, and on frames between a decoder and an encoder.
 */
import type { BlankArea } from '../dicom/blank-area.ts';
import { Failure } from '../failure.ts';
import { blackPixel } from './black-pixel.ts';
import type { ImagePixel } from './image-pixel.ts';
import type { Palette } from './presentation.ts';

export interface BlankingParts {
  readonly pixel: ImagePixel;
  readonly area: BlankArea;
  /** Of PALETTE COLOR. */
  readonly palette?: Palette | undefined;
  /** Of native pixels: YBR_FULL_422 with colour samples that two neighbours share (PS3.3 C.7.6.3.1.2). */
  readonly sharesColour?: boolean;
}

export interface Blanking {
  /** Of one frame; frames of single bits may begin within a byte. */
  readonly frameBits: number;
  /** @param at byte in the pixels of all frames at which these bytes begin */
  draw(bytes: Uint8Array, at: number): void;
}

/** A part of a frame whose rows are whole pixels, or pairs of them, one behind the other. */
interface Plane {
  readonly offset: number;
  readonly rowBytes: number;
  readonly unitBytes: number;
  readonly columnsPerUnit: number;
  /** A row, all blank. */
  readonly blank: Uint8Array;
}

/** @throws Failure 'unsupported' for pixels that are not blanked, 'invalid' when they contradict themselves */
export function createBlanking(parts: BlankingParts): Blanking {
  const { pixel, area } = parts;
  const { rows, columns, samplesPerPixel, bitsAllocated, isFloat } = pixel;
  if (rows < 1 || columns < 1 || samplesPerPixel < 1)
    throw new Failure('invalid', 'The image says no rows, columns or samples, so no mask can be drawn on it');
  if (isFloat) throw new Failure('unsupported', 'No mask is drawn on float pixels');
  const black = blackPixel(pixel, parts.palette);
  if (bitsAllocated === 1 && samplesPerPixel === 1) return singleBits(pixel, area, black[0]! & 1);
  if (bitsAllocated % 8 !== 0)
    throw new Failure('unsupported', `No mask is drawn on pixels of ${bitsAllocated} bits allocated`);
  const planes = planesOf(parts, black);
  const frameBytes = planes.reduce((sum, { rowBytes }) => sum + rowBytes * rows, 0);
  return {
    frameBits: frameBytes * 8,
    draw(bytes, at) {
      const end = at + bytes.length;
      for (let frame = Math.floor(at / frameBytes); frame * frameBytes < end; frame++)
        for (const plane of planes) drawPlane(bytes, frame * frameBytes + plane.offset - at, plane, area);
    },
  };
}

function planesOf({ pixel, sharesColour }: BlankingParts, black: Uint8Array): Plane[] {
  const { rows, columns, samplesPerPixel, planarConfiguration } = pixel;
  const plane = (offset: number, unit: Uint8Array, columnsPerUnit = 1): Plane => {
    const rowBytes = (columns / columnsPerUnit) * unit.length;
    const blank = new Uint8Array(rowBytes);
    for (let at = 0; at < rowBytes; at += unit.length) blank.set(unit, at);
    return { offset, rowBytes, unitBytes: unit.length, columnsPerUnit, blank };
  };
  if (sharesColour) {
    if (columns % 2 === 1 || black.length !== 3)
      throw new Failure(
        'unsupported',
        'No mask is drawn on shared colour samples of an odd number of columns',
      );
    const [y, b, r] = black;
    return [plane(0, Uint8Array.of(y!, y!, b!, r!), 2)];
  }
  if (planarConfiguration === 0 || samplesPerPixel === 1) return [plane(0, black)];
  const sampleBytes = black.length / samplesPerPixel;
  return Array.from({ length: samplesPerPixel }, (_, sample) =>
    plane(
      sample * rows * columns * sampleBytes,
      black.subarray(sample * sampleBytes, (sample + 1) * sampleBytes),
    ),
  );
}

/** @param start of the plane in the bytes: before them when it is negative */
function drawPlane(bytes: Uint8Array, start: number, plane: Plane, area: BlankArea): void {
  const { rowBytes, unitBytes, columnsPerUnit, blank } = plane;
  const firstRow = Math.max(0, Math.floor(-start / rowBytes));
  const endRow = Math.ceil((bytes.length - start) / rowBytes);
  for (const { top, bottom, spans } of area)
    for (let row = Math.max(top, firstRow); row < Math.min(bottom, endRow); row++)
      for (const [left, right] of spans) {
        const rowStart = start + row * rowBytes;
        const from = Math.max(0, rowStart + Math.floor(left / columnsPerUnit) * unitBytes);
        const to = Math.min(bytes.length, rowStart + Math.ceil(right / columnsPerUnit) * unitBytes);
        if (from < to) bytes.set(blank.subarray(from - rowStart, to - rowStart), from);
      }
}

/** Packed without gaps between rows or frames, lowest bit first (PS3.5 8.1.1). */
function singleBits({ rows, columns }: ImagePixel, area: BlankArea, value: number): Blanking {
  const frameBits = rows * columns;
  return {
    frameBits,
    draw(bytes, at) {
      const [firstBit, endBit] = [at * 8, (at + bytes.length) * 8];
      for (let frame = Math.floor(firstBit / frameBits); frame * frameBits < endBit; frame++)
        for (const { top, bottom, spans } of area)
          for (let row = top; row < bottom; row++)
            for (const [left, right] of spans) {
              const rowStart = frame * frameBits + row * columns;
              const to = Math.min(endBit, rowStart + right);
              for (let bit = Math.max(firstBit, rowStart + left); bit < to; bit++) {
                const byte = (bit >> 3) - at;
                if (value === 1) bytes[byte]! |= 1 << (bit & 7);
                else bytes[byte]! &= ~(1 << (bit & 7));
              }
            }
    },
  };
}
