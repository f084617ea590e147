/**
 * WADO-RS of rendered resources and thumbnails (PS3.18 10.4.1.1.4, 8.7.4): images as JPEG, PNG, WebP or GIF, structured
 * reports as HTML, encapsulated documents as themselves; of one instance, or of all of a study or series in parts.
 * Pictures are made by picture.ts, pages by report-html.ts.
 */
import type { Context } from 'koa';
import { countInstances, eachStoredObject, findRepresentative } from '../archive/each-stored-object.ts';
import { checkHasFrame, type LocatedFrames } from '../archive/object-frames.ts';
import { readHeader } from '../archive/read-header.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { Failure } from '../failure.ts';
import { isDecodable } from '../pixels/decodable.ts';
import { acceptedBy, disclose, isUnchanged, serviceUrl, stream, type Target, targetOf } from './answer.ts';
import { answerByRange } from './byte-range.ts';
import { type EncapsulatedDocument, encapsulatedDocument, isDocument } from './encapsulated-document.ts';
import { type FrameParts, readImage } from './frame-bytes.ts';
import { parseFrameList } from './frames.ts';
import type { AcceptedType } from './media-type.ts';
import { type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseRendered, type RenderedForm } from './negotiate.ts';
import { checkIsPicture, movingPicture, type PictureType, picture } from './picture.ts';
import { parseRenderedQuery, type RenderedQuery } from './rendered-query.ts';
import { REPORT_POLICY, reportHtml } from './report-html.ts';
import { findOne, instanceUrl, notFound, studyVersion } from './retrieve.ts';

type Params = { params: Record<string, string | undefined> };

export const PICTURES: readonly PictureType[] = ['image/jpeg', 'image/png', 'image/webp', 'image/gif'];
export const HTML = 'text/html';
/** Longest side of a thumbnail unless a viewport is asked for. */
const THUMBNAIL = 200;
/** Of one instance in one answer: an object of bits can say that it has a thousand million. */
const MAX_FRAMES = 100_000;

/** GET of …/rendered of a study, series or instance, and of …/frames/{list}/rendered. */
export function retrieveRendered(parts: FrameParts) {
  return async (ctx: Context & Params): Promise<void> => {
    const target = targetOf(ctx);
    const numbers = ctx.params.frames === undefined ? undefined : parseFrameList(ctx.params.frames);
    const query = parseRenderedQuery(new URLSearchParams(ctx.querystring));
    const accepted = acceptedBy(ctx);
    if (target.sopUid === undefined) {
      await answerAll(ctx, parts, target, { query, accepted });
      return;
    }
    await answerRendered(ctx, parts, await findOne(parts, target), { numbers, query, accepted });
  };
}

/** GET of …/thumbnail of a study, series, instance or frame. */
export function retrieveThumbnail(parts: FrameParts) {
  return async (ctx: Context & Params): Promise<void> => {
    const target = targetOf(ctx);
    const numbers = parseFrameList(ctx.params.frames ?? '1').slice(0, 1);
    const asked = parseRenderedQuery(new URLSearchParams(ctx.querystring));
    const query = { ...asked, viewport: asked.viewport ?? { width: THUMBNAIL, height: THUMBNAIL } };
    const { type } = chooseRendered(acceptedBy(ctx), PICTURES, true);
    const object =
      target.sopUid === undefined
        ? await findRepresentative(parts.database, target)
        : await findOne(parts, target);
    if (!object) throw await noPicture(parts, target);
    await answerPictures(ctx, parts, object, { numbers, query, form: { type, multipart: false } });
  };
}

export interface RenderedAsked {
  /** Undefined: the instance as such. */
  readonly numbers: readonly number[] | undefined;
  readonly query: RenderedQuery;
  readonly accepted: readonly AcceptedType[];
}

/** One instance, as what it is. */
export async function answerRendered(
  ctx: Context,
  parts: FrameParts,
  object: StoredObject,
  { numbers, query, accepted }: RenderedAsked,
): Promise<void> {
  if (numbers === undefined && isReport(object)) {
    await answerReport(ctx, parts, object, chooseRendered(accepted, [HTML], true));
    return;
  }
  if (numbers === undefined && isDocument(object)) {
    const document = await encapsulatedDocument(parts, object);
    await answerDocument(ctx, parts, object, document, chooseRendered(accepted, [document.type], true));
    return;
  }
  checkIsPicture(object);
  const form = chooseRendered(accepted, PICTURES, (numbers?.length ?? 1) === 1 || takesGif(accepted));
  await answerPictures(ctx, parts, object, { numbers, query, form });
}

