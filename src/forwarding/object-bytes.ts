/**
 * The bytes of a stored object on their way out: opened before the peer hears of it, so that an object that cannot be
 * read costs no association, converted where that is all a peer needs, and changed where a rule says so.
 * Called by storage-scu.ts (data sets), stow-scu.ts and folder-scu.ts (files); the bytes go to the peer.
 */
import { type PieceBuffers, WHOLE_PIECE_BYTES } from '../archive/object-store/piece-buffers.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { buildFileMeta } from '../dicom/part10.ts';
import { DEFLATED_LE, EXPLICIT_LE, IMPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { asFailure, Failure } from '../failure.ts';
import { ExplicitLittleEndianConversion } from '../transform/explicit-little-endian.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import { changeObject, NotChanged, type SentAs } from './changed-object.ts';
import { maskedSyntax } from './masked-syntax.ts';
import { isRecoded, type RecodingOptions, recodeObject } from './recoded-object.ts';
import type { RecodingParts } from './recoded-pixels.ts';
import { waysOutOf, whyNoWay } from './ways-out.ts';

export type { SentAs } from './changed-object.ts';

export interface SendableObject extends StoredObject {
  /** A person has looked at it, and it may go as its rule asks. */
  readonly released: boolean;
}

export interface OpenedObject extends SentAs {
  readonly transferSyntaxUid: string;
  /** Of the data set; unknown when it is converted or changed. */
  readonly length: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Why reading ended early, if it did: then the peer is not at fault. */
  readonly fault: Failure | undefined;
  /**
   * Lets go of the source; may be called at any time.
   * @param isAnswered the peer has all of it, so its memory may be used again
   */
  close(isAnswered?: boolean): Promise<void>;
}

export interface OpeningOptions extends Omit<RecodingOptions, 'released'> {
  readonly buffers?: PieceBuffers;
  /** For objects whose pixels leave in another compression; without it none can. */
  readonly recoding?: RecodingParts | undefined;
  /** The syntax without compression that the peer takes: for what is masked and was compressed with loss. */
  readonly native?: string | undefined;
}

/**
 * Reads the first chunk, or the header when it is changed; of pixels that leave in another compression what
 * recodeObject says.
 * @param way one of waysOutOf; what is masked may leave in another (masked-syntax.ts)
 * @throws what the reader throws, so far; NotChanged when it cannot be changed as the rule asks
 */
export async function openObject(
  reader: ObjectReader,
  object: SendableObject,
  way: string,
  { transform, buffers, recoding, native, ...options }: OpeningOptions = {},
): Promise<OpenedObject> {
  const isAsIs = !isRecoded(object, way);
  const masked = isAsIs && transform ? await maskedSyntax(reader, object, transform, native) : undefined;
  const leavingAs = masked ?? way;
  if (!isAsIs || masked !== undefined) {
    if (!recoding) throw new Failure('internal', 'nothing was given to recode pixels with');
    const { bytes, close, ...sentAs } = await recodeObject({ ...recoding, reader }, object, leavingAs, {
      ...options,
      transform,
      released: object.released,
    });
    const source = bytes[Symbol.asyncIterator]();
    const what = { ...sentAs, transferSyntaxUid: leavingAs, length: undefined };
    return opened(source, await source.next(), what, close);
  }
  const length = object.length - object.dataSetOffset;
  const storedAs = encodingOf(object, leavingAs);
  const asStored = leavingAs === storedAs;
  // Lent until the answer, so only for what is short enough to be held whole until then.
  const isLent = asStored && !transform && length <= WHOLE_PIECE_BYTES;
  const lent = buffers && isLent ? lend(buffers) : undefined;
  const stored = reader.read(object, { offset: object.dataSetOffset, length }, lent);
  if (transform) return openChanged(stored, { storedAs, released: object.released }, leavingAs, transform);
  const source = (asStored ? stored : converted(stored, storedAs, leavingAs))[Symbol.asyncIterator]();
  const first = await source.next();
  const { studyUid, seriesUid, sopUid } = object;
  const what = opened(source, first, {
    studyUid,
    seriesUid,
    sopUid,
    transferSyntaxUid: leavingAs,
    length: asStored ? length : undefined,
  });
  const { close } = what;
  what.close = async (isAnswered) => {
    await close();
    // Of an association that was lost the socket may still hold them.
    if (isAnswered) lent?.giveAllBack();
  };
  return what;
}

/** Without compressed pixels a compressed transfer syntax is Explicit VR Little Endian by another name (PS3.5 A.4). */
function encodingOf({ transferSyntax: stored, pixel }: StoredObject, leavingAs: string): string {
  return leavingAs !== stored && transferSyntax(stored).encapsulated && !pixel?.encapsulated
    ? EXPLICIT_LE
    : stored;
}

/** The pieces that one object takes. */
function lend(buffers: PieceBuffers): PieceBuffers & { giveAllBack(): void } {
  const pieces: Buffer[] = [];
  return {
    take(length) {
      const piece = buffers.take(length);
      pieces.push(piece);
      return piece;
    },
    giveBack: (piece) => buffers.giveBack(piece),
    get pieceBytes() {
      return buffers.pieceBytes;
    },
    get takenBytes() {
      return buffers.takenBytes;
    },
    giveAllBack() {
      for (const piece of pieces.splice(0)) buffers.giveBack(piece);
    },
  };
}

async function openChanged(
  stored: AsyncIterable<Uint8Array>,
  { storedAs, released }: { storedAs: string; released: boolean },
  leavingAs: string,
  transform: CompiledTransform,
): Promise<OpenedObject> {
  // Changed in one encoding, whatever it is stored in and leaves in.
  const editedAs = transferSyntax(storedAs).encapsulated ? storedAs : EXPLICIT_LE;
  const input = (editedAs === storedAs ? stored : converted(stored, storedAs, editedAs))[
    Symbol.asyncIterator
  ]();
  try {
    const { bytes, ...sentAs } = await changeObject(input, editedAs, transform, released);
    const source = (leavingAs === editedAs ? bytes : converted(bytes, editedAs, leavingAs))[
      Symbol.asyncIterator
    ]();
    const first = await source.next();
    const what = { ...sentAs, transferSyntaxUid: leavingAs, length: undefined };
    return opened(source, first, what, async () => void (await input.return?.()));
  } catch (thrown) {
    await input.return?.();
    throw thrown;
  }
}

function opened(
  source: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
  what: SentAs & Pick<OpenedObject, 'transferSyntaxUid' | 'length'>,
  closeInput?: () => Promise<void>,
): OpenedObject {
  let fault: Failure | undefined;

  async function* bytes(): AsyncGenerator<Uint8Array> {
    try {
      for (let next = first; !next.done; next = await source.next()) yield next.value;
    } catch (thrown) {
      fault = asFailure(thrown);
      throw fault;
    }
  }

  return {
    ...what,
    bytes: bytes(),
    get fault() {
      return fault;
    },
    async close() {
      await source.return?.();
      await closeInput?.();
    },
  };
}

/** A Part 10 file as a peer gets it. */
export interface SentFile extends SentAs {
  readonly length: number;
  /** The same bytes each time. */
  open(): AsyncIterable<Uint8Array>;
}

/**
 * The stored file, or the one that a rule makes of it. That one is made once for its length alone, because those who
 * take files want to know it first, and again for each reading: the same changes give the same bytes.
 * @throws as openObject
 */
export async function openFile(
  reader: ObjectReader,
  object: SendableObject,
  transform?: CompiledTransform,
  recoding?: RecodingParts,
): Promise<SentFile> {
  const { studyUid, seriesUid, sopUid, length } = object;
  if (!transform) return { studyUid, seriesUid, sopUid, length, open: () => reader.read(object) };
  const open = (): AsyncGenerator<Uint8Array, SentAs> => changedFile(reader, object, { transform, recoding });
  const made = open();
  let madeLength = 0;
  for (;;) {
    const next = await made.next();
    if (next.done) return { ...next.value, length: madeLength, open };
    madeLength += next.value.length;
  }
}

async function* changedFile(
  reader: ObjectReader,
  object: SendableObject,
  options: { transform: CompiledTransform; recoding: RecodingParts | undefined },
): AsyncGenerator<Uint8Array, SentAs> {
  const [way] = waysOutOf(object, options);
  if (way === undefined) throw new NotChanged('unsupported', whyNoWay(object, options, 'the destination'));
  const data = await openObject(reader, object, way, { ...options, native: EXPLICIT_LE });
  const { studyUid, seriesUid, sopUid, transferSyntaxUid } = data;
  try {
    // Without the AE title that sent it to us: it may name a place.
    yield buildFileMeta({ sopClassUid: object.sopClass, sopInstanceUid: sopUid, transferSyntaxUid });
    yield* data.bytes;
    return { studyUid, seriesUid, sopUid };
  } finally {
    await data.close();
  }
}

async function* converted(
  source: AsyncIterable<Uint8Array>,
  from: string,
  to: string,
): AsyncGenerator<Uint8Array> {
  const implicit = to === IMPLICIT_LE;
  // Inflated, it is Explicit VR Little Endian.
  const twice = implicit && from === DEFLATED_LE;
  const conversion = new ExplicitLittleEndianConversion(twice ? EXPLICIT_LE : from, undefined, { implicit });
  for await (const chunk of twice ? converted(source, from, EXPLICIT_LE) : source)
    yield* conversion.push(chunk);
  yield* conversion.end();
}
