/**
 * WADO-RS of bulk data (PS3.18 10.4.1.1.5): the binary values that metadata gives only by BulkDataURI.
 * The path is the one toDicomJson gives: tags and item numbers, "54000100/0/54001010". Values leave little endian.
 */
import type { Context } from 'koa';
import { readDataSet, readHeader } from '../archive/read-header.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { swapWords, wordSize } from '../dicom/byte-order.ts';
import { elementAt } from '../dicom/data-set.ts';
import type { PixelLocation } from '../dicom/header-scan.ts';
import { EXPLICIT_LE, transferSyntax } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { acceptedBy, disclose, isUnchanged, serviceUrl, stream, targetOf } from './answer.ts';
import { type FrameParts, locateFrames, readImage } from './frame-bytes.ts';
import { framesAsParts } from './frames.ts';
import { type AcceptedType, covers } from './media-type.ts';
import { writeMultipart } from './multipart-writer.ts';
import { chooseFrames } from './negotiate.ts';
import { findOne, instanceUrl } from './retrieve.ts';

const PATH = /^[0-9A-Fa-f]{8}(\/\d{1,6}\/[0-9A-Fa-f]{8}){0,32}$/;
const OCTET_STREAM = 'application/octet-stream';

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
      await answerFrames(ctx, parts, object, accepted);
      return;
    }
    const range = accepted.find((one) => isOctetStream(one.type, one.parameters.get('type')));
    if (!range)
      throw new Failure(
        'not-acceptable',
        `Bulk data is given as ${OCTET_STREAM}, alone or in multipart/related`,
      );
    const bytes = isPixels
      ? pixelValue(parts, object, object.pixel!)
      : await headerValue(parts, object, path);
    if (isUnchanged(ctx, 'equivalent', 'bulk', object.contentHash, path, range.type)) return;
    await discloseBulkData(ctx, parts, object);
    const type = `${OCTET_STREAM}; transfer-syntax=${isPixels && syntax.encapsulated ? object.transferSyntax : EXPLICIT_LE}`;
    if (!range.type.startsWith('multipart/')) {
      await stream(ctx, parts.log, { type, bytes });
      return;
    }
    async function* one() {
      yield { contentType: type, body: bytes };
    }
    const { contentType, body } = writeMultipart(OCTET_STREAM, one());
    await stream(ctx, parts.log, { type: contentType, bytes: body });
  };
}

/** Encapsulated Pixel Data: each frame a part, as from …/frames. */
async function answerFrames(
  ctx: Context,
  parts: FrameParts,
  object: StoredObject,
  accepted: readonly AcceptedType[],
): Promise<void> {
  const base = serviceUrl(ctx, parts.publicUrl);
  const form = chooseFrames(object.transferSyntax, accepted, false);
  const image = await (form.bytes === 'decoded' ? readImage(parts, object) : locateFrames(parts, object));
  if (isUnchanged(ctx, 'equivalent', 'bulk', object.contentHash, base, JSON.stringify(form))) return;
  await discloseBulkData(ctx, parts, object);
  const numbers = image.frames.map((_, index) => index + 1);
  const url = `${instanceUrl(base, object)}/frames`;
  const { contentType, body } = writeMultipart(
    form.mediaType,
    framesAsParts(parts, object, image, numbers, form, url),
  );
  await stream(ctx, parts.log, { type: contentType, bytes: body });
}

function discloseBulkData(ctx: Context, parts: FrameParts, object: StoredObject): Promise<void> {
  const { studyUid, seriesUid, sopUid } = object;
  return disclose(ctx, parts.database, {
    channel: 'wado',
    studyUid,
    seriesUid,
    sopUid,
    instances: 1,
    detail: { what: 'bulkdata' },
  });
}

/** MPEG, H.264 and HEVC (PS3.5 A.4.5 to A.4.9): one stream over all frames, so it is given whole. */
const isVideo = (transferSyntaxUid: string): boolean =>
  /^1\.2\.840\.10008\.1\.2\.4\.10\d(\.\d)?$/.test(transferSyntaxUid);

/** Native Pixel Data, or the fragments of an encapsulated stream without their headers. */
async function* pixelValue(
  parts: FrameParts,
  object: StoredObject,
  pixel: PixelLocation,
): AsyncGenerator<Uint8Array> {
  if (!pixel.encapsulated) {
    yield* littleEndian(parts, object, pixel);
    return;
  }
  if (!pixel.fragments)
    throw new Failure('unsupported', 'The stream has more fragments than are kept in mind');
  for (const [index, offset] of pixel.fragments.offsets.entries())
    yield* readDataSet(parts.reader, object, { offset, length: pixel.fragments.lengths[index]! });
}

function isOctetStream(type: string, inner: string | undefined): boolean {
  const wanted = type.startsWith('multipart/') ? (inner ?? OCTET_STREAM).toLowerCase() : type;
  return covers({ type: wanted, parameters: new Map() }, OCTET_STREAM);
}

/** A value of any size, its words turned round piece by piece where they are big endian. */
async function* littleEndian(
  parts: FrameParts,
  object: StoredObject,
  { vr, offset, length = 0 }: { vr: string; offset: number; length: number | undefined },
): AsyncGenerator<Uint8Array> {
  const { bigEndian } = transferSyntax(object.transferSyntax);
  const size = wordSize(vr);
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of readDataSet(parts.reader, object, { offset, length })) {
    if (!bigEndian) {
      yield piece;
      continue;
    }
    const bytes = Buffer.concat([rest, piece]);
    const whole = bytes.length - (bytes.length % size);
    rest = bytes.subarray(whole);
    yield swapWords(bytes.subarray(0, whole), size);
  }
  if (rest.length > 0) yield rest;
}

async function headerValue(
  parts: FrameParts,
  object: StoredObject,
  path: string,
): Promise<AsyncIterable<Uint8Array>> {
  const { dataSet, longValues } = await readHeader(parts.reader, object);
  const long = longValues.get(path);
  if (long) return littleEndian(parts, object, long);
  const found = elementAt(dataSet, path);
  if (!found || found.element.items)
    throw new Failure('not-found', `${object.sopUid} has no binary value at that path`);
  const { value, vr } = found.element;
  const bytes = found.within.bigEndian ? swapWords(Buffer.from(value), wordSize(vr)) : value;
  return (async function* () {
    yield bytes;
  })();
}
