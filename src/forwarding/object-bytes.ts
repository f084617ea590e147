/**
 * The bytes of a stored object on their way out: opened before the peer hears of it, so that an object that cannot be
 * read costs no association, converted where that is all a peer needs, and changed where a rule says so.
 * Called by storage-scu.ts (data sets), stow-scu.ts and folder-scu.ts (files); the bytes go to the peer.
 */
import { type PieceBuffers, WHOLE_PIECE_BYTES } from '../archive/object-store/piece-buffers.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { buildFileMeta } from '../dicom/part10.ts';
import { DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { asFailure, type Failure } from '../failure.ts';
import { ExplicitLittleEndianConversion } from '../transform/explicit-little-endian.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import { changeObject } from './changed-object.ts';

/** Who the object is to the peer; the rule may give it other UIDs than those it is stored under. */
export interface SentAs {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly sopUid: string;
}

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

/** Without a codec, value for value; the one that says more first. Every peer takes the last (PS3.5 10.1). */
const CONVERSIONS: Readonly<Record<string, readonly string[]>> = {
  [EXPLICIT_LE]: [IMPLICIT_LE],
  [IMPLICIT_LE]: [EXPLICIT_LE],
  [EXPLICIT_BE]: [EXPLICIT_LE, IMPLICIT_LE],
  [DEFLATED_LE]: [EXPLICIT_LE, IMPLICIT_LE],
};

/** In which other syntaxes an object stored in this one can leave, best first. */
export function conversionsOf(stored: string): readonly string[] {
  return CONVERSIONS[stored] ?? [];
}

/** A header is changed in Explicit VR Little Endian, or beside compressed pixels; nothing is deflated or swapped again. */
export function changedSyntax(stored: string): string {
  return stored === EXPLICIT_BE || stored === DEFLATED_LE ? EXPLICIT_LE : stored;
}

/**
 * Reads the first chunk, or the header when it is changed.
 * @param leavingAs the transfer syntax it is stored in, or one of its conversions
 * @throws what the reader throws, so far; NotChanged when it cannot be changed as the rule asks
 */
export async function openObject(
  reader: ObjectReader,
  object: SendableObject,
  leavingAs: string,
  { transform, buffers }: { transform?: CompiledTransform | undefined; buffers?: PieceBuffers } = {},
): Promise<OpenedObject> {
  const length = object.length - object.dataSetOffset;
  const asStored = leavingAs === object.transferSyntax;
  // Lent until the answer, so only for what is short enough to be held whole until then.
  const isLent = asStored && !transform && length <= WHOLE_PIECE_BYTES;
  const lent = buffers && isLent ? lend(buffers) : undefined;
  const stored = reader.read(object, { offset: object.dataSetOffset, length }, lent);
  if (transform) return openChanged(stored, object, leavingAs, transform);
  const source = (asStored ? stored : converted(stored, object.transferSyntax, leavingAs))[
    Symbol.asyncIterator
  ]();
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
  { transferSyntax: storedAs, released }: SendableObject,
  leavingAs: string,
  transform: CompiledTransform,
): Promise<OpenedObject> {
  // Changed in one encoding, whatever it is stored in and leaves in.
  const editedAs = conversionsOf(storedAs).length > 0 ? EXPLICIT_LE : storedAs;
  const input = (editedAs === storedAs ? stored : converted(stored, storedAs, editedAs))[
    Symbol.asyncIterator
  ]();
  try {
    const { bytes, ...sentAs } = await changeObject(input, editedAs, transform, released);
    const source = (leavingAs === editedAs ? bytes : converted(bytes, editedAs, leavingAs))[
      Symbol.asyncIterator
    ]();
    const first = await source.next();
    return opened(source, first, { ...sentAs, transferSyntaxUid: leavingAs, length: undefined }, input);
  } catch (thrown) {
    await input.return?.();
    throw thrown;
  }
}

function opened(
  source: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
  what: SentAs & Pick<OpenedObject, 'transferSyntaxUid' | 'length'>,
  input?: AsyncIterator<Uint8Array>,
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
      await input?.return?.();
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
): Promise<SentFile> {
  const { studyUid, seriesUid, sopUid, length } = object;
  if (!transform) return { studyUid, seriesUid, sopUid, length, open: () => reader.read(object) };
  const open = (): AsyncGenerator<Uint8Array, SentAs> => changedFile(reader, object, transform);
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
  transform: CompiledTransform,
): AsyncGenerator<Uint8Array, SentAs> {
  const data = await openObject(reader, object, changedSyntax(object.transferSyntax), { transform });
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
