/**
 * One frame's native samples, by pixel, into RLE Lossless (PS3.5 Annex G). Called by encode-frame.ts.
 * Own, because rows may not run into each other (G.3.1), and single bits are packed before they are compressed (G.2).
 */
import type { ImagePixel } from './image-pixel.ts';

const HEADER_BYTES = 64;
/** A run or literal is no longer (G.3.1). */
const LONGEST = 128;

export function encodeRle(samples: Uint8Array, pixel: ImagePixel): Buffer {
  const isPacked = pixel.bitsAllocated === 1;
  const bytesPerSample = isPacked ? 1 : pixel.bitsAllocated / 8;
  const segments = pixel.samplesPerPixel * bytesPerSample;
  // Packed bits do not end where rows do.
  const rowBytes = isPacked ? Math.ceil((pixel.rows * pixel.columns) / 8) : pixel.columns;
  const rows = isPacked ? 1 : pixel.rows;
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(segments, 0);
  const parts: Buffer[] = [header];
  let at = HEADER_BYTES;
  for (let segment = 0; segment < segments; segment++) {
    const sample = Math.floor(segment / bytesPerSample);
    // The most significant byte comes first (G.2).
    const first = sample * bytesPerSample + bytesPerSample - 1 - (segment % bytesPerSample);
    const plane = new Uint8Array(rows * rowBytes);
    for (let to = 0, from = first; to < plane.length; to++, from += segments) plane[to] = samples[from]!;
    header.writeUInt32LE(at, 4 + segment * 4);
    const packed = packBits(plane, rowBytes);
    parts.push(packed);
    at += packed.length;
  }
  return Buffer.concat(parts);
}

/** Row by row, to an even length (G.3.1). */
function packBits(plane: Uint8Array, rowBytes: number): Buffer {
  const out = Buffer.allocUnsafe(
    plane.length + Math.ceil(rowBytes / LONGEST) * (plane.length / rowBytes) + 1,
  );
  let to = 0;
  for (let row = 0; row < plane.length; row += rowBytes) {
    const end = row + rowBytes;
    for (let at = row; at < end; ) {
      const run = runLength(plane, at, end);
      if (run > 1) {
        out[to++] = 257 - run;
        out[to++] = plane[at]!;
        at += run;
        continue;
      }
      let stop = at + 1;
      // A run of two inside a literal costs no less than it saves; one of three ends it.
      while (stop < end && stop - at < LONGEST && runLength(plane, stop, Math.min(end, stop + 3)) < 3) stop++;
      out[to++] = stop - at - 1;
      out.set(plane.subarray(at, stop), to);
      to += stop - at;
      at = stop;
    }
  }
  if (to % 2 === 1) out[to++] = 0;
  return out.subarray(0, to);
}

function runLength(bytes: Uint8Array, at: number, end: number): number {
  const most = Math.min(end, at + LONGEST);
  const value = bytes[at];
  let stop = at + 1;
  while (stop < most && bytes[stop] === value) stop++;
  return stop - at;
}
