/**
 * The Pixel Data element of a stored object in another transfer syntax, frame by frame, in forwarding's own threads: a
 * viewer's frames wait for none of them. Made by recoded-object.ts; the bytes go out behind the header.
 * What is compressed is made and checked whole before its first byte leaves, because the header before it tells its
 * ratio, and a frame that does not come back as it went in must not leave: it waits in memory, or, where it is long, in
 * scratch space. What is decompressed is made as it leaves: its length is known.
 */
import { nativeFrameLength } from '../archive/decoded-object.ts';
import type { Spool, SpooledValue } from '../archive/intake/spool.ts';
import { checkHasFrame, heldFrame, type LocatedFrames, lengthOf } from '../archive/object-frames.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { ITEM, SEQUENCE_DELIMITATION, tagNumber, UNDEFINED_LENGTH, vrCode } from '../dicom/element-header.ts';
import { asFailure, Failure } from '../failure.ts';
import { decodedLength } from '../pixels/decodable.ts';
import { encoderOf, type Recoding } from '../pixels/encodable.ts';
import type { ImagePixel } from '../pixels/image-pixel.ts';
import type { PixelWorkers } from '../pixels/pixel-workers.ts';
import { ElementWriter } from '../transform/element-writer.ts';
import type { ByteRoom } from './byte-room.ts';
import type { HeaderRoom } from './header-room.ts';

export interface RecodingParts {
  readonly workers: Pick<PixelWorkers, 'recode'>;
  readonly spool: Spool;
  readonly room: ByteRoom;
  /** Of long headers, whatever their pixels. */
  readonly headers?: HeaderRoom;
}

export interface RecodedPixels {
  /** Of all codestreams; undefined when the pixels become native. */
  readonly encodedBytes: number | undefined;
  /** Of the element, its header included. */
  elementLength(implicit: boolean): number;
  /** The element in Little Endian; of compressed pixels the same bytes each time it is asked for. */
  element(implicit: boolean): AsyncGenerator<Uint8Array>;
  close(): Promise<void>;
}

/** Frames being worked on while one is on its way. */
const AHEAD = 2;
/** Of a frame, decoded; of those that are larger one is made at a time. */
const LARGE_FRAME_BYTES = 4 * 1024 * 1024;
/** Compressed frames of an object up to this much wait in memory. */
const HELD_BYTES = 1024 * 1024;
/** The longest value with a length of its own (PS3.5 7.1). */
const MAX_VALUE_BYTES = 0xfffffffe;
const MAX_OFFSET = 0xffffffff;
const PIXEL_DATA = tagNumber('7FE00010');

export function isLargeFrame(pixel: ImagePixel): boolean {
  return decodedLength(pixel) > LARGE_FRAME_BYTES;
}

/**
 * @param signal ends the work between two frames
 * @throws Failure 'invalid' | 'unsupported' | 'too-large' when the pixels cannot be given so, 'unavailable' when there
 * is no room for it now; what the reader throws
 */
export async function recodePixels(
  parts: RecodingParts & { reader: ObjectReader },
  object: StoredObject,
  image: LocatedFrames,
  recoding: Recoding,
  signal?: AbortSignal,
): Promise<RecodedPixels> {
  checkHasFrame(image, image.pixel.numberOfFrames);
  const frames = recodedFrames(parts, object, image, recoding, signal);
  return encoderOf(recoding.to) ? compressed(frames, parts.spool) : native(frames, image);
}

async function native(
  frames: AsyncGenerator<Uint8Array, undefined>,
  { pixel }: LocatedFrames,
): Promise<RecodedPixels> {
  const frameLength = nativeFrameLength(pixel);
  const length = frameLength * pixel.numberOfFrames;
  if (length > MAX_VALUE_BYTES)
    throw new Failure(
      'too-large',
      `it has ${length} bytes of pixels once they are decoded, and an element holds ${MAX_VALUE_BYTES}`,
    );
  // The first one now: most that cannot be decoded at all is found before anything has left.
  const first = await frames.next();
  return {
    encodedBytes: undefined,
    elementLength: (implicit) => (implicit ? 8 : 12) + length + (length % 2),
    async *element(implicit) {
      const out = new ElementWriter({ implicit });
      // PS3.5 8.1.2 and A.2: samples of up to eight bits as bytes, longer ones as words.
      out.header(PIXEL_DATA, vrCode(pixel.bitsAllocated <= 8 ? 'OB' : 'OW'), length + (length % 2));
      yield* out.take();
      try {
        for (let frame = first; !frame.done; frame = await frames.next())
          yield frame.value.subarray(0, frameLength);
      } finally {
        await frames.return(undefined);
      }
      if (length % 2 === 1) yield Buffer.alloc(1);
    },
    close: async () => void (await frames.return(undefined)),
  };
}

