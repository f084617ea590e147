/**
 * Overlays in elements of their own (PS3.3 C.9.2), blanked where the image is: text is often written into them. Those in
 * the high bits of the pixels go with the pixels. Called by mask.ts.
 */
import type { BlankArea } from '../dicom/blank-area.ts';
import type { EditableDataSet } from './editable-data-set.ts';

const GROUPS = Array.from({ length: 16 }, (_, index) => (0x6000 + index * 2).toString(16).toUpperCase());

/** Of every frame of an overlay, because it may lie over any of the image. What cannot be placed is removed. */
export function blankOverlays(dataSet: EditableDataSet, area: BlankArea): void {
  for (const group of GROUPS) {
    const data = dataSet.elements.get(`${group}3000`);
    if (!data) continue;
    const [rows, columns] = [words(dataSet, `${group}0010`)[0], words(dataSet, `${group}0011`)[0]];
    if (!rows || !columns) {
      dataSet.remove(`${group}3000`);
      continue;
    }
    // Counted from 1; may be negative.
    const [top = 1, left = 1] = words(dataSet, `${group}0050`).map((word) => (word << 16) >> 16);
    const bytes = Buffer.from(data.value);
    const frames = Math.ceil((bytes.length * 8) / (rows * columns));
    for (let frame = 0; frame < frames; frame++)
      clear(bytes, frame * rows * columns, { rows, columns, top: top - 1, left: left - 1 }, area);
    dataSet.setBytes(`${group}3000`, data.vr, bytes);
  }
}

interface Place {
  readonly rows: number;
  readonly columns: number;
  /** Of its first pixel in the image. */
  readonly top: number;
  readonly left: number;
}

/** @param first bit of the overlay's frame; bits are packed, lowest first (PS3.5 8.1.2) */
function clear(bytes: Buffer, first: number, { rows, columns, top, left }: Place, area: BlankArea): void {
  for (const band of area)
    for (let row = Math.max(0, band.top - top); row < Math.min(rows, band.bottom - top); row++)
      for (const [from, to] of band.spans)
        for (let column = Math.max(0, from - left); column < Math.min(columns, to - left); column++) {
          const bit = first + row * columns + column;
          if (bit >> 3 < bytes.length) bytes[bit >> 3]! &= ~(1 << (bit & 7));
        }
}

/** Of 16 bits, unsigned. */
function words(dataSet: EditableDataSet, tag: string): number[] {
  const value = dataSet.elements.get(tag)?.value ?? new Uint8Array(0);
  return Array.from(
    { length: value.length >> 1 },
    (_, index) => value[index * 2]! | (value[index * 2 + 1]! << 8),
  );
}
