/**
 * The bytes of frames of stored objects: where they lie, as they lie, or held in one buffer for the codec.
 * Called by frames.ts, bulk-data.ts and rendered.ts; bytes come from archive/read-header.ts by range.
 * Native pixels leave little endian (PS3.18 8.7.3.5.2).
 */
import { readDataSet, readHeader } from '../archive/read-header.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { swapWords, wordSize } from '../dicom/byte-order.ts';
import type { DataSet } from '../dicom/data-set.ts';
import { type FrameRange, frameLocations } from '../dicom/frames.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { decodedLength, MAX_DECODED_BYTES } from '../pixels/decode-frame.ts';
import { type ImagePixel, imagePixelOf, imagePixelOfJson } from '../pixels/image-pixel.ts';
import type { PixelWorkers } from '../pixels/pixel-workers.ts';
import type { RetrieveParts } from './answer.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { FrameForm } from './negotiate.ts';

export interface FrameParts extends RetrieveParts {
  readonly workers: PixelWorkers;
  /** For frames that are held whole. */
  readonly budget: ByteBudget;
}

/** Most bytes of a frame that has to be held to be swapped or decoded. */
export const MAX_FRAME_BYTES = 512 * 1024 * 1024;
const ONE_READ_BYTES = 4 * 1024 * 1024;

export interface LocatedFrames {
  readonly pixel: ImagePixel;
  readonly frames: readonly FrameRange[][];
}

export interface ImageFrames extends LocatedFrames {
  readonly header: DataSet;
}

/**
 * Where the frames of the object lie, for their bytes as stored: the row says enough as a rule, and no header is read.
 * @throws Failure 'not-found' for an object without pixels; 'not-acceptable' when pixels and dimensions do not fit
 */
export async function locateFrames(parts: RetrieveParts, object: StoredObject): Promise<LocatedFrames> {
  const place = placeOf(object);
  const pixel = imagePixelOfJson(object.attributes, object.transferSyntax);
  if (!pixel || !saysItsFrames(place, pixel.numberOfFrames)) return readImage(parts, object);
  return ofObject(() => ({ pixel, frames: frameLocations({ ...pixel, pixel: place }) }));
}

/** The same with all that decoding and rendering need, from the header. */
export async function readImage(parts: RetrieveParts, object: StoredObject): Promise<ImageFrames> {
  const place = placeOf(object);
  const header = (await readHeader(parts.reader, object)).dataSet;
  const pixel = imagePixelOf(header, object.transferSyntax);
  const offsets = header.elements.get('7FE00001')?.value;
  const lengths = header.elements.get('7FE00002')?.value;
  return ofObject(() => {
    const frames = frameLocations({
      ...pixel,
      pixel: place,
      ...(offsets && lengths && { extendedOffsetTable: { offsets, lengths } }),
    });
    return { header, pixel, frames };
  });
}

function placeOf(object: StoredObject): PixelLocation {
  if (object.pixel) return object.pixel;
  throw new Failure('not-found', `${object.sopUid} has no (7FE0,0010) PixelData, so it has no frames`);
}

