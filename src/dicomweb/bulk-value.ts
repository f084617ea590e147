/**
 * A value that came as bulk data (PS3.18 8.7.3): which transfer syntax its media type means, and how it stands in the
 * data set, native or as fragments (PS3.5 A.4). Called by stow-json.ts; the bytes lie in the archive's spool.
 */
import type { SpooledValue } from '../archive/intake/spool.ts';
import { label } from '../dicom/attributes.ts';
import {
  ITEM,
  PIXEL_DATA,
  SEQUENCE_DELIMITATION,
  tagNumber,
  UNDEFINED_LENGTH,
  vrCode,
} from '../dicom/element-header.ts';
import {
  EXPLICIT_LE,
  HTJ2K,
  IMPLICIT_LE,
  isKnownTransferSyntax,
  JPEG_2000_LOSSLESS,
  JPEG_BASELINE,
  JPEG_EXTENDED,
  JPEG_LOSSLESS,
  JPEG_LS_LOSSLESS,
  RLE_LOSSLESS,
  transferSyntax,
} from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { jpegFrameMarker } from '../pixels/codestream.ts';
import { ElementWriter } from '../transform/element-writer.ts';
import type { BulkPiece } from '../transform/from-dicom-json.ts';
import type { MediaType } from './media-type.ts';

export interface BulkValue {
  /** One behind the other in `spooled`: several are frames. */
  readonly parts: { from: number; length: number; media: MediaType }[];
  spooled?: SpooledValue;
  /** Why it cannot be used. */
  failure?: Failure;
}

const OCTETS = 'application/octet-stream';
/** What a media type is without a transfer-syntax parameter (PS3.18 table 8.7.3-5); image/jpeg by its own marker. */
const SYNTAX_OF: Readonly<Record<string, string>> = {
  'image/dicom-rle': RLE_LOSSLESS,
  'image/x-dicom-rle': RLE_LOSSLESS,
  'image/jls': JPEG_LS_LOSSLESS,
  'image/x-jls': JPEG_LS_LOSSLESS,
  'image/jp2': JPEG_2000_LOSSLESS,
  'image/jpx': '1.2.840.10008.1.2.4.92',
  'image/jphc': HTJ2K,
  'video/mpeg': '1.2.840.10008.1.2.4.100',
  'video/mpeg2': '1.2.840.10008.1.2.4.100',
  'video/mp4': '1.2.840.10008.1.2.4.102',
};
/** Enough of a JPEG to meet its frame header behind thumbnails and profiles. */
const HEAD_BYTES = 256 * 1024;
const MAX_LENGTH = 0xfffffffe;

/** @param isInline Pixel Data stands in the metadata itself @throws Failure 'invalid' */
export function checkSyntax(transferSyntaxUid: string | undefined, isInline: boolean): void {
  if (isInline && transferSyntaxUid !== undefined && transferSyntax(transferSyntaxUid).encapsulated)
    throw new Failure(
      'invalid',
      '(7FE0,0010) PixelData of an encapsulated transfer syntax stands in the metadata',
    );
}

/**
 * The transfer syntax of the object whose Pixel Data this is.
 * @param said (0002,0010) TransferSyntaxUID of the metadata
 * @throws Failure 'unsupported' | 'invalid'
 */
export async function pixelSyntax(
  value: BulkValue,
  said: string | undefined,
  frames: number,
): Promise<string> {
  const names = new Set(
    value.parts.map(({ media }) => `${media.type} ${media.parameters.get('transfer-syntax')}`),
  );
  if (names.size > 1)
    throw new Failure('invalid', 'Parts of one (7FE0,0010) PixelData differ in their media type');
  const media = value.parts[0]?.media;
  const uid = await syntaxOf(media, said, value);
  const { encapsulated, bigEndian, deflated } = transferSyntax(uid);
  if (!isKnownTransferSyntax(uid) || bigEndian || deflated)
    throw new Failure(
      'unsupported',
      'The transfer syntax of a (7FE0,0010) PixelData part is not taken (PS3.18 8.7.3)',
    );
  if (!encapsulated) return EXPLICIT_LE;
  const isVideo = media?.type.startsWith('video/') ?? false;
  if (!isVideo && frames !== value.parts.length)
    throw new Failure(
      'invalid',
      `(7FE0,0010) PixelData comes in ${value.parts.length} parts, and (0028,0008) NumberOfFrames says otherwise`,
    );
  return uid;
}

