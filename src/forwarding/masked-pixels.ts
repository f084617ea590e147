/**
 * Native pixels on their way out, blanked where a rule masks them, as they pass: nothing of a frame is held.
 * Made by changed-object.ts, which gives the bytes of the Pixel Data element and sends what comes out.
 */
import type { BlankArea } from '../dicom/blank-area.ts';
import type { DataSet } from '../dicom/data-set.ts';
import { readTag, readUint32, tagText, UNDEFINED_LENGTH } from '../dicom/element-header.ts';
import { EXPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { type Blanking, createBlanking } from '../pixels/blank-frame.ts';
import { type ImagePixel, imagePixelOf } from '../pixels/image-pixel.ts';
import { type Palette, presentationOf } from '../pixels/presentation.ts';

/** Of an element of OB, OW or UN in Explicit VR (PS3.5 7.1.2). */
export const PIXEL_HEADER_BYTES = 12;

export interface MaskedPixels {
  /** Of the element, in order. @returns a copy, blanked */
  push(chunk: Uint8Array): Uint8Array;
}

/**
 * @param header of the object, as it is stored
 * @param element the first PIXEL_HEADER_BYTES of the Pixel Data element, in Explicit VR Little Endian
 * @throws Failure 'unsupported' or 'invalid' when the pixels cannot be blanked
 */
export function createMaskedPixels(header: DataSet, element: Uint8Array, area: BlankArea): MaskedPixels {
  const length = readUint32(element, 8, false);
  if (element.length < PIXEL_HEADER_BYTES || length === UNDEFINED_LENGTH)
    throw new Failure('unsupported', 'its pixels are compressed, and no mask is drawn on them as they are');
  const pixel = imagePixelOf(header, EXPLICIT_LE, tagText(readTag(element, 0, false)));
  const blanking = nativeBlanking(header, pixel, length, area);
  const imageBytes = Math.ceil((blanking.frameBits * pixel.numberOfFrames) / 8);
  if (pixel.numberOfFrames < 1 || imageBytes > length)
    throw new Failure(
      'invalid',
      `(7FE0,0010) PixelData has ${length} bytes where ${pixel.numberOfFrames} frames need ${imageBytes}`,
    );
  let at = -PIXEL_HEADER_BYTES;
  return {
    push(chunk) {
      const out = Buffer.from(chunk);
      const image = out.subarray(Math.min(out.length, Math.max(0, -at)));
      const start = Math.max(0, at);
      if (image.length > 0) {
        blanking.draw(image, start);
        // What stands behind the last frame was not looked at.
        image.fill(0, Math.max(0, Math.min(image.length, imageBytes - start)));
      }
      at += out.length;
      return out;
    },
  };
}

function nativeBlanking(header: DataSet, pixel: ImagePixel, length: number, area: BlankArea): Blanking {
  const { rows, columns, samplesPerPixel, bitsAllocated, numberOfFrames } = pixel;
  const shared = rows * columns * 2 * numberOfFrames;
  const sharesColour =
    samplesPerPixel === 3 && bitsAllocated === 8 && (length === shared || length === shared + (shared % 2));
  return createBlanking({ pixel, area, sharesColour, palette: paletteOf(header, pixel) });
}

/** @throws Failure 'invalid' when it is missing or broken */
export function paletteOf(header: DataSet, pixel: ImagePixel): Palette | undefined {
  if (pixel.photometricInterpretation !== 'PALETTE COLOR') return undefined;
  return presentationOf(header, 1, pixel.signed).palette;
}
