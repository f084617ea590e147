/**
 * The header of a stored object: everything before its pixels, read by range and parsed, within a bound.
 * Called by series-metadata.ts and by the DICOMweb door for frames, bulk data and rendering.
 * Long values (an encapsulated document, a large table) are stepped over, so that a header stays small in memory.
 */

import { attribute } from '../dicom/attributes.ts';
import { type DataSet, type Element, parseDataSet } from '../dicom/data-set.ts';
import { inflateHead, MAX_INFLATED_BYTES } from '../dicom/deflated.ts';
import {
  isLongForm,
  readTag,
  readUint16,
  readUint32,
  tagText,
  UNDEFINED_LENGTH,
  vrName,
} from '../dicom/element-header.ts';
import { EXPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import type { ObjectReader } from './read-object.ts';
import type { StoredObject } from './stored-object.ts';

export interface ObjectHeader {
  /** Without the long values. Places of elements count from where their piece was read, not from the data set's start. */
  readonly dataSet: DataSet;
  /** Root elements whose values were stepped over, by tag. */
  readonly longValues: ReadonlyMap<string, LongValue>;
}

export interface LongValue {
  readonly vr: string;
  /** From the start of the data set, as in PixelLocation. */
  readonly offset: number;
  readonly length: number;
}

/** Read at once; a header that fits is parsed in one go. */
const PIECE_BYTES = 2 * 1024 * 1024;
/** A root value longer than this is stepped over in a header of several pieces. */
const LONG_VALUE_BYTES = 256 * 1024;
/** A sequence has to be held whole to be read. */
const MAX_SEQUENCE_BYTES = 64 * 1024 * 1024;
/** Elements that change how later ones are read: they go before each piece. */
const INHERITED = ['00080005', '00280103'];

/** @throws Failure 'too-large' for a sequence of more than 64 MB; what the reader throws */
export async function readHeader(reader: ObjectReader, object: StoredObject): Promise<ObjectHeader> {
  if (transferSyntax(object.transferSyntax).deflated) {
    const inflated = await inflatedDataSet(reader, object);
    return { dataSet: parseDataSet(inflated, EXPLICIT_LE, { stopAtPixelData: true }), longValues: new Map() };
  }
  const length = object.pixel?.elementOffset ?? object.length - object.dataSetOffset;
  const { sopUid, transferSyntax: transferSyntaxUid } = object;
  return readPlainHeader({ sopUid, transferSyntaxUid, length }, (offset, bytes) =>
    reader.readRange(object, object.dataSetOffset + offset, bytes),
  );
}

/** The header of a data set that is not deflated. */
export interface PlainHeader {
  sopUid: string;
  transferSyntaxUid: string;
  /** bytes of it, up to the pixels */
  length: number;
  /** Where it is what stands behind the pixels: that of what stands before. */
  characterSet?: DataSet['characterSet'];
}

/** Bytes from the start of the data set. */
export type ReadBytes = (offset: number, length: number) => Promise<Buffer>;

/** @throws Failure 'too-large' for a sequence of more than 64 MB; what `read` throws */
export async function readPlainHeader(header: PlainHeader, read: ReadBytes): Promise<ObjectHeader> {
  if (header.length > PIECE_BYTES) return readLongHeader(header, read);
  const bytes = await read(0, header.length);
  const { transferSyntaxUid, characterSet } = header;
  const dataSet = parseDataSet(bytes, transferSyntaxUid, { stopAtPixelData: true, characterSet });
  return { dataSet, longValues: new Map() };
}

/**
 * Reads piece by piece: what a piece holds whole is taken; at the element it cuts, a long value is stepped over and
 * anything else is read again from its own start.
 */
async function readLongHeader(
  { sopUid, transferSyntaxUid, length, characterSet: inherited }: PlainHeader,
  readBytes: ReadBytes,
): Promise<ObjectHeader> {
  const elements = new Map<string, Element>();
  const longValues = new Map<string, LongValue>();
  const { bigEndian } = transferSyntax(transferSyntaxUid);
  const prefix = new Map<string, Uint8Array>();
  let characterSet: DataSet['characterSet'];
  let at = 0;
  let size = PIECE_BYTES;
  while (at < length) {
    const take = Math.min(size, length - at);
    const read = await readBytes(at, take);
    const before = Buffer.concat([...prefix.values()]);
    const bytes = Buffer.concat([before, read]);
    const piece = parseDataSet(bytes, transferSyntaxUid, { stopAtPixelData: true, characterSet: inherited });
    characterSet = piece.characterSet;
    const isLast = at + take === length;
    const whole = [...piece.elements.values()].filter((element) => element.start >= before.length);
    // A sequence without length that the piece cuts looks whole; it is read again, in a larger piece.
    const tail = whole.at(-1);
    if (!isLast && piece.fault !== undefined && (tail?.items || tail?.fragments)) whole.pop();
    for (const element of whole) {
      if (!elements.has(element.tag)) elements.set(element.tag, element);
      if (INHERITED.includes(element.tag))
        prefix.set(element.tag, bytes.subarray(element.start, element.offset + element.length));
    }
    if (isLast) break;
    const last = whole.at(-1);
    const cut = last ? last.offset + last.length - before.length : 0;
    const long = longValueAt(read, cut, transferSyntaxUid);
    if (long) {
      longValues.set(long.tag, { vr: long.vr, offset: at + cut + long.headerSize, length: long.length });
      at += cut + long.headerSize + long.length;
      size = PIECE_BYTES;
    } else if (cut > 0) {
      at += cut;
      size = PIECE_BYTES;
    } else {
      size *= 4;
      if (size > MAX_SEQUENCE_BYTES)
        throw new Failure(
          'too-large',
          `The header of ${sopUid} holds a sequence of more than ${MAX_SEQUENCE_BYTES / 4} bytes`,
        );
    }
  }
  return { dataSet: { elements, bigEndian, characterSet }, longValues };
}

/** The element at `at` when its value is long and can be stepped over. */
function longValueAt(
  bytes: Buffer,
  at: number,
  transferSyntaxUid: string,
): { tag: string; vr: string; headerSize: number; length: number } | undefined {
  if (at + 12 > bytes.length) return undefined;
  const { explicit, bigEndian } = transferSyntax(transferSyntaxUid);
  const tag = tagText(readTag(bytes, at, bigEndian));
  const code = readUint16(bytes, at + 4, true);
  const long = explicit && isLongForm(code, readUint16(bytes, at + 6, true));
  if (explicit && !long) return undefined;
  const vr = explicit ? vrName(code) : (attribute(tag)?.vr ?? 'UN');
  const length = readUint32(bytes, at + (explicit ? 8 : 4), bigEndian);
  if (length === UNDEFINED_LENGTH || length < LONG_VALUE_BYTES || vr === 'SQ') return undefined;
  return { tag, vr, headerSize: explicit ? 12 : 8, length };
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

/** @throws Failure 'too-large' beyond MAX_INFLATED_BYTES */
export async function inflatedDataSet(reader: ObjectReader, object: StoredObject): Promise<Uint8Array> {
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
