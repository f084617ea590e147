/**
 * One stored frame as it leaves in another transfer syntax: decoded, blanked where a rule masks it, encoded, and
 * decoded again: what is not the same then does not leave. Runs in pixel-worker.ts; asked by forwarding/recoded-pixels.ts.
 */
import { Failure } from '../failure.ts';
import { createBlanking } from './blank-frame.ts';
import { spread422 } from './colour.ts';
import { decodedLength, decodedPixel } from './decodable.ts';
import { type DecodedFrame, decodeFrame } from './decode-frame.ts';
import { encodedPixel, encoderOf, type Recoding, spreadColour } from './encodable.ts';
import { encodeFrame } from './encode-frame.ts';
import type { ImagePixel } from './image-pixel.ts';
import { byPixel, sameValues } from './same-samples.ts';

/**
 * @param pixel what the stored object says
 * @param frame as it is stored; may be written to
 * @throws Failure 'invalid' when it does not decode, or does not come back as it went in; 'unsupported', 'too-large' as
 * decodeFrame
 */
export function recodeFrame(pixel: ImagePixel, frame: Uint8Array, recoding: Recoding): Uint8Array {
  const decoded = decodeFrame(pixel, frame);
  const native = { ...decodedPixel(pixel), numberOfFrames: 1 };
  if (recoding.blank) {
    const sharesColour =
      decoded.photometricInterpretation === 'YBR_FULL_422' && decoded.samples.length < decodedLength(native);
    createBlanking({ ...recoding.blank, pixel: native, sharesColour }).draw(decoded.samples, 0);
  }
  if (!encoderOf(recoding.to)) return decoded.samples;
  const samples = spread(native, decoded);
  const source: ImagePixel = {
    ...native,
    planarConfiguration: 0,
    photometricInterpretation: spreadColour(decoded.photometricInterpretation),
  };
  const after = encodedPixel(pixel, recoding);
  for (const bits of bitsToTry(source)) {
    const encoded = encodeFrame(samples, source, recoding, bits);
    if (isGood(source, samples, after, encoded, recoding)) return encoded;
  }
  throw new Failure(
    'invalid',
    `a frame that was encoded in transfer syntax ${recoding.to} did not decode to the pixels it was made of`,
  );
}

/** By pixel, with three samples each where two neighbours shared them. */
function spread(native: ImagePixel, decoded: DecodedFrame): Buffer {
  if (decoded.photometricInterpretation === 'YBR_FULL_422') return spread422(decoded.samples, native);
  return byPixel(native, decoded);
}

/** What stands above Bits Stored is filling in most objects, and an overlay in some: those are kept whole. */
function bitsToTry({ bitsAllocated, bitsStored, highBit }: ImagePixel): number[] {
  return bitsStored < bitsAllocated && highBit === bitsStored - 1
    ? [bitsStored, bitsAllocated]
    : [bitsAllocated];
}

/** Lossless: the same values; else within what was allowed, where the codec can say what that is. */
function isGood(
  source: ImagePixel,
  samples: Buffer,
  after: ImagePixel,
  encoded: Uint8Array,
  { loss }: Recoding,
): boolean {
  const back = decodeFrame(after, encoded);
  const others = byPixel(after, back);
  if (!loss)
    return (
      back.photometricInterpretation === source.photometricInterpretation &&
      sameValues(source, samples, others)
    );
  if (others.length !== samples.length) return false;
  return !('maxError' in loss) || furthest(source, samples, others) <= loss.maxError;
}

function furthest({ bitsAllocated, bitsStored }: ImagePixel, a: Buffer, b: Buffer): number {
  const mask = 2 ** bitsStored - 1;
  let most = 0;
  if (bitsAllocated === 8)
    for (let at = 0; at < a.length; at++) most = Math.max(most, Math.abs((a[at]! & mask) - (b[at]! & mask)));
  else
    for (let at = 0; at + 1 < a.length; at += 2)
      most = Math.max(most, Math.abs((a.readUInt16LE(at) & mask) - (b.readUInt16LE(at) & mask)));
  return most;
}
