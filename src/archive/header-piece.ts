/**
 * What /metadata says of one object, as it is kept: DICOM JSON text in fragments, cut wherever the address of a bulk
 * value begins, since that depends on who asks; each fragment is deflated on its own, so that pieces of any objects in
 * any order make one stream. Made by the placers and series-metadata.ts, sent by dicomweb/gzip-stream.ts.
 *
 *   piece: [version, u16] [number of fragments, u16] ([text bytes, u32] [CRC-32 of the text, u32] [deflated bytes, u32])*
 *          deflated*
 */
import { randomUUID } from 'node:crypto';
import zlib from 'node:zlib';
import type { DataSet } from '../dicom/data-set.ts';
import { dicomJsonText, toDicomJson } from '../dicom/dicom-json.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import type { LongValue } from './read-header.ts';

/** A longer piece is not kept; it is made each time it is asked for. */
export const MAX_PIECE_BYTES = 4 * 1024 * 1024;
/** Of what is said of a header: to be raised with every change of that, so that what was kept before is made anew. */
const VERSION = 1;
const HEAD_BYTES = 4;
const FRAGMENT_HEADER_BYTES = 12;
const MAX_FRAGMENTS = 0xffff;

/** Stands in the text for the address of the instance; no sender can know it. */
const ADDRESS = `${randomUUID()}:`;
/** The level that costs least for what it saves on short texts. */
const LEVEL = 4;

export interface Fragment {
  /** bytes of the text */
  length: number;
  crc32: number;
  /** Whole deflate blocks (RFC 1951), none of them the last, that end at a byte; they refer to nothing before them. */
  deflated: Uint8Array;
}

/** What of an object is in its metadata. */
export interface Described {
  dataSet: DataSet;
  longValues?: ReadonlyMap<string, LongValue>;
  pixel: Pick<PixelLocation, 'tag' | 'vr'> | null | undefined;
  transferSyntaxUid: string;
}

/**
 * The fragments of an object's DICOM JSON (PS3.18 F.2). Behind each but the last stands, in what is sent, the address
 * of the instance with which a BulkDataURI begins.
 */
export function fragmentsOf({
  dataSet,
  longValues = new Map(),
  pixel,
  transferSyntaxUid,
}: Described): Fragment[] {
  const uri = (path: string): string => `${ADDRESS}/bulkdata/${path}`;
  const json = toDicomJson(dataSet, {
    bulkDataUri: uri,
    ...(pixel && { pixelData: { tag: pixel.tag, vr: pixel.vr } }),
  });
  for (const [tag, { vr }] of longValues) json[tag] = { vr, BulkDataURI: uri(tag) };
  // AvailableTransferSyntaxUID tells a viewer what the frames come in (PS3.18 10.4.1.1.2).
  json['00083002'] = { vr: 'UI', Value: [transferSyntaxUid] };
  return dicomJsonText(json)
    .split(ADDRESS)
    .map((text) => {
      const bytes = Buffer.from(text);
      const deflated = zlib.deflateRawSync(bytes, {
        level: LEVEL,
        finishFlush: zlib.constants.Z_SYNC_FLUSH,
      });
      return { length: bytes.length, crc32: zlib.crc32(bytes), deflated };
    });
}

/** Undefined when it is too large to be kept. */
export function encodePiece(fragments: readonly Fragment[]): Buffer | undefined {
  const head = Buffer.alloc(HEAD_BYTES + FRAGMENT_HEADER_BYTES * fragments.length);
  const length = fragments.reduce((sum, { deflated }) => sum + deflated.length, head.length);
  if (length > MAX_PIECE_BYTES || fragments.length > MAX_FRAGMENTS) return undefined;
  head.writeUInt16LE(VERSION, 0);
  head.writeUInt16LE(fragments.length, 2);
  for (const [n, fragment] of fragments.entries()) {
    const at = HEAD_BYTES + n * FRAGMENT_HEADER_BYTES;
    head.writeUInt32LE(fragment.length, at);
    head.writeUInt32LE(fragment.crc32, at + 4);
    head.writeUInt32LE(fragment.deflated.length, at + 8);
  }
  return Buffer.concat([head, ...fragments.map(({ deflated }) => deflated)], length);
}

/** Views of the piece; undefined for one of another version. @throws RangeError when it is none */
export function decodePiece(piece: Buffer): Fragment[] | undefined {
  if (piece.readUInt16LE(0) !== VERSION) return undefined;
  const count = piece.readUInt16LE(2);
  const fragments: Fragment[] = [];
  let from = HEAD_BYTES + count * FRAGMENT_HEADER_BYTES;
  for (let at = HEAD_BYTES; fragments.length < count; at += FRAGMENT_HEADER_BYTES) {
    const to = from + piece.readUInt32LE(at + 8);
    if (to > piece.length) throw new RangeError('a header piece is shorter than it says');
    fragments.push({
      length: piece.readUInt32LE(at),
      crc32: piece.readUInt32LE(at + 4),
      deflated: piece.subarray(from, to),
    });
    from = to;
  }
  return fragments;
}
