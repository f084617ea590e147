/**
 * A stored object whose pixels are compressed, as a Part 10 file in Explicit VR Little Endian, the form that every
 * DICOMweb client may ask for (PS3.18 8.7.3.5.2). Called by dicomweb for whole instances; frames are decoded in the
 * threads of pixels/, a few ahead of the client, so memory depends on the size of a frame and not of the object.
 * What is stored stays as it is: these bytes are made anew each time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type DataSet, text } from '../dicom/data-set.ts';
import { readTag, SEQUENCE_DELIMITATION, tagNumber, vrCode } from '../dicom/element-header.ts';
import { buildFileMeta } from '../dicom/part10.ts';
import { EXPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { decodedLength, decodedPixel, isDecodable, lossyMethod } from '../pixels/decodable.ts';
import type { ImagePixel } from '../pixels/image-pixel.ts';
import type { PixelWorkers } from '../pixels/pixel-workers.ts';
import { ElementWriter } from '../transform/element-writer.ts';
import { ExplicitLittleEndianConversion, type RootEdits } from '../transform/explicit-little-endian.ts';
import { heldFrame, type ImageFrames, lengthOf, readFrames } from './object-frames.ts';
import type { ObjectReader } from './read-object.ts';
import type { StoredObject } from './stored-object.ts';

export interface DecodingParts {
  readonly reader: ObjectReader;
  readonly workers: Pick<PixelWorkers, 'decode'>;
  /** Counts bytes as held until what it returns is called. @throws Failure 'unavailable' when they do not fit now */
  readonly budget: { take(bytes: number): () => void };
}

/** Frames being decoded while one is on its way to the client. */
const AHEAD = 3;
/** An answer that has begun waits for room, where a new request would be asked to come again. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 50;
/** The longest value with a length of its own (PS3.5 7.1). */
const MAX_VALUE_BYTES = 0xfffffffe;
/**
 * Tables of the fragments that are no more, and signatures over what has changed.
 * (7FE0,0001) to (7FE0,0003): Extended Offset Table, its Lengths, Encapsulated Pixel Data Value Total Length.
 */
export const NO_LONGER_TRUE = ['7FE00001', '7FE00002', '7FE00003', 'FFFAFFFA'];
const ICON_IMAGE_SEQUENCE = '00880200';

/** Whether there is anything to decode, and a codec for it. */
export function canBeDecoded(transferSyntaxUid: string): boolean {
  return transferSyntax(transferSyntaxUid).encapsulated && isDecodable(transferSyntaxUid);
}

/**
 * The file's bytes; the first frame is decoded before the first of them is given.
 * @throws Failure 'invalid' when its pixels do not decode to what its header says, 'unsupported' when nothing says where
 * its frames begin, 'too-large' beyond what a native Pixel Data element or a worker can hold
 */
export async function* decodedObject(parts: DecodingParts, object: StoredObject): AsyncGenerator<Uint8Array> {
  const fileMeta = buildFileMeta({
    sopClassUid: object.sopClass,
    sopInstanceUid: object.sopUid,
    transferSyntaxUid: EXPLICIT_LE,
    ...(object.sourceAe !== null && { sourceAeTitle: object.sourceAe }),
  });
  if (!object.pixel?.encapsulated) {
    yield fileMeta;
    yield* edited(parts, object, { from: 0, edits: { leaveOut: new Set(), insert: [] } });
    return;
  }
  const image = await readFrames(parts, object);
  if (image.frames.length < image.pixel.numberOfFrames)
    throw new Failure(
      'invalid',
      `(7FE0,0010) PixelData of ${object.sopUid} has ${image.frames.length} of its ${image.pixel.numberOfFrames} frames, so it is given only as it is stored`,
    );
  const frameLength = nativeFrameLength(image.pixel);
  const length = frameLength * image.frames.length;
  if (length > MAX_VALUE_BYTES)
    throw new Failure(
      'too-large',
      `${object.sopUid} has ${length} bytes of pixels once they are decoded, and an element holds ${MAX_VALUE_BYTES}`,
    );
  const frames = decodedFrames(parts, object, image);
  try {
    let frame = await frames.next();
    yield fileMeta;
    yield* edited(parts, object, {
      from: 0,
      to: object.pixel.elementOffset,
      edits: editsFor(image, object.transferSyntax),
    });
    yield* pixelDataHeader(image.pixel, length + (length % 2));
    for (; !frame.done; frame = await frames.next()) yield frame.value.subarray(0, frameLength);
  } finally {
    await frames.return(undefined);
  }
  if (length % 2 === 1) yield Buffer.alloc(1);
  yield* edited(parts, object, {
    from: await endOfFragments(parts.reader, object),
    edits: { leaveOut: new Set(NO_LONGER_TRUE), insert: [] },
  });
}

/** Part of the data set, which holds no compressed pixels. */
async function* edited(
  { reader }: DecodingParts,
  object: StoredObject,
  { from, to, edits }: { from: number; to?: number; edits: RootEdits },
): AsyncGenerator<Uint8Array> {
  const end = to ?? object.length - object.dataSetOffset;
  const conversion = new ExplicitLittleEndianConversion(EXPLICIT_LE, edits);
  for await (const chunk of reader.read(object, {
    offset: object.dataSetOffset + from,
    length: Math.max(0, end - from),
  }))
    yield* conversion.push(chunk);
  yield* conversion.end();
}

