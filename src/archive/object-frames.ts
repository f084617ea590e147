/**
 * The frames of a stored object: where they lie, and one of them held in one buffer as codecs want it.
 * Called by the DICOMweb door for frames and pictures, and by version-difference.ts; bytes come through read-object.ts.
 */
import { swapWords, wordSize } from '../dicom/byte-order.ts';
import type { DataSet } from '../dicom/data-set.ts';
import {
  beginsFrame,
  FRAME_START_BYTES,
  type FramePlaces,
  type FrameRange,
  type FramesOf,
  frameLocations,
  hasToLookInside,
} from '../dicom/frames.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { type ImagePixel, imagePixelOf } from '../pixels/image-pixel.ts';
import type { PieceBuffers } from './object-store/piece-buffers.ts';
import { readDataSet, readHeader } from './read-header.ts';
import type { ObjectReader } from './read-object.ts';
import type { StoredObject } from './stored-object.ts';

export interface FrameSource {
  readonly reader: ObjectReader;
}

/** Most bytes of a frame that has to be held to be swapped or decoded. */
export const MAX_FRAME_BYTES = 512 * 1024 * 1024;
const ONE_READ_BYTES = 4 * 1024 * 1024;
const READS_AT_ONCE = 64;

export interface LocatedFrames {
  readonly pixel: ImagePixel;
  /** Fewer than the object says it has where its pixels end early. */
  readonly frames: FramePlaces;
}

/** @throws Failure 'not-found' for a frame the object does not have, counted from 1 */
export function checkHasFrame({ pixel, frames }: LocatedFrames, number: number): void {
  if (number <= frames.length) return;
  throw new Failure(
    'not-found',
    number <= pixel.numberOfFrames
      ? `Frame ${number} is missing: (7FE0,0010) PixelData has ${frames.length} of the ${pixel.numberOfFrames} frames of (0028,0008) NumberOfFrames`
      : `There is no frame ${number}: the instance has ${frames.length} (frames are counted from 1)`,
  );
}

export interface ImageFrames extends LocatedFrames {
  readonly header: DataSet;
}

export function placeOf(object: Pick<StoredObject, 'pixel' | 'sopUid'>): PixelLocation {
  if (object.pixel) return object.pixel;
  throw new Failure('not-found', `${object.sopUid} has no (7FE0,0010) PixelData, so it has no frames`);
}

/**
 * Where the frames lie, with all that decoding and rendering need, from the header.
 * @throws Failure 'not-found' for an object without pixels; 'invalid' when pixels and dimensions do not fit
 */
export async function readFrames({ reader }: FrameSource, object: StoredObject): Promise<ImageFrames> {
  const place = placeOf(object);
  const header = (await readHeader(reader, object)).dataSet;
  const pixel = imagePixelOf(header, object.transferSyntax, place.tag);
  const said = whatIsSaid(header, place, pixel);
  const frameStarts = hasToLookInside(said) ? await lookedInside(reader, object, place) : undefined;
  return { header, pixel, frames: frameLocations({ ...said, ...(frameStarts && { frameStarts }) }) };
}

/** The same without a look into the fragments. @throws Failure 'invalid' when pixels and dimensions do not fit */
export function framesOf(header: DataSet, place: PixelLocation, transferSyntaxUid: string): ImageFrames {
  const pixel = imagePixelOf(header, transferSyntaxUid, place.tag);
  return { header, pixel, frames: frameLocations(whatIsSaid(header, place, pixel)) };
}

function whatIsSaid(header: DataSet, place: PixelLocation, pixel: ImagePixel): FramesOf {
  const offsets = header.elements.get('7FE00001')?.value;
  const lengths = header.elements.get('7FE00002')?.value;
  return {
    ...pixel,
    pixel: place,
    ...(offsets && lengths && { extendedOffsetTable: { offsets, lengths } }),
  };
}

/** Which fragments begin a frame; there are MAX_FRAGMENTS at most, read some at a time. */
async function lookedInside(
  reader: ObjectReader,
  object: StoredObject,
  { fragments }: PixelLocation,
): Promise<boolean[]> {
  const { offsets, lengths } = fragments ?? { offsets: [], lengths: [] };
  const starts: boolean[] = [];
  for (let from = 0; from < offsets.length; from += READS_AT_ONCE) {
    const heads = offsets.slice(from, from + READS_AT_ONCE).map((offset, index) => {
      const length = Math.min(FRAME_START_BYTES, lengths[from + index]!);
      return reader.readRange(object, object.dataSetOffset + offset, length);
    });
    starts.push(...(await Promise.all(heads)).map(beginsFrame));
  }
  return starts;
}

