/**
 * A journal record as the index and the placers see it: its header read back, its key, its bytes for the store.
 * Used by settler.ts, file-placer.ts and s3-placer.ts; what comes of it goes to study-index.ts and the store.
 */
import fs from 'node:fs';
import path from 'node:path';
import { HeaderScan, type PixelLocation } from '../../dicom/header-scan.ts';
import { transferSyntax } from '../../dicom/transfer-syntax.ts';
import { MAX_PIECE_BYTES, makePiece } from '../header-piece.ts';
import type { IncomingObject } from '../incoming-object.ts';
import { objectKey } from '../object-key.ts';
import { isCode } from '../object-store/file-failure.ts';
import { readPlainAttributes } from '../read-attributes.ts';
import { earlyPiece, HeaderReading, MAX_HEADER_BYTES, parseHeader } from './prepare-object.ts';
import { type JournalRecord, type RecordBody, readBody } from './segment-reader.ts';

/** Of an object that is read whole to find where its compressed pixels end. */
const MAX_SCANNED_BYTES = 64 * 1024 * 1024;

/**
 * What the index is to know of a record; its bytes can be read in the journal of this node until they are placed.
 * @throws Failure 'invalid' when the header cannot be read
 */
export function readIncoming(
  record: JournalRecord,
  { nodeName, dataFolder }: { nodeName: string; dataFolder: string },
): Omit<IncomingObject, 'record' | 'replayed'> {
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

function readHeader({
  header: { meta },
  body,
}: JournalRecord): Pick<IncomingObject, 'header' | 'pixel' | 'piece'> {
  const { transferSyntaxUid, dataSetOffset } = meta;
  const length = body.length - dataSetOffset;
  // The receiver found native pixels: what lies before them is read, and they are not.
  if (meta.pixel) {
    const { pixel } = meta;
    const parsed = parseHeader(readStart(body, dataSetOffset, pixel.elementOffset), transferSyntaxUid);
    return { pixel, header: parsed.header, piece: earlyPiece(parsed, { transferSyntaxUid, pixel, length }) };
  }
  const reading = new HeaderReading(transferSyntaxUid);
  let skip = dataSetOffset;
  for (const piece of readBody(body)) {
    const step = Math.min(skip, piece.length);
    skip -= step;
    reading.push(piece.subarray(step));
  }
  const parsed = reading.end();
  const { pixelData: pixel } = parsed.scan;
  return { pixel, header: parsed.header, piece: earlyPiece(parsed, { transferSyntaxUid, pixel, length }) };
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
 * What /metadata says of the object, to be kept (header-piece.ts); undefined for a header that is very long or deflated,
 * for a very long object whose pixels are looked for, and for one of which more is to be told than can be read: then it
 * is made for whoever asks, or he is told why it cannot be.
 */
export async function readPiece(record: JournalRecord): Promise<Buffer | undefined> {
  const { header, body } = record;
  const { transferSyntaxUid, dataSetOffset, sopInstanceUid: sopUid } = header.meta;
  if (transferSyntax(transferSyntaxUid).deflated) return undefined;
  if (!header.meta.pixel && body.length > MAX_SCANNED_BYTES) return undefined;
  const pixel = header.meta.pixel ?? findPixels(record);
  const length = body.length - dataSetOffset;
  if ((pixel?.elementOffset ?? length) > MAX_HEADER_BYTES) return undefined;
  try {
    const described = await readPlainAttributes(
      { sopUid, transferSyntaxUid, pixel, length },
      async (offset, bytes) => readStart(body, dataSetOffset + offset, bytes),
    );
    const piece = makePiece({ ...described, pixel, transferSyntaxUid });
    return piece.length <= MAX_PIECE_BYTES ? piece : undefined;
  } catch (thrown) {
    // A fault of the disk is the placer's to handle.
    if (isCode(thrown, 'EIO')) throw thrown;
    return undefined;
  }
}

function findPixels({ header: { meta }, body }: JournalRecord): PixelLocation | undefined {
  const scan = new HeaderScan(meta.transferSyntaxUid);
  let skip = meta.dataSetOffset;
  for (const piece of readBody(body, 256 * 1024)) {
    const step = Math.min(skip, piece.length);
    skip -= step;
    scan.push(piece.subarray(step));
  }
  return scan.end().pixelData;
}

/** Each piece its own buffer: an upload holds on to what it was given. */
export async function* pieces(body: RecordBody): AsyncGenerator<Uint8Array> {
  for (const piece of readBody(body, 256 * 1024)) yield Buffer.from(piece);
}