/**
 * What the header says otherwise once the pixels are native (PS3.5 8.2, PS3.3 C.7.6.3): their colour, and that they
 * were compressed with loss, which nothing else tells any more (PS3.3 C.7.6.1.1.5).
 */
export function editsFor({ header, pixel }: ImageFrames, transferSyntaxUid: string): RootEdits {
  const decoded = decodedPixel(pixel);
  const insert: { tag: string; vr: string; value: Uint8Array }[] = [];
  if (decoded.photometricInterpretation !== pixel.photometricInterpretation)
    insert.push({ tag: '00280004', vr: 'CS', value: even(decoded.photometricInterpretation) });
  if (decoded.planarConfiguration !== pixel.planarConfiguration)
    insert.push({ tag: '00280006', vr: 'US', value: Uint8Array.of(decoded.planarConfiguration, 0) });
  const method = lossyMethod(transferSyntaxUid);
  if (method !== undefined && !text(header, '00282110')) {
    insert.push({ tag: '00282110', vr: 'CS', value: even('01') });
    if (!text(header, '00282114')) insert.push({ tag: '00282114', vr: 'CS', value: even(method) });
  }
  const leaveOut = new Set([...NO_LONGER_TRUE, ...insert.map(({ tag }) => tag)]);
  if (hasCompressedIcon(header)) leaveOut.add(ICON_IMAGE_SEQUENCE);
  return { leaveOut, insert };
}

function hasCompressedIcon(header: DataSet): boolean {
  const icons = header.elements.get(ICON_IMAGE_SEQUENCE)?.items ?? [];
  return icons.some((icon) => icon.elements.get('7FE00010')?.fragments !== undefined);
}

const even = (text: string): Buffer => Buffer.from(text.length % 2 === 0 ? text : `${text} `, 'latin1');

/** @throws Failure 'unsupported' for frames of single bits that would begin inside a byte */
export function nativeFrameLength(pixel: ImagePixel): number {
  const { rows, columns, samplesPerPixel, bitsAllocated, numberOfFrames } = pixel;
  if (numberOfFrames > 1 && (rows * columns * samplesPerPixel * bitsAllocated) % 8 !== 0)
    throw new Failure('unsupported', 'Frames that end inside a byte are not put together when decoded');
  const { photometricInterpretation } = decodedPixel(pixel);
  // Two neighbours share their colour: so they lie in native pixels, and stay.
  if (/_422$/.test(photometricInterpretation)) return Math.ceil((decodedLength(pixel) * 2) / 3);
  return decodedLength(pixel);
}

/** PS3.5 8.1.2 and A.2: samples of up to eight bits as bytes, longer ones as words. */
function pixelDataHeader(pixel: ImagePixel, length: number): Uint8Array[] {
  const out = new ElementWriter();
  out.header(tagNumber('7FE00010'), vrCode(pixel.bitsAllocated <= 8 ? 'OB' : 'OW'), length);
  return out.take();
}

/** In their order. */
async function* decodedFrames(
  parts: DecodingParts,
  object: StoredObject,
  image: ImageFrames,
): AsyncGenerator<Uint8Array, undefined> {
  const pending: Promise<{ samples: Uint8Array; release: () => void }>[] = [];
  let number = 1;
  // Room is given in the order of the frames: a later one must not hold what an earlier one waits for.
  let turn: Promise<unknown> = Promise.resolve();
  const decode = async (which: number): Promise<{ samples: Uint8Array; release: () => void }> => {
    const cost = lengthOf(image.frames.at(which - 1)!) + decodedLength(image.pixel);
    const taking = turn.then(() => patiently(() => parts.budget.take(cost)));
    turn = taking.catch(() => undefined);
    const release = await taking;
    try {
      const frame = await heldFrame(parts, object, image, which);
      return { samples: await patiently(() => parts.workers.decode(image.pixel, frame)), release };
    } catch (thrown) {
      release();
      throw thrown;
    }
  };
  try {
    for (;;) {
      while (pending.length < AHEAD && number <= image.frames.length) {
        const frame = decode(number++);
        // Whoever awaits it sees the failure; until then it must not count as unhandled.
        frame.catch(() => undefined);
        pending.push(frame);
      }
      const first = pending[0];
      if (!first) return undefined;
      const { samples, release } = await first;
      pending.shift();
      try {
        yield samples;
      } finally {
        release();
      }
    }
  } finally {
    for (const frame of await Promise.allSettled(pending))
      if (frame.status === 'fulfilled') frame.value.release();
  }
}

async function patiently<T>(work: () => T | Promise<T>): Promise<T> {
  for (let waited = 0; ; waited += PAUSE_MS) {
    try {
      return await work();
    } catch (thrown) {
      const isBusy = thrown instanceof Failure && thrown.kind === 'unavailable';
      if (!isBusy || waited >= PATIENCE_MS) throw thrown;
    }
    await sleep(PAUSE_MS);
  }
}

/** Where the element behind the compressed pixels begins. */
export async function endOfFragments(reader: ObjectReader, object: StoredObject): Promise<number> {
  const { offsets = [], lengths = [] } = object.pixel?.fragments ?? {};
  const end = (offsets.at(-1) ?? 0) + (lengths.at(-1) ?? 0);
  const rest = object.length - object.dataSetOffset - end;
  if (rest < 8) return end + rest;
  const header = await reader.readRange(object, object.dataSetOffset + end, 8);
  return readTag(header, 0, false) === SEQUENCE_DELIMITATION ? end + 8 : end;
}
