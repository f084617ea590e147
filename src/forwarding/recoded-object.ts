/**
 * A stored object in another compression, or in none: its header, changed by the rule where it asks for that, says what
 * the pixels are then; the pixels are made frame by frame (recoded-pixels.ts); what stands behind them follows.
 * Called by object-bytes.ts; the bytes go to the peer.
 */
import { endOfFragments, NO_LONGER_TRUE } from '../archive/decoded-object.ts';
import { lengthOf, readFrames } from '../archive/object-frames.ts';
import { inflatedDataSet } from '../archive/read-header.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { EXPLICIT_LE, IMPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { asFailure, Failure } from '../failure.ts';
import { decodedLength } from '../pixels/decodable.ts';
import { type Recoding, whyNotRecoded } from '../pixels/encodable.ts';
import { editable } from '../transform/editable-data-set.ts';
import { ExplicitLittleEndianConversion } from '../transform/explicit-little-endian.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import {
  type ChangedHeader,
  changeHeader,
  NotChanged,
  notAsAsked,
  type SentAs,
  sentAsOf,
} from './changed-object.ts';
import { MAX_HEADER_BYTES, SHORT_HEADER_BYTES } from './header-room.ts';
import { paletteOf } from './masked-pixels.ts';
import type { SendableObject } from './object-bytes.ts';
import { type RecodingParts, recodePixels } from './recoded-pixels.ts';
import { sayRecoded } from './say-recoded.ts';

