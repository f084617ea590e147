/**
 * The bytes of a stored object on their way out: opened before the peer hears of it, so that an object that cannot be
 * read costs no association, and converted where that is all a peer needs.
 * Called by storage-scu.ts; the bytes go to the association.
 */
import type { ObjectReader } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { asFailure, type Failure } from '../failure.ts';
import { ExplicitLittleEndianConversion } from '../transform/explicit-little-endian.ts';

export interface OpenedObject {
  readonly transferSyntaxUid: string;
  /** Of the data set; unknown when it is converted. */
  readonly length: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Why reading ended early, if it did: then the peer is not at fault. */
  readonly fault: Failure | undefined;
  /** Lets go of the source; may be called at any time. */
  close(): Promise<void>;
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

/**
 * Reads the first chunk.
 * @param leavingAs the transfer syntax it is stored in, or one of its conversions
 * @throws what the reader throws, so far
 */
export async function openObject(
  reader: ObjectReader,
  object: StoredObject,
  leavingAs: string,
): Promise<OpenedObject> {
  const length = object.length - object.dataSetOffset;
  const stored = reader.read(object, { offset: object.dataSetOffset, length });
  const asStored = leavingAs === object.transferSyntax;
  const source = (asStored ? stored : converted(stored, object.transferSyntax, leavingAs))[
    Symbol.asyncIterator
  ]();
  const first = await source.next();
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
    transferSyntaxUid: leavingAs,
    length: asStored ? length : undefined,
    bytes: bytes(),
    get fault() {
      return fault;
    },
    async close() {
      await source.return?.();
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
