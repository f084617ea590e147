/**
 * A journal record as the index and the placers see it: its header read back, its key, its bytes for the store.
 * Used by settler.ts, file-placer.ts and s3-placer.ts; what comes of it goes to study-index.ts and the store.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseDataSet } from '../../dicom/data-set.ts';
import { HeaderScan } from '../../dicom/header-scan.ts';
import { transferSyntax } from '../../dicom/transfer-syntax.ts';
import { encodePiece, fragmentsOf } from '../header-piece.ts';
import type { IncomingObject } from '../incoming-object.ts';
import { objectKey } from '../object-key.ts';
import { HeaderReading, MAX_HEADER_BYTES, parseHeader } from './prepare-object.ts';
import { type JournalRecord, type RecordBody, readBody } from './segment-reader.ts';

/** Of a longer header no piece is kept: it is read anew for whoever asks. */
const MAX_KEPT_HEADER_BYTES = 256 * 1024;

/**
 * What the index is to know of a record; its bytes can be read in the journal of this node until they are placed.
 * @throws Failure 'invalid' when the header cannot be read
 */
export function readIncoming(
  record: JournalRecord,
  { nodeName, dataFolder }: { nodeName: string; dataFolder: string },
): Omit<IncomingObject, 'replayed'> {
  const { body } = record;
  const { meta, contentHash } = record.header;
  return {
    sopClassUid: meta.sopClassUid,
    sopInstanceUid: meta.sopInstanceUid,
    studyInstanceUid: meta.studyInstanceUid,
    seriesInstanceUid: meta.seriesInstanceUid,
    transferSyntaxUid: meta.transferSyntaxUid,
    contentHash,
    length: body.length,
    dataSetOffset: meta.dataSetOffset,
    ...readHeader(record),
    key: keyOf(record),
    place: {
      in: 'journal',
      node: nodeName,
      path: path.relative(dataFolder, body.path),
      nonce: body.nonce,
      offset: body.offset,
    },
    receivedAt: meta.receivedAt,
    from: meta.from,
  };
}

export function keyOf({ header }: JournalRecord): string {
  return objectKey({ ...header.meta, contentHash: header.contentHash });
}

function readHeader({ header: { meta }, body }: JournalRecord): Pick<IncomingObject, 'header' | 'pixel'> {
  const { pixel, transferSyntaxUid, dataSetOffset } = meta;
  // The receiver found native pixels: what lies before them is read, and they are not.
  if (pixel)
    return {
      pixel,
      header: parseHeader(readStart(body, dataSetOffset, pixel.elementOffset), transferSyntaxUid),
    };
  const reading = new HeaderReading(transferSyntaxUid);
  let skip = dataSetOffset;
  for (const piece of readBody(body)) {
    const step = Math.min(skip, piece.length);
    skip -= step;
    reading.push(piece.subarray(step));
  }
  const { scan, header } = reading.end();
  return { pixel: scan.pixelData, header };
}

function readStart(body: RecordBody, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(Math.min(length, MAX_HEADER_BYTES));
  const fd = fs.openSync(body.path, 'r');
  try {
    for (let done = 0; done < bytes.length; ) {
      const read = fs.readSync(fd, bytes, done, bytes.length - done, body.offset + offset + done);
      if (read === 0) throw new Error('the journal ends inside an object');
      done += read;
    }
  } finally {
    fs.closeSync(fd);
  }
  return bytes;
}

/**
 * What /metadata says of the object, to be kept (header-piece.ts); undefined for a header that is long or deflated, and
 * for one that the index could read and that has more in it than can be told: then whoever asks is told why.
 */
export function readPiece({ header: { meta }, body }: JournalRecord): Buffer | undefined {
  const { transferSyntaxUid, dataSetOffset } = meta;
  if (transferSyntax(transferSyntaxUid).deflated) return undefined;
  const whole = body.length - dataSetOffset;
  const bytes = readStart(
    body,
    dataSetOffset,
    Math.min(meta.pixel?.elementOffset ?? whole, whole, MAX_KEPT_HEADER_BYTES + 1),
  );
  let { pixel } = meta;
  let end = pixel?.elementOffset;
  if (!pixel) {
    const scan = new HeaderScan(transferSyntaxUid);
    scan.push(bytes);
    end = scan.headerEnd ?? whole;
    pixel = scan.end().pixelData;
  }
  if (end === undefined || end > MAX_KEPT_HEADER_BYTES) return undefined;
  try {
    const dataSet = parseDataSet(bytes.subarray(0, end), transferSyntaxUid, { stopAtPixelData: true });
    return encodePiece(fragmentsOf({ dataSet, pixel, transferSyntaxUid }));
  } catch {
    return undefined;
  }
}

/** Each piece its own buffer: an upload holds on to what it was given. */
export async function* pieces(body: RecordBody): AsyncGenerator<Uint8Array> {
  for (const piece of readBody(body, 256 * 1024)) yield Buffer.from(piece);
}