async function compressed(
  frames: AsyncGenerator<Uint8Array, undefined>,
  spool: Spool,
): Promise<RecodedPixels> {
  const lengths: number[] = [];
  let held: Uint8Array[] = [];
  let total = 0;
  const file = spool.open();
  let spooled: SpooledValue | undefined;
  try {
    for await (const frame of frames) {
      lengths.push(frame.length);
      total += frame.length;
      if (!spooled && total <= HELD_BYTES) {
        held.push(frame);
        continue;
      }
      spooled ??= file.begin();
      for (const one of [...held, frame]) await spooled.append(one);
      held = [];
    }
  } catch (thrown) {
    await file.close();
    const failure = asFailure(thrown);
    if (failure.kind !== 'no-space') throw failure;
    throw new Failure('unavailable', 'there is no room to keep its compressed frames until they are sent', {
      cause: failure,
    });
  }
  const table = offsetTable(lengths);
  return {
    encodedBytes: total,
    // Always explicit (PS3.5 A.4): the element, the table's item and the delimiter, and the frames' items.
    elementLength: () => 12 + 8 + table.length + lengths.length * 8 + total + 8,
    async *element(implicit) {
      const out = new ElementWriter({ implicit });
      out.header(PIXEL_DATA, vrCode('OB'), UNDEFINED_LENGTH);
      out.header(ITEM, 0, table.length);
      out.value(table);
      let at = 0;
      for (const [index, length] of lengths.entries()) {
        out.header(ITEM, 0, length);
        yield* out.take();
        if (spooled) for await (const piece of spooled.read(at, length)) yield Buffer.from(piece);
        else yield held[index]!;
        at += length;
      }
      out.header(SEQUENCE_DELIMITATION, 0, 0);
      yield* out.take();
    },
    close: () => file.close(),
  };
}

/** PS3.5 A.4: of each frame's item, from the first one on. Left empty where an offset needs more than 32 bits. */
function offsetTable(lengths: readonly number[]): Buffer {
  const table = Buffer.alloc(lengths.length * 4);
  let at = 0;
  for (const [index, length] of lengths.entries()) {
    if (at > MAX_OFFSET) return Buffer.alloc(0);
    table.writeUInt32LE(at, index * 4);
    at += length + 8;
  }
  return table;
}

/** In their order. */
async function* recodedFrames(
  parts: RecodingParts & { reader: ObjectReader },
  object: StoredObject,
  image: LocatedFrames,
  recoding: Recoding,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, undefined> {
  const pending: Promise<Uint8Array>[] = [];
  const recode = async (number: number): Promise<Uint8Array> => {
    // Given back once it is done, not once it is sent: an object that is made ahead must not hold up the one before it.
    const leave = await parts.room.take(lengthOf(image.frames.at(number - 1)!) + decodedLength(image.pixel));
    try {
      if (signal?.aborted) throw new Failure('unavailable', 'the attempt was ended');
      return await parts.workers.recode(image.pixel, await heldFrame(parts, object, image, number), recoding);
    } finally {
      leave();
    }
  };
  const ahead = isLargeFrame(image.pixel) ? 1 : AHEAD;
  let next = 1;
  try {
    for (;;) {
      while (pending.length < ahead && next <= image.pixel.numberOfFrames) {
        const frame = recode(next++);
        // Whoever awaits it sees the failure; until then it must not count as unhandled.
        frame.catch(() => undefined);
        pending.push(frame);
      }
      const first = pending.shift();
      if (!first) return undefined;
      yield await first;
    }
  } finally {
    // Nothing of it is under way any more when its source is let go.
    await Promise.allSettled(pending);
  }
}