/** A frame of ordinary size in one read: each read is a trip through the thread pool. */
async function* readPiece(
  parts: RetrieveParts,
  object: StoredObject,
  range: FrameRange,
): AsyncGenerator<Uint8Array> {
  if (range.length > ONE_READ_BYTES || transferSyntax(object.transferSyntax).deflated)
    yield* readDataSet(parts.reader, object, range);
  else yield await parts.reader.readRange(object, object.dataSetOffset + range.offset, range.length);
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

/** Whether no Extended Offset Table, which only the header has, can be needed. */
function saysItsFrames(
  { encapsulated, fragments, basicOffsetTable }: PixelLocation,
  frames: number,
): boolean {
  return (
    !encapsulated ||
    frames === 1 ||
    basicOffsetTable?.length === frames ||
    fragments?.offsets.length === frames
  );
}

/** One frame's bytes in the form chosen. Frames count from 1. */
export async function* frameBytes(
  parts: FrameParts,
  object: StoredObject,
  image: LocatedFrames,
  number: number,
  form: FrameForm,
): AsyncGenerator<Uint8Array> {
  const ranges = image.frames[number - 1]!;
  const { bigEndian } = transferSyntax(object.transferSyntax);
  if (form.bytes === 'stored' && !bigEndian && image.pixel.bitsAllocated !== 1) {
    for (const range of ranges) yield* readPiece(parts, object, range);
    return;
  }
  const decoded = form.bytes === 'decoded' ? Math.min(decodedLength(image.pixel), MAX_DECODED_BYTES) : 0;
  const release = parts.budget.take(lengthOf(ranges) + decoded);
  try {
    const frame = await heldFrame(parts, object, image, number);
    yield form.bytes === 'stored' ? frame : await ofObject(() => parts.workers.decode(image.pixel, frame));
  } finally {
    release();
  }
}

/** About what a picture of the frame costs in memory while it is made: samples, numbers of 32 bits, grey or colour. */
export function renderingCost(image: LocatedFrames, number: number): number {
  return lengthOf(image.frames[number - 1]!) + 4 * Math.min(decodedLength(image.pixel), MAX_DECODED_BYTES);
}

const lengthOf = (ranges: readonly FrameRange[]): number =>
  ranges.reduce((sum, range) => sum + range.length, 0);

/** The stored bytes of a frame in one buffer, native ones little endian. @throws Failure 'too-large' beyond MAX_FRAME_BYTES */
export async function heldFrame(
  parts: RetrieveParts,
  object: StoredObject,
  image: LocatedFrames,
  number: number,
): Promise<Buffer> {
  const ranges = image.frames[number - 1]!;
  const length = lengthOf(ranges);
  if (length > MAX_FRAME_BYTES)
    throw new Failure(
      'too-large',
      `Frame ${number} has ${length} bytes; ${MAX_FRAME_BYTES} can be worked on`,
    );
  const { bigEndian, encapsulated } = transferSyntax(object.transferSyntax);
  const first = ranges[0]!;
  if (bigEndian && !encapsulated) return swappedFrame(parts, object, first);
  const bytes = await held(parts, object, ranges);
  return image.pixel.bitsAllocated === 1 && !encapsulated
    ? alignedBits(bytes, first.bitOffset ?? 0, image.pixel)
    : bytes;
}

async function held(
  parts: RetrieveParts,
  object: StoredObject,
  ranges: readonly FrameRange[],
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (const range of ranges) for await (const piece of readPiece(parts, object, range)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Words are turned round where they lie in the value: a frame of odd length may begin inside one. */
async function swappedFrame(parts: RetrieveParts, object: StoredObject, range: FrameRange): Promise<Buffer> {
  const { offset, vr, length = 0 } = object.pixel!;
  const size = wordSize(vr);
  const from = range.offset - offset;
  const start = from - (from % size);
  const end = Math.min(length, Math.ceil((from + range.length) / size) * size);
  const bytes = await held(parts, object, [{ offset: offset + start, length: end - start }]);
  return swapWords(bytes, size).subarray(from - start, from - start + range.length);
}

/** Single-bit frames follow each other without padding (PS3.5 8.1.1): shifted to begin at a byte, the rest zero. */
function alignedBits(bytes: Buffer, bitOffset: number, pixel: ImagePixel): Buffer {
  const bits = pixel.rows * pixel.columns * pixel.samplesPerPixel;
  const aligned = Buffer.alloc(Math.ceil(bits / 8));
  for (let at = 0; at < aligned.length; at++)
    aligned[at] = (bytes[at]! >> bitOffset) | ((bytes[at + 1] ?? 0) << (8 - bitOffset));
  const rest = bits % 8;
  if (rest !== 0) aligned[aligned.length - 1]! &= (1 << rest) - 1;
  return aligned;
}
