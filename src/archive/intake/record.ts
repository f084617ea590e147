/**
 * The journal's format, pure: how a segment and each record in it begin, and how a reader knows a record is whole.
 * Written by object-writer.ts, read back by segment-reader.ts (live settling and replay take the same path).
 *
 *   segment: [segment header, 512 bytes] record*
 *   record:  [record header, 2,048 bytes] [body: the Part 10 file as it will be stored] [padding to 512]
 *
 * A segment's nonce is random per use. A record counts only when its header carries the nonce of the segment
 * and its own checksum holds, so neither a recycled tail nor bytes a sender chose can pass for a record.
 * A segment that was used and is free says so in its header; one of zeros was never used, unless records stand behind
 * it: then its header is lost and they are not. Any other header that does not hold is damaged.
 * Header and body become durable with one sync, and only then Success is said; the content hash tells a whole body.
 */
import { createHash } from 'node:crypto';
import type { PixelLocation } from '../../dicom/scan.ts';
import { Failure } from '../../failure.ts';

export const SEGMENT_HEADER_BYTES = 512;
export const RECORD_HEADER_BYTES = 2048;
/** Records begin at multiples of this. */
export const ALIGN = 512;
const SEGMENT_MAGIC = Buffer.from('ISOSEG2\n');
const FREE_MAGIC = Buffer.from('ISOFREE\n');
const NONCE_BYTES = 16;
const SEGMENT_CHECKSUM_AT = 24;
const RECORD_MAGIC = Buffer.from('ISOREC2\n');
const META_AT = 80;
const CHECKSUM_AT = RECORD_HEADER_BYTES - 32;

/** Who brought an object; the same for all objects of one association or request. */
export interface Provenance {
  /** uuid of the reception row */
  reception: string;
  kind: 'dimse' | 'stow' | 'reindex';
  callingAe?: string;
  calledAe?: string;
  address?: string;
  actor?: string;
  /** Its objects are answered only once the index has decided: other content under a known UID need not be kept. */
  refusable?: true;
  /** ISO 8601 */
  openedAt: string;
}

/** What the journal says of one object, beside its bytes. */
export interface RecordMeta {
  sopClassUid: string;
  sopInstanceUid: string;
  studyInstanceUid: string;
  seriesInstanceUid: string;
  transferSyntaxUid: string;
  /** Where the data set begins in the body. */
  dataSetOffset: number;
  receivedAt: string;
  from: Provenance;
  /** Native pixels as the receiver's scan found them: the settler reads no further than to them. */
  pixel?: PixelLocation;
  /** Set when the body is a file of its own beside the segment (an object that outgrew it). */
  external?: string;
}

export interface RecordHeader {
  bodyLength: number;
  /** SHA-256 over transfer syntax UID, NUL, data set: the content hash of the archive. */
  contentHash: Buffer;
  meta: RecordMeta;
}

/**
 * A running content hash, SHA-256 over transfer syntax UID, NUL, data set: feed it the data set. "Same bytes" means
 * the same value (DESIGN promise 3).
 */
export function contentHash(transferSyntaxUid: string): ReturnType<typeof createHash> {
  return createHash('sha256').update(`${transferSyntaxUid}\0`);
}

export const aligned = (offset: number): number => Math.ceil(offset / ALIGN) * ALIGN;

/** Bytes a record takes in its segment; an external body takes none. */
export function recordSpan(header: RecordHeader): number {
  return aligned(RECORD_HEADER_BYTES + (header.meta.external === undefined ? header.bodyLength : 0));
}

export function encodeSegmentHeader(nonce: Buffer): Buffer {
  const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
  SEGMENT_MAGIC.copy(block, 0);
  nonce.copy(block, 8);
  segmentChecksum(block).copy(block, SEGMENT_CHECKSUM_AT);
  return block;
}

/** Of a segment that was used, and of which everything is settled. */
export function encodeFreeHeader(): Buffer {
  const block = Buffer.alloc(SEGMENT_HEADER_BYTES);
  FREE_MAGIC.copy(block, 0);
  segmentChecksum(block).copy(block, SEGMENT_CHECKSUM_AT);
  return block;
}

export type SegmentUse = { nonce: Buffer } | 'free' | 'damaged';

/**
 * What a segment's header says of it.
 * @param first the block of the first record, whole or as far as the file reaches
 */
export function segmentUse(header: Buffer, first: Buffer): SegmentUse {
  const nonce = decodeSegmentHeader(header);
  if (nonce) return { nonce };
  if (header.equals(encodeFreeHeader())) return 'free';
  if (!header.every((byte) => byte === 0)) return 'damaged';
  // A disk that gives zeros where the header was: the records have the nonce too.
  const own = first.subarray(8, 8 + NONCE_BYTES);
  return decodeRecordHeader(first, own) ? { nonce: Buffer.from(own) } : 'free';
}

/** The nonce of a segment in use; undefined for one that is free or damaged. */
export function decodeSegmentHeader(block: Buffer): Buffer | undefined {
  if (block.length < SEGMENT_HEADER_BYTES || !block.subarray(0, 8).equals(SEGMENT_MAGIC)) return undefined;
  if (!segmentChecksum(block).equals(block.subarray(SEGMENT_CHECKSUM_AT, SEGMENT_CHECKSUM_AT + 32)))
    return undefined;
  return Buffer.from(block.subarray(8, 8 + NONCE_BYTES));
}

function segmentChecksum(block: Buffer): Buffer {
  return createHash('sha256').update(block.subarray(0, SEGMENT_CHECKSUM_AT)).digest();
}

/** @throws Failure 'too-large' when the provenance does not fit its 1.9 KB */
export function encodeRecordHeader(nonce: Buffer, header: RecordHeader): Buffer {
  const block = Buffer.alloc(RECORD_HEADER_BYTES);
  const meta = Buffer.from(JSON.stringify(header.meta));
  if (META_AT + meta.length > CHECKSUM_AT)
    throw new Failure('too-large', 'what is known of the sender does not fit a journal record');
  RECORD_MAGIC.copy(block, 0);
  nonce.copy(block, 8);
  block.writeBigUInt64LE(BigInt(header.bodyLength), 24);
  header.contentHash.copy(block, 32);
  block.writeUInt32LE(meta.length, 64);
  meta.copy(block, META_AT);
  checksum(block).copy(block, CHECKSUM_AT);
  return block;
}

/** The record that begins in this block, or undefined: the segment ends here. */
export function decodeRecordHeader(block: Buffer, nonce: Buffer): RecordHeader | undefined {
  if (block.length < RECORD_HEADER_BYTES) return undefined;
  if (!block.subarray(0, 8).equals(RECORD_MAGIC) || !block.subarray(8, 24).equals(nonce)) return undefined;
  if (!checksum(block).equals(block.subarray(CHECKSUM_AT, RECORD_HEADER_BYTES))) return undefined;
  const metaLength = block.readUInt32LE(64);
  return {
    bodyLength: Number(block.readBigUInt64LE(24)),
    contentHash: Buffer.from(block.subarray(32, 64)),
    meta: JSON.parse(block.toString('utf8', META_AT, META_AT + metaLength)) as RecordMeta,
  };
}

function checksum(block: Buffer): Buffer {
  return createHash('sha256').update(block.subarray(0, CHECKSUM_AT)).digest();
}
