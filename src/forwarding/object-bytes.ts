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

const CONVERTIBLE = new Set([IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE]);

/** Stored syntaxes that become Explicit VR Little Endian value for value, without a codec. */
export function isConvertible(transferSyntaxUid: string): boolean {
  return CONVERTIBLE.has(transferSyntaxUid);
}

/**
 * Reads the first chunk.
 * @param asExplicit the data set in Explicit VR Little Endian instead of as stored
 * @throws what the reader throws, so far
 */
export async function openObject(
  reader: ObjectReader,
  object: StoredObject,
  asExplicit: boolean,
): Promise<OpenedObject> {
  const length = object.length - object.dataSetOffset;
  const stored = reader.read(object, { offset: object.dataSetOffset, length });
  const source = (asExplicit ? converted(stored, object.transferSyntax) : stored)[Symbol.asyncIterator]();
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
    transferSyntaxUid: asExplicit ? EXPLICIT_LE : object.transferSyntax,
    length: asExplicit ? undefined : length,
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
  stored: AsyncIterable<Uint8Array>,
  transferSyntaxUid: string,
): AsyncGenerator<Uint8Array> {
  const conversion = new ExplicitLittleEndianConversion(transferSyntaxUid);
  for await (const chunk of stored) yield* conversion.push(chunk);
  yield* conversion.end();
}