/** Several frames make one GIF, where that is what is wanted most. */
function takesGif(accepted: readonly AcceptedType[]): boolean {
  return accepted[0]?.type === 'image/gif';
}

function isReport({ sopClass, pixel }: StoredObject): boolean {
  return !pixel && sopClass.startsWith('1.2.840.10008.5.1.4.1.1.88.');
}

async function answerReport(
  ctx: Context,
  parts: FrameParts,
  object: StoredObject,
  form: RenderedForm,
): Promise<void> {
  const sameness = form.multipart ? 'equivalent' : 'same';
  if (isUnchanged(ctx, sameness, 'report', object.contentHash, String(form.multipart))) return;
  const bytes = reportBytes(parts, object);
  const disclosed = disclose(ctx, parts.disclosures, disclosureOf(object));
  ctx.set('Content-Security-Policy', REPORT_POLICY);
  await sendOne(ctx, parts, form, bytes, disclosed);
}

async function* reportBytes(parts: FrameParts, object: StoredObject): AsyncGenerator<Uint8Array> {
  yield Buffer.from(reportHtml((await readHeader(parts.reader, object)).dataSet));
}

async function answerDocument(
  ctx: Context,
  parts: FrameParts,
  object: StoredObject,
  document: EncapsulatedDocument,
  form: RenderedForm,
): Promise<void> {
  const sameness = form.multipart ? 'equivalent' : 'same';
  if (isUnchanged(ctx, sameness, 'document', object.contentHash, String(form.multipart))) return;
  // What a sender wrote runs nothing here. A policy can keep browsers' own viewers from showing PDF, and adds nothing.
  if (document.type === 'application/pdf') ctx.remove('Content-Security-Policy');
  else ctx.set('Content-Security-Policy', `${REPORT_POLICY}; sandbox`);
  const disclosure = disclosureOf(object);
  if (!form.multipart) {
    ctx.set('Content-Disposition', `inline; filename="${object.sopUid}.${document.extension}"`);
    await answerByRange(ctx, parts, { ...document, disclosure });
    return;
  }
  await sendOne(ctx, parts, form, document.bytes(), disclose(ctx, parts.disclosures, disclosure));
}

async function sendOne(
  ctx: Context,
  parts: FrameParts,
  { type, multipart }: RenderedForm,
  bytes: AsyncIterable<Uint8Array>,
  disclosed: Promise<boolean>,
): Promise<void> {
  const contentType = type === HTML ? `${HTML}; charset=utf-8` : type;
  if (!multipart) {
    await stream(ctx, parts, { type: contentType, bytes, disclosed });
    return;
  }
  async function* one(): AsyncGenerator<OutgoingPart> {
    yield { contentType, body: bytes };
  }
  await sendParts(ctx, parts, type, one(), disclosed);
}

interface Pictures {
  readonly numbers: readonly number[] | undefined;
  readonly query: RenderedQuery;
  readonly form: RenderedForm;
}

/**
 * Frames of one instance: those asked for, or of an instance as such its first one as a still picture, all of them as
 * a GIF, and all of them in parts.
 */
export async function answerPictures(
  ctx: Context,
  parts: FrameParts,
  object: StoredObject,
  { numbers: asked, query, form }: Pictures,
): Promise<void> {
  checkIsPicture(object);
  const type = form.type as PictureType;
  const key = JSON.stringify([asked ?? null, query, form]);
  if (isUnchanged(ctx, form.multipart ? 'equivalent' : 'same', 'rendered', object.contentHash, key)) return;
  const image = await readImage(parts, object);
  const wantsAll = type === 'image/gif' || form.multipart;
  const numbers = asked ?? (wantsAll ? allOf(image) : [1]);
  for (const number of numbers) checkHasFrame(image, number);
  const disclosure = { ...disclosureOf(object), detail: { frames: numbers.length } };
  const disclosed = disclose(ctx, parts.disclosures, disclosure);
  if (!form.multipart) {
    ctx.set('Content-Type', type);
    if (ctx.method === 'HEAD') return;
    const making =
      type === 'image/gif' && numbers.length > 1
        ? movingPicture(parts, object, image, { numbers, query })
        : picture(parts, object, image, numbers[0]!, { type, query });
    const [bytes] = await Promise.all([making, disclosed]);
    ctx.body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    ctx.set('Content-Type', type);
    return;
  }
  const url = `${instanceUrl(serviceUrl(ctx, parts.publicUrl), object)}/frames`;
  async function* each(): AsyncGenerator<OutgoingPart> {
    for (const number of numbers) {
      const make = () => picture(parts, object, image, number, { type, query });
      yield picturePart(type, `${url}/${number}`, make);
    }
  }
  await sendParts(ctx, parts, type, each(), disclosed);
}

