/**
 * The bytes of frames of stored objects: where they lie, as they lie, or held in one buffer for the codec.
 * Called by frames.ts, bulk-data.ts and rendered.ts; bytes come from archive/object-frames.ts by range.
 * Native pixels leave little endian (PS3.18 8.7.3.5.2).
 */
import {
  heldFrame,
  type ImageFrames,
  type LocatedFrames,
  lengthOf,
  placeOf,
  readFrames,
  readPiece,
} from '../archive/object-frames.ts';
import type { ByteRange } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { frameLocations, tellsFrames } from '../dicom/frames.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { decodedLength, MAX_DECODED_BYTES } from '../pixels/decodable.ts';
import { imagePixelOfJson } from '../pixels/image-pixel.ts';
import type { PixelWorkers } from '../pixels/pixel-workers.ts';
import type { RetrieveParts } from './answer.ts';
import type { ByteBudget } from './byte-budget.ts';
import { clipped } from './byte-range.ts';
import type { FrameForm } from './negotiate.ts';

export interface FrameParts extends RetrieveParts {
  readonly workers: PixelWorkers;
  /** For frames that are held whole. */
  readonly budget: ByteBudget;
}

/**
 * Where the frames of the object lie, for their bytes as stored: the row says enough as a rule, and no header is read
 * for an Extended Offset Table, nor a fragment for how it begins.
 * @throws Failure 'not-found' for an object without pixels; 'not-acceptable' when pixels and dimensions do not fit
 */
export async function locateFrames(parts: RetrieveParts, object: StoredObject): Promise<LocatedFrames> {
  const place = placeOf(object);
  const pixel = imagePixelOfJson(object.attributes, object.transferSyntax);
  if (!pixel || (place.encapsulated && !tellsFrames(place, pixel.numberOfFrames)))
    return readImage(parts, object);
  return ofObject(() => ({ pixel, frames: frameLocations({ ...pixel, pixel: place }) }));
}

/** The same with all that decoding and rendering need, from the header. */
export function readImage(parts: RetrieveParts, object: StoredObject): Promise<ImageFrames> {
  return ofObject(() => readFrames(parts, object));
}

/** What is wrong with a stored object is no fault of the request: 406, in the sentence's words. */
export async function ofObject<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.kind === 'invalid')
      throw new Failure('not-acceptable', thrown.message, { cause: thrown });
    throw thrown;
  }
}

/** How many bytes a stored frame is given in: as many as it lies in, but for single bits, which are shifted. */
export function storedLength({ pixel, frames }: LocatedFrames, number: number): number {
  const ranges = frames.at(number - 1)!;
  const encapsulated = transferSyntax(pixel.transferSyntaxUid).encapsulated;
  return encapsulated || pixel.bitsAllocated % 8 === 0 ? lengthOf(ranges) : decodedLength(pixel);
}

/** One frame's bytes in the form chosen, or a part of them. Frames count from 1. */
export async function* frameBytes(
  parts: FrameParts,
  object: StoredObject,
  image: LocatedFrames,
  number: number,
  form: FrameForm,
  part?: ByteRange,
): AsyncGenerator<Uint8Array> {
  const ranges = image.frames.at(number - 1)!;
  const { bigEndian, encapsulated } = transferSyntax(object.transferSyntax);
  const asTheyLie = !bigEndian && (encapsulated || image.pixel.bitsAllocated % 8 === 0);
  if (form.bytes === 'stored' && asTheyLie) {
    for (const range of clipped(ranges, part)) yield* readPiece(parts, object, range, parts.buffers);
    return;
  }
  const decoded = form.bytes === 'decoded' ? Math.min(decodedLength(image.pixel), MAX_DECODED_BYTES) : 0;
  const release = parts.budget.take(lengthOf(ranges) + decoded);
  try {
    const frame = await heldFrame(parts, object, image, number);
    const bytes =
      form.bytes === 'stored' ? frame : await ofObject(() => parts.workers.decode(image.pixel, frame));
    yield part ? bytes.subarray(part.offset, part.offset + part.length) : bytes;
  } finally {
    release();
  }
}

/** About what a picture of the frame costs in memory while it is made: samples, numbers of 32 bits, grey or colour. */
export function renderingCost(image: LocatedFrames, number: number): number {
  return lengthOf(image.frames.at(number - 1)!) + 4 * Math.min(decodedLength(image.pixel), MAX_DECODED_BYTES);
}
