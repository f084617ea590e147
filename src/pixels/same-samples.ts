/**
 * Whether two frames show the same: decoded without loss where they are compressed, sample for sample.
 * Runs in pixel-worker.ts; asked by archive/version-difference.ts for two versions of an object, and by recode-frame.ts
 * for what it encoded.
 *
 * What lossless compression may change beside the bytes, and what is therefore brought to one form here:
 * - Planar Configuration (PS3.5 8.2: with JPEG, JPEG-LS and JPEG 2000 it is 0, with RLE whatever the object says);
 * - Photometric Interpretation between RGB and YBR_RCT, which JPEG 2000 turns back exactly (PS3.5 8.2.4);
 * - the bits above Bits Stored, which codecs leave out and decoders fill with zeros or with the sign (PS3.5 8.1.1).
 */
import { Failure } from '../failure.ts';
import { type DecodedFrame, decodeFrame } from './decode-frame.ts';
import type { ImagePixel } from './image-pixel.ts';

/** @throws Failure 'unsupported' | 'invalid' | 'too-large' of decodeFrame; 'unsupported' when the colours differ in kind */
export function sameSamples(
  a: ImagePixel,
  frame: Uint8Array,
  b: ImagePixel,
  otherFrame: Uint8Array,
): boolean {
  const [one, other] = [decodeFrame(a, frame), decodeFrame(b, otherFrame)];
  const [colour, otherColour] = [one.photometricInterpretation, other.photometricInterpretation];
  // Decoders turn YBR_RCT back into RGB; whatever else is named differently counts its samples differently.
  if (a.samplesPerPixel > 1 && colour !== otherColour)
    throw new Failure(
      'unsupported',
      `Frames in ${colour} and in ${otherColour} cannot be compared sample for sample`,
    );
  return sameValues(a, byPixel(a, one), byPixel(b, other));
}

/** @param pixel of both; samples by pixel, in the same colours */
export function sameValues(pixel: ImagePixel, samples: Buffer, others: Buffer): boolean {
  return samples.equals(others) || sameStoredBits(pixel, samples, others);
}

/** The samples of each pixel together, whatever Planar Configuration says. */
export function byPixel(pixel: ImagePixel, { samples, planarConfiguration }: DecodedFrame): Buffer {
  const bytes = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
  const { samplesPerPixel, bitsAllocated } = pixel;
  const size = bitsAllocated / 8;
  // A value is padded to an even length, which is not the frame's.
  const frame = bytes.subarray(
    0,
    Math.ceil((pixel.rows * pixel.columns * samplesPerPixel * bitsAllocated) / 8),
  );
  if (samplesPerPixel === 1 || planarConfiguration === 0 || !Number.isInteger(size)) return frame;
  const pixels = pixel.rows * pixel.columns;
  const turned = Buffer.alloc(frame.length);
  for (let sample = 0; sample < samplesPerPixel; sample++)
    for (let at = 0; at < pixels; at++)
      for (let byte = 0; byte < size; byte++)
        turned[(at * samplesPerPixel + sample) * size + byte] = frame[(sample * pixels + at) * size + byte]!;
  return turned;
}

/** Equal where it counts, when what stands above Bits Stored is nothing but filling on both sides. */
function sameStoredBits(
  { bitsAllocated, bitsStored, highBit, signed }: ImagePixel,
  a: Buffer,
  b: Buffer,
): boolean {
  const size = bitsAllocated / 8;
  if (a.length !== b.length || bitsStored >= bitsAllocated || highBit !== bitsStored - 1) return false;
  if (size !== 1 && size !== 2) return false;
  const stored = (1 << bitsStored) - 1;
  const above = (size === 1 ? 0xff : 0xffff) & ~stored;
  const isFilling = (value: number): boolean => {
    const rest = value & above;
    return rest === 0 || (signed && rest === above && (value & (1 << (bitsStored - 1))) !== 0);
  };
  for (let at = 0; at + size <= a.length; at += size) {
    const [one, other] = size === 1 ? [a[at]!, b[at]!] : [a.readUInt16LE(at), b.readUInt16LE(at)];
    if (one === other) continue;
    if ((one & stored) !== (other & stored) || !isFilling(one) || !isFilling(other)) return false;
  }
  return true;
}