/** The numbers of all frames. @throws Failure 'too-large' for more than are made at once */
function allOf({ frames: { length } }: LocatedFrames): number[] {
  if (length > MAX_FRAMES)
    throw new Failure(
      'too-large',
      `Pictures of more than ${MAX_FRAMES} frames are not made at once: ask for some by their numbers`,
    );
  return Array.from({ length }, (_, index) => index + 1);
}

/** All images of a study or series, in parts: of each its first frame, or as GIF the whole of it. */
async function answerAll(
  ctx: Context,
  parts: FrameParts,
  target: Target,
  { query, accepted }: { query: RenderedQuery; accepted: readonly AcceptedType[] },
): Promise<void> {
  const form = chooseRendered(accepted, PICTURES, false);
  const type = form.type as PictureType;
  const base = serviceUrl(ctx, parts.publicUrl);
  const [version, representative] = await Promise.all([
    studyVersion(parts, target),
    findRepresentative(parts.database, target),
  ]);
  if (!representative) throw await noPicture(parts, target);
  const key = JSON.stringify([target, query, form]);
  if (isUnchanged(ctx, 'equivalent', 'rendered', version, base, key)) return;
  await parts.reader.hasAll(target);
  const disclosed = disclose(ctx, parts.disclosures, { channel: 'rendered', ...target, detail: { type } });
  async function* each(): AsyncGenerator<OutgoingPart> {
    for await (const object of eachStoredObject(parts.database, target)) {
      // Reports, documents, video: there is no picture of them.
      if (!object.pixel || !isDecodable(object.transferSyntax)) continue;
      const make = () => pictureOfInstance(parts, object, type, query);
      yield picturePart(type, instanceUrl(base, object), make);
    }
  }
  await sendParts(ctx, parts, type, each(), disclosed);
}

/** Why there is no picture of a study or series: it is not here, or holds reports, documents and video alone. */
async function noPicture(parts: FrameParts, target: Target): Promise<Failure> {
  const { instances } = await countInstances(parts.database, target);
  if (instances === 0) return notFound(target);
  return new Failure(
    'not-acceptable',
    `None of the ${instances} instances of ${target.seriesUid ? 'this series' : 'this study'} is an image that can be ` +
      'rendered; reports and documents are rendered one by one, at …/instances/{uid}/rendered',
  );
}

async function pictureOfInstance(
  parts: FrameParts,
  object: StoredObject,
  type: PictureType,
  query: RenderedQuery,
): Promise<Uint8Array> {
  const image = await readImage(parts, object);
  if (type === 'image/gif' && image.frames.length > 1) {
    return movingPicture(parts, object, image, { numbers: allOf(image), query });
  }
  return picture(parts, object, image, 1, { type, query });
}

/** @param resource the URL of what is rendered */
function picturePart(type: PictureType, resource: string, make: () => Promise<Uint8Array>): OutgoingPart {
  async function* made(): AsyncGenerator<Uint8Array> {
    yield await make();
  }
  return { contentType: type, contentLocation: `${resource}/rendered`, body: made() };
}

async function sendParts(
  ctx: Context,
  parts: FrameParts,
  type: string,
  each: AsyncIterable<OutgoingPart>,
  disclosed: Promise<boolean>,
): Promise<void> {
  const { contentType, body } = writeMultipart(type, each);
  await stream(ctx, parts, { type: contentType, bytes: body, disclosed });
}

function disclosureOf({ studyUid, seriesUid, sopUid }: StoredObject) {
  return { channel: 'rendered', studyUid, seriesUid, sopUid, instances: 1 } as const;
}
