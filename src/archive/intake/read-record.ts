/**
 * A journal record as the placers see it: its header read back, its key, and its bytes as a source for the store.
 * Used by file-placer.ts and s3-placer.ts; what comes of it goes to the store and to study-index.ts.
 */
import { createHash } from 'node:crypto';
import type { IncomingObject, ObjectPlace } from '../incoming-object.ts';
import { objectKey } from '../object-key.ts';
import { HeaderReading } from './prepare-object.ts';
import { type JournalRecord, type RecordBody, readBody } from './segment-reader.ts';

/** Up to here an object is read in one piece and written from it. */
export const ONE_PIECE = 4 * 1024 * 1024;

export interface RecordReading {
  header: ReturnType<HeaderReading['end']>;
  /** the body, when it is small enough to be held */
  whole: Buffer | undefined;
  /** of the whole Part 10 file */
  sha256(): Buffer;
}

/** @param buffer reused from record to record: what is returned is used up before the next is read */
export function readRecord(record: JournalRecord, buffer: Buffer): RecordReading {
  const { header, body } = record;
  const reading = new HeaderReading(header.meta.transferSyntaxUid);
  const onePiece = body.length <= buffer.length;
  const hash = onePiece ? undefined : createHash('sha256');
  let skip = header.meta.dataSetOffset;
  let whole: Buffer | undefined;
  for (const piece of readBody(body, buffer)) {
    if (onePiece) whole = piece;
    hash?.update(piece);
    const step = Math.min(skip, piece.length);
    skip -= step;
    reading.push(piece.subarray(step));
  }
  const held = whole;
  return {
    header: reading.end(),
    whole,
    sha256: () => hash?.digest() ?? createHash('sha256').update(held!).digest(),
  };
}

export function keyOf({ header }: JournalRecord): string {
  return objectKey({ ...header.meta, contentHash: header.contentHash });
}

export function incoming(
  record: JournalRecord,
  key: string,
  read: RecordReading,
  place: ObjectPlace,
): IncomingObject {
  const { meta, contentHash } = record.header;
  return {
    sopClassUid: meta.sopClassUid,
    sopInstanceUid: meta.sopInstanceUid,
    studyInstanceUid: meta.studyInstanceUid,
    seriesInstanceUid: meta.seriesInstanceUid,
    transferSyntaxUid: meta.transferSyntaxUid,
    contentHash,
    length: record.body.length,
    dataSetOffset: meta.dataSetOffset,
    pixel: read.header.scan.pixelData,
    key,
    place,
    receivedAt: meta.receivedAt,
    from: meta.from,
    header: read.header.header,
  };
}

/** Each piece its own buffer: an upload holds on to what it was given. */
export async function* pieces(body: RecordBody): AsyncGenerator<Uint8Array> {
  for (const piece of readBody(body, 256 * 1024)) yield Buffer.from(piece);
}
