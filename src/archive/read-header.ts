/**
 * The header of a stored object: everything before its pixels, read by range and parsed, within a bound.
 * Called by series-metadata.ts and by the DICOMweb door for frames, bulk data and rendering.
 */
import { type DataSet, parseDataSet } from '../dicom/data-set.ts';
import { inflateHead, MAX_INFLATED_BYTES } from '../dicom/deflated.ts';
import { EXPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import type { ObjectReader } from './read-object.ts';
import type { StoredObject } from './stored-object.ts';

/** A header with more than this is no header; each request holds one at a time. */
export const MAX_HEADER_BYTES = 64 * 1024 * 1024;

/** @throws Failure 'too-large' when more than 64 MB stand before the pixels; what the reader throws */
export async function readHeader(reader: ObjectReader, object: StoredObject): Promise<DataSet> {
  if (transferSyntax(object.transferSyntax).deflated)
    return parseDataSet(await inflatedDataSet(reader, object), EXPLICIT_LE, { stopAtPixelData: true });
  const length = object.pixel?.elementOffset ?? object.length - object.dataSetOffset;
  if (length > MAX_HEADER_BYTES)
    throw new Failure(
      'too-large',
      `The header of ${object.sopUid} has ${length} bytes; ${MAX_HEADER_BYTES} can be read`,
    );
  const bytes = await reader.readRange(object, object.dataSetOffset, length);
  return parseDataSet(bytes, object.transferSyntax, { stopAtPixelData: true });
}

/**
 * Bytes of the data set by its own offsets, those of PixelLocation: of a deflated one, the inflated bytes.
 * @throws Failure 'too-large' for a deflated data set of more than 64 MB; what the reader throws
 */
export async function* readDataSet(
  reader: ObjectReader,
  object: StoredObject,
  range: { offset: number; length: number },
): AsyncGenerator<Uint8Array> {
  if (!transferSyntax(object.transferSyntax).deflated) {
    yield* reader.read(object, { offset: object.dataSetOffset + range.offset, length: range.length });
    return;
  }
  const inflated = await inflatedDataSet(reader, object);
  if (range.offset + range.length > inflated.length)
    throw new Failure(
      'invalid',
      `The deflated data set of ${object.sopUid} ends before byte ${range.offset + range.length}`,
    );
  yield inflated.subarray(range.offset, range.offset + range.length);
}

async function inflatedDataSet(reader: ObjectReader, object: StoredObject): Promise<Uint8Array> {
  const length = object.length - object.dataSetOffset;
  if (length > MAX_INFLATED_BYTES) throw inflatedTooLarge(object);
  const head = inflateHead(await reader.readRange(object, object.dataSetOffset, length), true);
  if (head.fault !== undefined) throw new Failure('invalid', `${object.sopUid}: ${head.fault}`);
  if (!head.whole) throw inflatedTooLarge(object);
  return head.bytes;
}

function inflatedTooLarge(object: StoredObject): Failure {
  return new Failure(
    'too-large',
    `The deflated data set of ${object.sopUid} is longer than the ${MAX_INFLATED_BYTES} bytes that are inflated`,
  );
}
