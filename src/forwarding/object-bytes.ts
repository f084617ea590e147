/**
 * The bytes of a stored object on their way out: opened before the peer hears of it, so that an object that cannot be
 * read costs no association, converted where that is all a peer needs, and changed where a rule says so.
 * Called by storage-scu.ts, and by sent-file.ts for those who take files; the bytes go to the peer.
 */
import { type PieceBuffers, WHOLE_PIECE_BYTES } from '../archive/object-store/piece-buffers.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { DEFLATED_LE, EXPLICIT_LE, IMPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { asFailure, type Failure } from '../failure.ts';
import { ExplicitLittleEndianConversion } from '../transform/explicit-little-endian.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import { type ChangedObject, changeObject, type SentAs } from './changed-object.ts';
import type { HeaderRoom } from './header-room.ts';
import { maskedSyntax } from './masked-syntax.ts';
import { goesWithout, isRecoded, type RecodingOptions, recodeObject } from './recoded-object.ts';

export type { SentAs } from './changed-object.ts';

export interface SendableObject extends StoredObject {
  /** A person has looked at it, and it may go as its rule asks. */
  readonly released: boolean;
}

export interface OpenedObject extends SentAs {
  readonly transferSyntaxUid: string;
  /** Of the data set; unknown when it is converted, and sometimes when it is changed. */
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

export interface OpeningOptions extends RecodingOptions {
  readonly buffers?: PieceBuffers;
  /** The syntax without compression that the peer takes: for what is masked and was compressed with loss. */
  readonly native?: string | undefined;
  /** The next best way: for pixels that turn out not to go as the rule asks, where it lets them go without. */
  readonly otherwise?: string | undefined;
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
  { otherwise, ...options }: OpeningOptions = {},
): Promise<OpenedObject> {
  try {
    return await openAs(reader, object, way, options);
  } catch (thrown) {
    if (otherwise === undefined || !goesWithout(thrown, way, options.transform)) throw thrown;
    return openAs(reader, object, otherwise, options);
  }
}

/** In which transfer syntax its pixels are made anew to leave that way, for a mask too; undefined when they are not. */
export async function recodedTo(
  reader: ObjectReader,
  object: SendableObject,
  way: string,
  { transform, native }: Pick<OpeningOptions, 'transform' | 'native'>,
): Promise<string | undefined> {
  if (isRecoded(object, way)) return way;
  return transform && maskedSyntax(reader, object, transform, native);
}

async function openAs(
  reader: ObjectReader,
  object: SendableObject,
  leavingAs: string,
  options: OpeningOptions,
): Promise<OpenedObject> {
  const { transform, buffers, recoding } = options;
  const madeAs = await recodedTo(reader, object, leavingAs, options);
  if (madeAs !== undefined) {
    const { bytes, close, studyUid, seriesUid, sopUid } = await recodeObject(reader, object, madeAs, options);
    const source = bytes()[Symbol.asyncIterator]();
    const what = { studyUid, seriesUid, sopUid, transferSyntaxUid: madeAs, length: undefined };
    return opened(source, await source.next(), what, close);
  }
  const length = object.length - object.dataSetOffset;
  const storedAs = encodingOf(object, leavingAs);
  const asStored = leavingAs === storedAs;
  // Lent until the answer, so only for what is short enough to be held whole until then.
  const isLent = asStored && !transform && length <= WHOLE_PIECE_BYTES;
  const lent = buffers && isLent ? lend(buffers) : undefined;
  const stored = reader.read(object, { offset: object.dataSetOffset, length }, lent);
  if (transform)
    return openChanged(stored, { object, storedAs, headers: recoding?.headers }, leavingAs, transform);
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
  {
    object,
    storedAs,
    headers,
  }: { object: SendableObject; storedAs: string; headers: HeaderRoom | undefined },
  leavingAs: string,
  transform: CompiledTransform,
): Promise<OpenedObject> {
  // Changed in one encoding, whatever it is stored in and leaves in; masks are drawn in that one alone.
  const isPlain = storedAs === leavingAs && storedAs === IMPLICIT_LE && !transform.planMask;
  const editedAs = isPlain || transferSyntax(storedAs).encapsulated ? storedAs : EXPLICIT_LE;
  const input = (editedAs === storedAs ? stored : converted(stored, storedAs, editedAs))[
    Symbol.asyncIterator
  ]();
  try {
    const changed = await changeObject(input, editedAs, transform, { released: object.released, headers });
    const { bytes, studyUid, seriesUid, sopUid } = changed;
    const isUnconverted = storedAs === editedAs && editedAs === leavingAs;
    const source = (leavingAs === editedAs ? bytes : converted(bytes, editedAs, leavingAs))[
      Symbol.asyncIterator
    ]();
    const first = await source.next();
    const length = isUnconverted ? changedLength(object, changed) : undefined;
    const what = { studyUid, seriesUid, sopUid, transferSyntaxUid: leavingAs, length };
    return opened(source, first, what, async () => void (await input.return?.()));
  } catch (thrown) {
    await input.return?.();
    throw thrown;
  }
}

/**
 * Without reading the pixels. Undefined for fragments of which each is looked into on the way: one that cannot be
 * followed is found before anything has left where all are read for their length.
 */
function changedLength(
  object: StoredObject,
  { headBytes, headerBytes, pixelBytes, endsAtPixels }: ChangedObject,
): number | undefined {
  const behind = object.length - object.dataSetOffset - headerBytes;
  if (!endsAtPixels) return headBytes + behind;
  // Pixels that are cut short are found by reading them, too.
  return pixelBytes !== undefined && pixelBytes <= behind ? headBytes + pixelBytes : undefined;
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
