/**
 * The attributes of a stored object on both sides of its pixels: its header, and what few objects have behind Pixel Data
 * (digital signatures, private groups above 7FE0, padding), read only where bytes are left there.
 * Called for /metadata by series-metadata.ts and intake/read-record.ts, and by the DICOMweb door for bulk data.
 */
import { parseDataSet } from '../dicom/data-set.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { EXPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import {
  inflatedDataSet,
  type ObjectHeader,
  type PlainHeader,
  type ReadBytes,
  readHeader,
  readPlainHeader,
} from './read-header.ts';
import type { ObjectReader } from './read-object.ts';
import type { StoredObject } from './stored-object.ts';

const SEQUENCE_DELIMITATION_BYTES = 8;

/** From the start of the data set; undefined where there are more fragments than are kept in mind. */
export function endOfPixels({
  offset,
  length,
  fragments,
  basicOffsetTable,
}: PixelLocation): number | undefined {
  if (length !== undefined) return offset + length;
  if (!fragments) return undefined;
  const last = fragments.offsets.length - 1;
  const end =
    last < 0
      ? offset + 8 + 4 * (basicOffsetTable?.length ?? 0)
      : fragments.offsets[last]! + fragments.lengths[last]!;
  return end + SEQUENCE_DELIMITATION_BYTES;
}

/** Bytes behind the pixels; 0 where there are none, or nobody can say where they begin. */
export function bytesBehindPixels(pixel: PixelLocation | null | undefined, dataSetLength: number): number {
  const end = pixel ? endOfPixels(pixel) : undefined;
  return end === undefined ? 0 : Math.max(0, dataSetLength - end);
}

/** @throws what readHeader throws */
export async function readAttributes(reader: ObjectReader, object: StoredObject): Promise<ObjectHeader> {
  const { sopUid, pixel, transferSyntax: transferSyntaxUid } = object;
  const header = await readHeader(reader, object);
  if (!pixel) return header;
  if (transferSyntax(transferSyntaxUid).deflated) {
    const behind = (await inflatedDataSet(reader, object)).subarray(endOfPixels(pixel));
    const { characterSet } = header.dataSet;
    return joined(header, {
      dataSet: parseDataSet(behind, EXPLICIT_LE, { characterSet }),
      longValues: new Map(),
    });
  }
  const { dataSetOffset, length } = object;
  return withThoseBehind(
    header,
    { sopUid, transferSyntaxUid, pixel, length: length - dataSetOffset },
    (offset, bytes) => reader.readRange(object, dataSetOffset + offset, bytes),
  );
}

/**
 * The same of a data set that is not deflated.
 * @param whole `length` is that of the whole data set
 * @throws what readPlainHeader throws
 */
export async function readPlainAttributes(
  whole: PlainHeader & { pixel: PixelLocation | undefined },
  read: ReadBytes,
): Promise<ObjectHeader> {
  const { pixel } = whole;
  const header = await readPlainHeader({ ...whole, length: pixel?.elementOffset ?? whole.length }, read);
  return pixel ? withThoseBehind(header, { ...whole, pixel }, read) : header;
}

async function withThoseBehind(
  header: ObjectHeader,
  whole: PlainHeader & { pixel: PixelLocation },
  read: ReadBytes,
): Promise<ObjectHeader> {
  const length = bytesBehindPixels(whole.pixel, whole.length);
  if (length === 0) return header;
  const begin = whole.length - length;
  const { characterSet } = header.dataSet;
  const behind = await readPlainHeader({ ...whole, length, characterSet }, (offset, bytes) =>
    read(begin + offset, bytes),
  );
  const longValues = new Map(
    [...behind.longValues].map(([tag, long]) => [tag, { ...long, offset: begin + long.offset }]),
  );
  return joined(header, { dataSet: behind.dataSet, longValues });
}

/** Of a repeated element the first. */
function joined(header: ObjectHeader, behind: ObjectHeader): ObjectHeader {
  return {
    dataSet: {
      ...header.dataSet,
      elements: new Map([...behind.dataSet.elements, ...header.dataSet.elements]),
    },
    longValues: new Map([...behind.longValues, ...header.longValues]),
  };
}
