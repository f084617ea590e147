/**
 * What /metadata says of one object, as it is kept: DICOM JSON text in fragments, cut wherever the address of a bulk
 * value begins, since that depends on who asks; each fragment is deflated on its own, so that pieces of any objects in
 * any order make one stream. Made by intake/read-record.ts and series-metadata.ts, sent by dicomweb/gzip-stream.ts.
 *
 *   piece: [version, u16] [number of fragments, u32] ([text bytes, u32] [CRC-32 of the text, u32] [deflated bytes, u32])*
 *          deflated*
 */
import { randomUUID } from 'node:crypto';
import zlib from 'node:zlib';
import type { DataSet } from '../dicom/data-set.ts';
import type { DicomJsonElement } from '../dicom/dicom-json.ts';
import { dicomJsonBytes } from '../dicom/dicom-json-bytes.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import type { LongValue } from './read-header.ts';

/** A longer piece is not kept; it is made each time it is asked for. */
export const MAX_PIECE_BYTES = 4 * 1024 * 1024;
/** Of what is said of a header: to be raised with every change of that, so that what was kept before is made anew. */
const VERSION = 2;
const HEAD_BYTES = 6;
const FRAGMENT_HEADER_BYTES = 12;

/** Stands in the text for the address of the instance; no sender can know it. */
const ADDRESS = `${randomUUID()}:`;
/** More saves a twentieth of the bytes and costs half as much time again, while a modality sends. */
const LEVEL = 1;
/** Mostly what stands between the address of the pixels and the end. */
const SHORT_BYTES = 64;

/** What of an object is in its metadata. */
export interface Described {
  dataSet: DataSet;
  longValues?: ReadonlyMap<string, LongValue>;
  pixel: Pick<PixelLocation, 'tag' | 'vr'> | null | undefined;
  transferSyntaxUid: string;
}

/**
 * The piece of an object's DICOM JSON (PS3.18 F.2). Between its fragments stands, in what is sent, the address of the
 * instance with which a BulkDataURI begins.
 */
export function makePiece({ dataSet, longValues = new Map(), pixel, transferSyntaxUid }: Described): Buffer {
  const bulkDataUri = (path: string): string => `${ADDRESS}/bulkdata/${path}`;
  const others = new Map<string, DicomJsonElement>();
  const refer = (tag: string, vr: string): void => {
    others.set(tag, { vr, BulkDataURI: bulkDataUri(tag) });
  };
  if (pixel) refer(pixel.tag, pixel.vr);
  for (const [tag, { vr }] of longValues) refer(tag, vr);
  // AvailableTransferSyntaxUID tells a viewer what the frames come in (PS3.18 10.4.1.1.2).
  others.set('00083002', { vr: 'UI', Value: [transferSyntaxUid] });
  const texts = splitAtAddress(dicomJsonBytes(dataSet, { bulkDataUri }, others));
  const head = Buffer.alloc(HEAD_BYTES + FRAGMENT_HEADER_BYTES * texts.length);
  head.writeUInt16LE(VERSION, 0);
  head.writeUInt32LE(texts.length, 2);
  const fragments = texts.map((text, n) => {
    const deflated = deflate(text);
    const at = HEAD_BYTES + n * FRAGMENT_HEADER_BYTES;
    head.writeUInt32LE(text.length, at);
    head.writeUInt32LE(zlib.crc32(text), at + 4);
    head.writeUInt32LE(deflated.length, at + 8);
    return deflated;
  });
  return Buffer.concat([head, ...fragments]);
}

/** As whole blocks of their own (RFC 1951): a short text as it is, since starting to deflate costs as much as 3 KB of it. */
function deflate(text: Buffer): Buffer {
  if (text.length > SHORT_BYTES)
    return zlib.deflateRawSync(text, { level: LEVEL, finishFlush: zlib.constants.Z_SYNC_FLUSH });
  const block = Buffer.alloc(5 + text.length);
  block.writeUInt16LE(text.length, 1);
  block.writeUInt16LE(text.length ^ 0xffff, 3);
  text.copy(block, 5);
  return block;
}

function splitAtAddress(text: Buffer): Buffer[] {
  const texts: Buffer[] = [];
  let from = 0;
  for (let at = text.indexOf(ADDRESS); at !== -1; at = text.indexOf(ADDRESS, from)) {
    texts.push(text.subarray(from, at));
    from = at + ADDRESS.length;
  }
  texts.push(text.subarray(from));
  return texts;
}

/** Whether the piece is of the version that is made now. */
export function isCurrent(piece: Buffer): boolean {
  return piece.length >= HEAD_BYTES && piece.readUInt16LE(0) === VERSION;
}

/**
 * Tells of each fragment: where its whole deflate blocks (RFC 1951) lie in the piece, none of them the last, which end
 * at a byte and refer to nothing before them; and of its text the CRC-32 and the length in bytes.
 * @throws RangeError when the piece is shorter than it says
 */
export function eachFragment(
  piece: Buffer,
  tell: (from: number, to: number, crc32: number, length: number, n: number) => void,
): void {
  const count = piece.readUInt32LE(2);
  let from = HEAD_BYTES + count * FRAGMENT_HEADER_BYTES;
  for (let n = 0; n < count; n++) {
    const at = HEAD_BYTES + n * FRAGMENT_HEADER_BYTES;
    const to = from + piece.readUInt32LE(at + 8);
    if (to > piece.length) throw new RangeError('a header piece is shorter than it says');
    tell(from, to, piece.readUInt32LE(at + 4), piece.readUInt32LE(at), n);
    from = to;
  }
}
