/**
 * WADO-RS of frames (PS3.18 10.4.1.1.6): the stored bytes of each frame, bit for bit, read by range; decoded by
 * pixels/ where a client takes nothing compressed. Native pixels leave little endian (PS3.18 8.7.3.5.2).
 * Also called by bulk-data.ts for the Pixel Data of an object.
 */
import type { Context } from 'koa';
import { readDataSet, readHeader } from '../archive/read-header.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { swapWords, wordSize } from '../dicom/byte-order.ts';
import { type FrameRange, frameLocations } from '../dicom/frames.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { type ImagePixel, imagePixelOf, imagePixelOfJson } from '../pixels/image-pixel.ts';
import type { PixelWorkers } from '../pixels/pixel-workers.ts';
import {
  acceptedBy,
  disclose,
  isUnchanged,
  type RetrieveParts,
  serviceUrl,
  stream,
  targetOf,
} from './answer.ts';
import { type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseFrames, type FrameForm } from './negotiate.ts';
import { findOne, instanceUrl } from './retrieve.ts';

export interface FrameParts extends RetrieveParts {
  readonly workers: PixelWorkers;
}

/** A frame that has to be held to be swapped or decoded. */
export const MAX_FRAME_BYTES = 512 * 1024 * 1024;
const MAX_FRAMES_ASKED = 10_000;

/** GET of …/frames/{list}. */
export function retrieveFrames(parts: FrameParts) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const target = targetOf(ctx);
    const numbers = parseFrameList(ctx.params.frames ?? '');
    const accepted = acceptedBy(ctx);
    const object = await findOne(parts, target);
    const form = chooseFrames(object.transferSyntax, accepted, numbers.length === 1);
    const image = await locateFrames(parts, object, form.bytes === 'decoded' ? 'whole' : 'places');
    for (const number of numbers)
      if (number > image.frames.length)
        throw new Failure(
          'not-found',
          `There is no frame ${number}: the instance has ${image.frames.length} (frames are counted from 1)`,
        );
    const base = serviceUrl(ctx, parts.publicUrl);
    if (isUnchanged(ctx, 'frames', object.contentHash, base, JSON.stringify([numbers, form]))) return;
    await disclose(ctx, parts.database, {
      channel: 'wado',
      ...target,
      instances: 1,
      detail: { frames: numbers.length },
    });
    if (!form.multipart) {
      await stream(ctx, parts.log, {
        type: contentTypeOf(form),
        bytes: frameBytes(parts, object, image, numbers[0]!, form),
      });
      return;
    }
    const url = `${instanceUrl(base, object)}/frames`;
    const { contentType, body } = writeMultipart(
      form.mediaType,
      framesAsParts(parts, object, image, numbers, form, url),
    );
    await stream(ctx, parts.log, { type: contentType, bytes: body });
  };
}

export interface LocatedFrames {
  readonly pixel: ImagePixel;
  readonly frames: readonly FrameRange[][];
}

/**
 * Where the frames of the object lie. For the places alone the row says enough as a rule, and no header is read.
 * @param need 'whole': `pixel` is to be decoded or rendered by
 * @throws Failure 'not-found' for an object without pixels; what frameLocations throws
 */
export async function locateFrames(
  parts: RetrieveParts,
  object: StoredObject,
  need: 'places' | 'whole',
): Promise<LocatedFrames> {
  if (!object.pixel)
    throw new Failure('not-found', `${object.sopUid} has no (7FE0,0010) PixelData, so it has no frames`);
  return ofObject(() => locate(parts, object, object.pixel!, need));
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

async function locate(
  parts: RetrieveParts,
  object: StoredObject,
  place: PixelLocation,
  need: 'places' | 'whole',
): Promise<LocatedFrames> {
  const known = need === 'places' ? imagePixelOfJson(object.attributes, object.transferSyntax) : undefined;
  if (known && saysItsFrames(place, known.numberOfFrames))
    return { pixel: known, frames: frameLocations({ ...known, pixel: place }) };
  const header = (await readHeader(parts.reader, object)).dataSet;
  const pixel = imagePixelOf(header, object.transferSyntax);
  const offsets = header.elements.get('7FE00001')?.value;
  const lengths = header.elements.get('7FE00002')?.value;
  const frames = frameLocations({
    ...pixel,
    pixel: place,
    ...(offsets && lengths && { extendedOffsetTable: { offsets, lengths } }),
  });
  return { pixel, frames };
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

export async function* framesAsParts(
  parts: FrameParts,
  object: StoredObject,
  image: LocatedFrames,
  numbers: Iterable<number>,
  form: FrameForm,
  url: string,
): AsyncGenerator<OutgoingPart> {
  for (const number of numbers)
    yield {
      contentType: contentTypeOf(form),
      contentLocation: `${url}/${number}`,
      body: frameBytes(parts, object, image, number, form),
    };
}

async function* frameBytes(
  parts: FrameParts,
  object: StoredObject,
  image: LocatedFrames,
  number: number,
  form: FrameForm,
): AsyncGenerator<Uint8Array> {
  if (form.bytes === 'stored') yield* storedFrame(parts, object, image, number);
  else {
    const frame = await heldFrame(parts, object, image, number);
    yield await ofObject(() => parts.workers.decode(image.pixel, frame));
  }
}

/** The stored bytes of a frame; native ones as little endian. Frames count from 1. */
async function* storedFrame(
  parts: RetrieveParts,
  object: StoredObject,
  image: LocatedFrames,
  number: number,
): AsyncGenerator<Uint8Array> {
  const ranges = image.frames[number - 1]!;
  const { bigEndian } = transferSyntax(object.transferSyntax);
  if (bigEndian || image.pixel.bitsAllocated === 1) {
    yield await heldFrame(parts, object, image, number);
    return;
  }
  for (const range of ranges) yield* readDataSet(parts.reader, object, range);
}

/** The same in one buffer. @throws Failure 'too-large' beyond MAX_FRAME_BYTES */
export async function heldFrame(
  parts: RetrieveParts,
  object: StoredObject,
  image: LocatedFrames,
  number: number,
): Promise<Buffer> {
  const ranges = image.frames[number - 1]!;
  const length = ranges.reduce((sum, range) => sum + range.length, 0);
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
  for (const range of ranges)
    for await (const piece of readDataSet(parts.reader, object, range)) pieces.push(piece);
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

function contentTypeOf(form: FrameForm): string {
  return `${form.mediaType}; transfer-syntax=${form.transferSyntax}`;
}

/** @throws Failure 'invalid' unless it is whole numbers from 1 up, separated by commas */
export function parseFrameList(text: string): number[] {
  const pieces = text.split(',');
  if (pieces.length > MAX_FRAMES_ASKED)
    throw new Failure('invalid', `More than ${MAX_FRAMES_ASKED} frames are asked for at once`);
  return pieces.map((piece) => {
    if (!/^[1-9]\d{0,8}$/.test(piece.trim()))
      throw new Failure('invalid', 'A frame list is whole numbers from 1 up, separated by commas');
    return Number(piece);
  });
}
