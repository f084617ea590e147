/**
 * RLE Lossless (PS3.5 Annex G): one frame's segments into native samples, little endian.
 * Called by decode-frame.ts. Everything a segment claims is checked against the bytes there are: a frame that does
 * not fill its pixels exactly is refused, never padded.
 */
import { Failure } from '../failure.ts';
import type { ImagePixel } from './image-pixel.ts';

const HEADER_BYTES = 64;
const MAX_SEGMENTS = 15;

/** Samples by plane or by pixel, as PlanarConfiguration says. @throws Failure 'invalid' */
export function decodeRle(frame: Uint8Array, pixel: ImagePixel): Buffer {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  // Single bits are packed eight to a byte before they are compressed (PS3.5 G.2).
  const isPacked = pixel.bitsAllocated === 1;
  const pixels = isPacked ? Math.ceil((pixel.rows * pixel.columns) / 8) : pixel.rows * pixel.columns;
  const bytesPerSample = isPacked ? 1 : pixel.bitsAllocated / 8;
  const expected = pixel.samplesPerPixel * bytesPerSample;
  const segments = bytes.length < HEADER_BYTES ? 0 : bytes.readUInt32LE(0);
  if (segments !== expected || segments > MAX_SEGMENTS)
    throw new Failure('invalid', `The RLE frame has ${segments} segments where its pixels need ${expected}`);
  // Two bytes make 128 at most: what claims more is refused before it has its memory.
  if (pixels * expected > bytes.length * 64)
    throw new Failure('invalid', `The RLE frame of ${bytes.length} bytes cannot hold ${pixels * expected}`);
  const decoded = Buffer.alloc(pixels * expected);
  for (let segment = 0; segment < segments; segment++) {
    const from = bytes.readUInt32LE(4 + segment * 4);
    const to = segment + 1 < segments ? bytes.readUInt32LE(8 + segment * 4) : bytes.length;
    if (from < HEADER_BYTES || to < from || to > bytes.length)
      throw new Failure('invalid', `The offset of RLE segment ${segment + 1} points outside its frame`);
    const sample = Math.floor(segment / bytesPerSample);
    // The most significant byte comes first (G.2).
    const byte = bytesPerSample - 1 - (segment % bytesPerSample);
    const planar = pixel.planarConfiguration === 1;
    const start = planar ? sample * pixels * bytesPerSample + byte : sample * bytesPerSample + byte;
    const stride = planar ? bytesPerSample : expected;
    unpack(bytes.subarray(from, to), decoded, start, stride, pixels, segment + 1);
  }
  return decoded;
}

/** PackBits (G.3.1) of one byte plane. */
function unpack(
  segment: Buffer,
  into: Buffer,
  start: number,
  stride: number,
  count: number,
  number: number,
): void {
  let at = 0;
  let to = start;
  const end = start + count * stride;
  while (to < end) {
    const control = segment[at++];
    if (control === undefined) throw short(number, (to - start) / stride, count);
    if (control < 128) {
      const stop = Math.min(to + (control + 1) * stride, end);
      const next = at + control + 1;
      if (at + (stop - to) / stride > segment.length) throw short(number, (to - start) / stride, count);
      for (; to < stop; to += stride) into[to] = segment[at++]!;
      at = next;
    } else if (control > 128) {
      const value = segment[at++];
      if (value === undefined) throw short(number, (to - start) / stride, count);
      const stop = Math.min(to + (257 - control) * stride, end);
      for (; to < stop; to += stride) into[to] = value;
    }
  }
}

function short(segment: number, done: number, count: number): Failure {
  return new Failure('invalid', `RLE segment ${segment} ends after ${done} of ${count} bytes`);
}
