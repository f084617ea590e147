/**
 * In which transfer syntax a compressed object leaves when a mask is drawn on it: as it is stored where that loses
 * nothing, and native where it was compressed with loss, because it would lose more each time.
 * Asked by object-bytes.ts before such an object is opened; recoded-object.ts then draws.
 */
import { readHeader } from '../archive/read-header.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { lossyMethod } from '../pixels/decodable.ts';
import { encoderOf, whyNotRecoded } from '../pixels/encodable.ts';
import { imagePixelOf } from '../pixels/image-pixel.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import { notAsAsked } from './changed-object.ts';

/**
 * @param native the syntax without compression that the peer takes, if it takes one
 * @returns undefined when no mask is for this object
 * @throws NotChanged when the mask that is cannot be drawn; what the reader throws
 */
export async function maskedSyntax(
  reader: ObjectReader,
  object: StoredObject,
  { planMask, transcode }: CompiledTransform,
  native: string | undefined,
): Promise<string | undefined> {
  if (!planMask || !object.pixel?.encapsulated) return undefined;
  const { transferSyntax: stored } = object;
  const header = (await readHeader(reader, object)).dataSet;
  try {
    if (!planMask(header)) return undefined;
    // How much may be lost the rule says itself.
    if (transcode?.to === stored) return stored;
    const pixel = imagePixelOf(header, stored, object.pixel.tag);
    const isKept = lossyMethod(stored) === undefined && encoderOf(stored) !== undefined;
    if (isKept && whyNotRecoded(pixel, { to: stored }) === undefined) return stored;
    if (native !== undefined) return native;
    throw new Failure(
      'unsupported',
      `masked, it would leave without compression, because it is stored in ${transferSyntax(stored).name}, and the destination takes no such syntax`,
    );
  } catch (thrown) {
    throw notAsAsked(thrown);
  }
}