export const lengthOf = (ranges: readonly FrameRange[]): number =>
  ranges.reduce((sum, range) => sum + range.length, 0);

/**
 * A frame of ordinary size in one read: each read is a trip through the thread pool.
 * @param buffers where the bytes may lie, on their way out; whoever pulls them gives them back
 */
export async function* readPiece(
  { reader }: FrameSource,
  object: StoredObject,
  range: FrameRange,
  buffers?: PieceBuffers,
): AsyncGenerator<Uint8Array> {
  if (transferSyntax(object.transferSyntax).deflated) {
    yield* readDataSet(reader, object, range);
    return;
  }
  const offset = object.dataSetOffset + range.offset;
  if (range.length > (buffers?.pieceBytes ?? ONE_READ_BYTES))
    yield* reader.read(object, { offset, length: range.length }, buffers);
  else yield await reader.readRange(object, offset, range.length, buffers);
}

/**
 * The stored bytes of a frame in one buffer, native ones little endian.
 * @param buffers where it may lie; whoever asks gives it back
 * @throws Failure 'too-large' beyond MAX_FRAME_BYTES
 */
export async function heldFrame(
  { reader }: FrameSource,
  object: StoredObject,
  image: LocatedFrames,
  number: number,
  buffers?: PieceBuffers,
): Promise<Buffer> {
  const ranges = image.frames.at(number - 1)!;
  const length = lengthOf(ranges);
  if (length > MAX_FRAME_BYTES)
    throw new Failure(
      'too-large',
      `Frame ${number} has ${length} bytes; ${MAX_FRAME_BYTES} can be worked on`,
    );
  const { bigEndian, encapsulated } = transferSyntax(object.transferSyntax);
  const first = ranges[0]!;
  if (bigEndian && !encapsulated) return swappedFrame({ reader }, object, first);
  const bytes = await held({ reader }, object, ranges, buffers);
  return image.pixel.bitsAllocated % 8 !== 0 && !encapsulated
    ? alignedBits(bytes, first.bitOffset ?? 0, image.pixel)
    : bytes;
}

async function held(
  { reader }: FrameSource,
  object: StoredObject,
  ranges: readonly FrameRange[],
  buffers?: PieceBuffers,
): Promise<Buffer> {
  const [first] = ranges;
  const { deflated } = transferSyntax(object.transferSyntax);
  // Nearly all frames lie in one piece, and need not be copied.
  if (first && ranges.length === 1 && first.length <= ONE_READ_BYTES && !deflated)
    return reader.readRange(object, object.dataSetOffset + first.offset, first.length, buffers);
  const pieces: Uint8Array[] = [];
  for (const range of ranges)
    for await (const piece of readPiece({ reader }, object, range)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Words are turned round where they lie in the value: a frame of odd length may begin inside one. */
async function swappedFrame(
  { reader }: FrameSource,
  object: StoredObject,
  range: FrameRange,
): Promise<Buffer> {
  const { offset, vr, length = 0 } = object.pixel!;
  const size = wordSize(vr);
  const from = range.offset - offset;
  const start = from - (from % size);
  const end = Math.min(length, Math.ceil((from + range.length) / size) * size);
  const bytes = await held({ reader }, object, [{ offset: offset + start, length: end - start }]);
  return swapWords(bytes, size).subarray(from - start, from - start + range.length);
}

/** Frames of single bits, or of 12, follow each other without padding (PS3.5 8.1.1): shifted to begin at a byte, the rest zero. */
function alignedBits(bytes: Buffer, bitOffset: number, pixel: ImagePixel): Buffer {
  const bits = pixel.rows * pixel.columns * pixel.samplesPerPixel * pixel.bitsAllocated;
  const aligned = Buffer.alloc(Math.ceil(bits / 8));
  for (let at = 0; at < aligned.length; at++)
    aligned[at] = (bytes[at]! >> bitOffset) | ((bytes[at + 1] ?? 0) << (8 - bitOffset));
  const rest = bits % 8;
  if (rest !== 0) aligned[aligned.length - 1]! &= (1 << rest) - 1;
  return aligned;
}
