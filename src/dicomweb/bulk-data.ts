/**
 * WADO-RS of bulk data (PS3.18 10.4.1.1.5): the binary values that metadata gives only by BulkDataURI.
 * The path is the one toDicomJson gives: tags and item numbers, "54000100/0/54001010". Values leave little endian.
 */
import type { Context } from 'koa';
import { readAttributes } from '../archive/read-attributes.ts';
import { type LongValue, type ObjectHeader, readDataSet } from '../archive/read-header.ts';
import { littleEndianWords } from '../archive/same-streams.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { swapWords, wordSize } from '../dicom/byte-order.ts';
import { elementAt } from '../dicom/data-set.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { EXPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { acceptedBy, disclose, isUnchanged, stream, targetOf } from './answer.ts';
import { answerByRange, clipped, type RangedAnswer, within } from './byte-range.ts';
import { type FrameParts, locateFrames } from './frame-bytes.ts';
import { answerFrames, imageFor } from './frames.ts';
import { covers } from './media-type.ts';
import { writeMultipart } from './multipart-writer.ts';
import { chooseFrames } from './negotiate.ts';
import { findOne } from './retrieve.ts';

const PATH = /^[0-9A-Fa-f]{8}(\/\d{1,6}\/[0-9A-Fa-f]{8}){0,32}$/;
const OCTET_STREAM = 'application/octet-stream';
/** Of the disclosure record. */
const DETAIL = { what: 'bulkdata' };

/** GET of …/bulkdata/{path}. */
export function retrieveBulkData(parts: FrameParts) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const target = targetOf(ctx);
    const path = (ctx.params.path ?? '').toUpperCase();
    if (!PATH.test(path))
      throw new Failure('invalid', 'A bulk data path is tags and item numbers, such as 54000100/0/54001010');
    const accepted = acceptedBy(ctx);
    const object = await findOne(parts, target);
    const syntax = transferSyntax(object.transferSyntax);
    const isPixels = path === object.pixel?.tag;
    if (isPixels && syntax.encapsulated && !isVideo(object.transferSyntax)) {
      // Encapsulated pixels are given as their frames, each a part, as from …/frames.
      const { length } = (await locateFrames(parts, object)).frames;
      const form = chooseFrames(object.transferSyntax, accepted, length === 1);
      const image = await imageFor(parts, object, form);
      const numbers = Array.from({ length: image.frames.length }, (_, index) => index + 1);
      await answerFrames(ctx, parts, { object, image, numbers, form, detail: DETAIL });
      return;
    }
    const range = accepted.find((one) => isOctetStream(one.type, one.parameters.get('type')));
    if (!range)
      throw new Failure(
        'not-acceptable',
        `Bulk data is given as ${OCTET_STREAM}, alone or in multipart/related`,
      );
    const value = isPixels
      ? pixelValue(parts, object, object.pixel!)
      : binaryValue(parts, object, await readAttributes(parts.reader, object), path);
    const isMultipart = range.type.startsWith('multipart/');
    const sameness = isMultipart ? 'equivalent' : 'same';
    if (isUnchanged(ctx, sameness, 'bulk', object.contentHash, path, String(isMultipart))) return;
    const { studyUid, seriesUid, sopUid } = object;
    const disclosure = {
      channel: 'wado',
      studyUid,
      seriesUid,
      sopUid,
      instances: 1,
      detail: DETAIL,
    } as const;
    const type = `${OCTET_STREAM}; transfer-syntax=${isPixels && syntax.encapsulated ? object.transferSyntax : EXPLICIT_LE}`;
    if (!isMultipart) {
      await answerByRange(ctx, parts, { type, ...value, disclosure });
      return;
    }
    const disclosed = disclose(ctx, parts.disclosures, disclosure);
    async function* one() {
      yield { contentType: type, body: value.bytes() };
    }
    const { contentType, body } = writeMultipart(OCTET_STREAM, one());
    await stream(ctx, parts, { type: contentType, bytes: body, disclosed });
  };
}

/** A value that can be read whole or by range. */
type Value = Pick<RangedAnswer, 'length' | 'bytes'>;

/** MPEG, H.264 and HEVC (PS3.5 A.4.5 to A.4.9): one stream over all frames, so it is given whole. */
const isVideo = (transferSyntaxUid: string): boolean =>
  /^1\.2\.840\.10008\.1\.2\.4\.10\d(\.\d)?$/.test(transferSyntaxUid);

/** Native Pixel Data, or the fragments of an encapsulated stream without their headers. */
function pixelValue(parts: FrameParts, object: StoredObject, pixel: PixelLocation): Value {
  if (!pixel.encapsulated) return littleEndian(parts, object, { ...pixel, length: pixel.length ?? 0 });
  if (!pixel.fragments)
    throw new Failure('unsupported', 'The stream has more fragments than are kept in mind');
  const { offsets, lengths } = pixel.fragments;
  const ranges = offsets.map((offset, index) => ({ offset, length: lengths[index]! }));
  return {
    length: lengths.reduce((sum, length) => sum + length, 0),
    async *bytes(part) {
      for (const range of clipped(ranges, part)) yield* readDataSet(parts.reader, object, range);
    },
  };
}

function isOctetStream(type: string, inner: string | undefined): boolean {
  const wanted = type.startsWith('multipart/') ? (inner ?? OCTET_STREAM).toLowerCase() : type;
  return covers({ type: wanted, parameters: new Map() }, OCTET_STREAM);
}

/** A value of any size, its words turned round piece by piece where they are big endian. */
function littleEndian(parts: FrameParts, object: StoredObject, value: LongValue): Value {
  const { bigEndian } = transferSyntax(object.transferSyntax);
  const { vr, offset, length } = value;
  return {
    length,
    bytes: (part) =>
      bigEndian
        ? within(littleEndianWords(readDataSet(parts.reader, object, value), vr, true), part)
        : readDataSet(parts.reader, object, {
            offset: offset + (part?.offset ?? 0),
            length: part?.length ?? length,
          }),
  };
}

/** A value of the header, by its path. @throws Failure 'not-found' */
export function binaryValue(
  parts: FrameParts,
  object: StoredObject,
  { dataSet, longValues }: ObjectHeader,
  path: string,
): Value {
  const long = longValues.get(path);
  if (long) return littleEndian(parts, object, long);
  const found = elementAt(dataSet, path);
  if (!found || found.element.items)
    throw new Failure('not-found', `${object.sopUid} has no binary value at that path`);
  const { value, vr } = found.element;
  const bytes = found.within.bigEndian ? swapWords(Buffer.from(value), wordSize(vr)) : value;
  return {
    length: bytes.length,
    async *bytes(part) {
      yield part ? bytes.subarray(part.offset, part.offset + part.length) : bytes;
    },
  };
}