async function syntaxOf(
  media: MediaType | undefined,
  said: string | undefined,
  value: BulkValue,
): Promise<string> {
  const parameter = media?.parameters.get('transfer-syntax');
  if (parameter !== undefined && parameter !== '*')
    return parameter === IMPLICIT_LE ? EXPLICIT_LE : parameter;
  if (said !== undefined && transferSyntax(said).encapsulated) return said;
  if (media === undefined || media.type === OCTETS) return EXPLICIT_LE;
  if (media.type === 'image/jpeg') return jpegSyntax(value);
  const known = SYNTAX_OF[media.type];
  if (known === undefined)
    throw new Failure(
      'unsupported',
      `(7FE0,0010) PixelData is not taken as this media type (PS3.18 table 8.7.3-5)`,
    );
  return known;
}

async function jpegSyntax({ spooled, parts: [first] }: BulkValue): Promise<string> {
  const pieces: Buffer[] = [];
  if (spooled && first)
    for await (const piece of spooled.read(first.from, Math.min(first.length, HEAD_BYTES)))
      pieces.push(Buffer.from(piece));
  switch (jpegFrameMarker(Buffer.concat(pieces))) {
    case 0xc0:
      return JPEG_BASELINE;
    case 0xc1:
      return JPEG_EXTENDED;
    case 0xc3:
      return JPEG_LOSSLESS;
    default:
      throw new Failure(
        'invalid',
        '(7FE0,0010) PixelData comes as image/jpeg, and has no frame header of a process that is taken',
      );
  }
}

/** The element with its header, in chunks that may be reused when the next is asked for. @throws Failure 'too-large' */
export async function* writeBulk(
  { tag, vr, atRoot }: BulkPiece,
  { spooled, parts }: BulkValue,
  transferSyntaxUid: string,
): AsyncGenerator<Uint8Array> {
  const length = spooled?.length ?? 0;
  const isPixels = atRoot && tagNumber(tag) === PIXEL_DATA;
  const writer = new ElementWriter();
  if (!isPixels || !transferSyntax(transferSyntaxUid).encapsulated) {
    if (length > MAX_LENGTH) throw tooLong(tag);
    writer.header(tagNumber(tag), vrCode(vr), length + (length % 2));
    yield* writer.take();
    if (spooled) yield* spooled.read(0, length);
    if (length % 2 === 1) yield PAD[vr] ?? NUL;
    return;
  }
  writer.header(PIXEL_DATA, vrCode('OB'), UNDEFINED_LENGTH);
  // An empty Basic Offset Table: frames are found by their fragments, one each (PS3.5 A.4).
  writer.header(ITEM, 0, 0);
  for (const part of parts) {
    if (part.length > MAX_LENGTH) throw tooLong(tag);
    writer.header(ITEM, 0, part.length + (part.length % 2));
    yield* writer.take();
    if (spooled) yield* spooled.read(part.from, part.length);
    if (part.length % 2 === 1) writer.value(NUL);
  }
  writer.header(SEQUENCE_DELIMITATION, 0, 0);
  yield* writer.take();
}

const NUL = Buffer.from([0]);
const BLANK = Buffer.from(' ');
/** Of the VRs that may come as bulk data, those of text (PS3.5 6.2). */
const PAD: Readonly<Record<string, Buffer>> = {
  UT: BLANK,
  LT: BLANK,
  ST: BLANK,
  UC: BLANK,
  DS: BLANK,
  IS: BLANK,
};

function tooLong(tag: string): Failure {
  return new Failure('too-large', `${label(tag)} is longer than a value can be (PS3.5 7.1.2)`);
}