export interface RecodedObject extends SentAs {
  /** Its frames are made and kept until it is closed; else each is made as it leaves. */
  readonly isKept: boolean;
  /** Of the data set; reads what stands behind the pixels. */
  length(): Promise<number>;
  /** The data set: once; the same any number of times when its frames are kept. */
  bytes(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** Its pixels, and not the rest of what the rule asks, are why. */
export class NotRecoded extends NotChanged {}

export interface RecodingOptions {
  readonly transform?: CompiledTransform | undefined;
  /** For objects whose pixels leave in another compression; without it none can. */
  readonly recoding?: RecodingParts | undefined;
  /** Ends the work between two frames. */
  readonly signal?: AbortSignal | undefined;
}

/** Whether the object's pixels have to be decoded or encoded to leave in that syntax. */
export function isRecoded({ transferSyntax: stored, pixel }: StoredObject, leavingAs: string): boolean {
  if (leavingAs === stored || !pixel) return false;
  return pixel.encapsulated || transferSyntax(leavingAs).encapsulated;
}

/**
 * Whether an object that could not be made so goes another way: the rule says so, and nothing but the compression was to
 * hide anything. What took too long or too much of the machine might go the next time, and with loss that would be
 * another instance.
 */
export function goesWithout(
  thrown: unknown,
  leavingAs: string,
  transform: CompiledTransform | undefined,
): boolean {
  const { transcode, planMask, endsAtPixels } = transform ?? {};
  if (!(thrown instanceof NotRecoded) || transcode?.to !== leavingAs || transcode.otherwise !== 'send')
    return false;
  return !planMask && !endsAtPixels && (thrown.kind === 'invalid' || thrown.kind === 'unsupported');
}

/**
 * Compressed pixels are all made before it returns, of native ones the first frame.
 * @throws NotRecoded or NotChanged when it cannot be sent so; Failure 'unavailable' when there is no room for it now;
 * what the reader throws
 */
export async function recodeObject(
  from: ObjectReader,
  stored: SendableObject,
  leavingAs: string,
  options: RecodingOptions,
): Promise<RecodedObject> {
  const { recoding } = options;
  if (!recoding) throw new Failure('internal', 'nothing was given to recode pixels with');
  // A turn is kept while pixels are made: that waits for no peer.
  const isLong = stored.pixel!.elementOffset > SHORT_HEADER_BYTES;
  const leave = isLong ? await recoding.headers?.enter() : undefined;
  try {
    return await recodeInTurn(from, stored, leavingAs, { ...options, recoding });
  } finally {
    leave?.();
  }
}

async function recodeInTurn(
  from: ObjectReader,
  stored: SendableObject,
  leavingAs: string,
  { transform, recoding: parts, signal }: RecodingOptions & { recoding: RecodingParts },
): Promise<RecodedObject> {
  const { reader, object } = await plain(from, stored);
  const header = await readHeader(reader, object);
  const implicit = leavingAs === IMPLICIT_LE;
  const loss = leavingAs === transform?.transcode?.to ? transform.transcode.loss : undefined;
  const change = transform && changed(header, transform, stored.released);
  try {
    const dataSet = change?.dataSet ?? editable(header, EXPLICIT_LE);
    const image = await readFrames({ reader }, object);
    const recoding: Recoding = {
      to: leavingAs,
      loss,
      ...(change?.masking && {
        blank: { area: change.masking.area, palette: paletteOf(change.stored!, image.pixel) },
      }),
    };
    const why = whyNotRecoded(image.pixel, recoding);
    if (why !== undefined) throw new Failure('unsupported', why);
    const pixels = await recodePixels({ ...parts, reader }, object, image, recoding, signal);
    try {
      const frames = Array.from({ length: image.frames.length }, (_, index) =>
        lengthOf(image.frames.at(index)!),
      );
      sayRecoded(dataSet, {
        pixel: image.pixel,
        recoding,
        nativeBytes: decodedLength(image.pixel) * image.frames.length,
        storedBytes: frames.reduce((sum, length) => sum + length, 0),
        encodedBytes: pixels.encodedBytes,
        form: transform?.form ?? '',
      });
      const head = dataSet.bytes(implicit);
      const endsAtPixels = transform?.endsAtPixels || change?.masking !== undefined;
      const { studyUid, seriesUid, sopUid } = transform ? sentAsOf(dataSet) : stored;
      const { length: headBytes } = head;
      const aside = headBytes > SHORT_HEADER_BYTES ? await parts.headers?.putAside(head) : undefined;
      const shortHead = aside ? undefined : head;
      const behind = async function* (): AsyncGenerator<Uint8Array> {
        // Inflated again where it has to be: it is not held until then.
        if (!endsAtPixels) yield* behindPixels(await plain(from, stored), implicit);
      };
      return {
        studyUid,
        seriesUid,
        sopUid,
        isKept: pixels.encodedBytes !== undefined,
        async length() {
          let bytes = headBytes + pixels.elementLength(implicit);
          for await (const chunk of behind()) bytes += chunk.length;
          return bytes;
        },
        async *bytes() {
          if (shortHead) yield shortHead;
          else yield* aside!.bytes();
          yield* pixels.element(implicit);
          yield* behind();
        },
        async close() {
          await aside?.close();
          await pixels.close();
        },
      };
    } catch (thrown) {
      await pixels.close();
      throw thrown;
    }
  } catch (thrown) {
    const failure = asFailure(thrown);
    if (failure.kind === 'unavailable' || failure.kind === 'not-found') throw failure;
    throw new NotRecoded(
      failure.kind,
      `it cannot be sent in ${transferSyntax(leavingAs).name}: ${failure.message}`,
      { cause: thrown },
    );
  }
}

function changed(header: Buffer, transform: CompiledTransform, released: boolean): ChangedHeader {
  try {
    return changeHeader(header, EXPLICIT_LE, transform, { hasPixels: true, released });
  } catch (thrown) {
    throw notAsAsked(thrown);
  }
}

/** A deflated data set is inflated once, and read from memory: it has a bound of its own. */
async function plain(
  reader: ObjectReader,
  object: StoredObject,
): Promise<{ reader: ObjectReader; object: StoredObject }> {
  if (!transferSyntax(object.transferSyntax).deflated) return { reader, object };
  const bytes = Buffer.from(await inflatedDataSet(reader, object));
  return {
    object: { ...object, transferSyntax: EXPLICIT_LE, dataSetOffset: 0, length: bytes.length },
    reader: {
      async *read(_object, range = { offset: 0, length: bytes.length }) {
        yield bytes.subarray(range.offset, range.offset + range.length);
      },
      hasAll: async () => undefined,
      readRange: async (_object, offset, length) => bytes.subarray(offset, offset + length),
    },
  };
}

/** In Explicit VR Little Endian. */
async function readHeader(reader: ObjectReader, object: StoredObject): Promise<Buffer> {
  const length = object.pixel!.elementOffset;
  if (length > MAX_HEADER_BYTES)
    throw new NotChanged(
      'too-large',
      `its header is longer than ${MAX_HEADER_BYTES} bytes, and no longer one is changed`,
    );
  const read: Uint8Array[] = [];
  for await (const piece of rewritten(reader, object, { from: 0, to: length }, false))
    read.push(Buffer.from(piece));
  return Buffer.concat(read);
}

/** Padding, and private elements of the last groups; no table of the fragments that are no more. */
async function* behindPixels(
  { reader, object }: { reader: ObjectReader; object: StoredObject },
  implicit: boolean,
): AsyncGenerator<Uint8Array> {
  const { encapsulated, offset, length = 0 } = object.pixel!;
  const from = encapsulated ? await endOfFragments(reader, object) : offset + length;
  yield* rewritten(reader, object, { from, to: object.length - object.dataSetOffset }, implicit);
}

/** Part of the data set, which holds no pixels. */
async function* rewritten(
  reader: ObjectReader,
  object: StoredObject,
  { from, to }: { from: number; to: number },
  implicit: boolean,
): AsyncGenerator<Uint8Array> {
  if (to <= from) return;
  const { encapsulated } = transferSyntax(object.transferSyntax);
  const conversion = new ExplicitLittleEndianConversion(
    encapsulated ? EXPLICIT_LE : object.transferSyntax,
    { leaveOut: new Set(NO_LONGER_TRUE), insert: [] },
    { implicit },
  );
  const range = { offset: object.dataSetOffset + from, length: to - from };
  for await (const chunk of reader.read(object, range)) yield* conversion.push(chunk);
  yield* conversion.end();
}
