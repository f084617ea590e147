/**
 * Overlay planes (PS3.3 C.9.2): single bits over the image, in their own element or in the unused high bits of the
 * pixels, as older equipment writes them. Graphics are burnt in white; regions of interest are for measuring and are
 * not shown. Read with the header by presentation.ts, drawn by render-frame.ts in a worker.
 */
import { type DataSet, int, text } from '../dicom/data-set.ts';
import type { ImagePixel } from './image-pixel.ts';

export interface Overlay {
  readonly rows: number;
  readonly columns: number;
  /** Of its first bit in the image, counted from 0; may lie outside. */
  readonly top: number;
  readonly left: number;
  /** Where the bits are: packed, lowest first, from bit `from` on; or bit `highBit` of every pixel. */
  readonly bits: { readonly packed: Uint8Array; readonly from: number } | { readonly highBit: number };
}

const GROUPS = Array.from({ length: 16 }, (_, index) => (0x6000 + index * 2).toString(16));

/** The graphics that lie over a frame, counted from 1. What says too little of itself is left out. */
export function overlaysOf(header: DataSet, frame: number): Overlay[] {
  return GROUPS.flatMap((group) => {
    const found = overlayIn(header, group, frame);
    return found ? [found] : [];
  });
}

function overlayIn(header: DataSet, group: string, frame: number): Overlay | undefined {
  const [rows, columns] = [int(header, `${group}0010`) ?? 0, int(header, `${group}0011`) ?? 0];
  if (rows < 1 || columns < 1 || text(header, `${group}0040`) === 'R') return undefined;
  // An overlay of several frames begins at one of the image; one of a single frame lies over them all.
  const frames = int(header, `${group}0015`) ?? 1;
  const plane = frames > 1 ? frame - (int(header, `${group}0051`) ?? 1) : 0;
  if (plane < 0 || plane >= frames) return undefined;
  const place = { rows, columns, ...originIn(header, `${group}0050`) };
  const data = header.elements.get(`${group}3000`);
  if (data) {
    const from = plane * rows * columns;
    if (data.value.length * 8 < from + rows * columns) return undefined;
    const [start, end] = [from >> 3, Math.ceil((from + rows * columns) / 8)];
    const packed = Uint8Array.from({ length: end - start }, (_, index) =>
      // Bytes of words that came big endian stand the other way round (PS3.5 8.1.2).
      header.bigEndian && data.vr !== 'OB' ? data.value[(start + index) ^ 1]! : data.value[start + index]!,
    );
    return { ...place, bits: { packed, from: from & 7 } };
  }
  const allocated = int(header, `${group}0100`) ?? 1;
  const highBit = int(header, `${group}0102`) ?? 0;
  return allocated > 1 && allocated === int(header, '00280100') && highBit < allocated
    ? { ...place, bits: { highBit } }
    : undefined;
}

/** Row and column of the first overlay pixel, counted from 1 in the header (C.9.2.1.3). */
function originIn(header: DataSet, tag: string): { top: number; left: number } {
  const value = header.elements.get(tag)?.value;
  if (!value || value.length < 4) return { top: 0, left: 0 };
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return { top: view.getInt16(0, !header.bigEndian) - 1, left: view.getInt16(2, !header.bigEndian) - 1 };
}

/** Draws them white into a picture of one or three channels of eight bits; `samples` are the frame's own, decoded. */
export function drawOverlays(
  picture: Buffer,
  channels: 1 | 3,
  pixel: ImagePixel,
  samples: Uint8Array,
  overlays: readonly Overlay[],
): void {
  for (const { rows, columns, top, left, bits } of overlays) {
    const isSet =
      'packed' in bits ? packedBit(bits.packed, bits.from, columns) : sampleBit(samples, pixel, bits.highBit);
    for (let row = Math.max(0, -top); row < rows && row + top < pixel.rows; row++)
      for (let column = Math.max(0, -left); column < columns && column + left < pixel.columns; column++) {
        if (!isSet(row, column)) continue;
        const at = ((row + top) * pixel.columns + column + left) * channels;
        picture.fill(255, at, at + channels);
      }
  }
}

type BitAt = (row: number, column: number) => boolean;

const packedBit =
  (packed: Uint8Array, from: number, columns: number): BitAt =>
  (row, column) => {
    const bit = from + row * columns + column;
    return ((packed[bit >> 3]! >> (bit & 7)) & 1) === 1;
  };

/** The bit of the pixel the overlay's own pixel belongs to: such planes are as large as the image. */
function sampleBit(samples: Uint8Array, pixel: ImagePixel, highBit: number): BitAt {
  const bytes = pixel.bitsAllocated / 8;
  return (row, column) => {
    if (row >= pixel.rows || column >= pixel.columns) return false;
    const at = (row * pixel.columns + column) * bytes * pixel.samplesPerPixel + (highBit >> 3);
    return ((samples[at]! >> (highBit & 7)) & 1) === 1;
  };
}
