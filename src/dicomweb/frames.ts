/**
 * WADO-RS of frames (PS3.18 10.4.1.1.6): the stored bytes of each frame, bit for bit, or decoded by pixels/ where a
 * client takes nothing compressed. The bytes come from frame-bytes.ts.
 */
import type { Context } from 'koa';
import type { ObjectVersion } from '../archive/disclosure-log.ts';
import type { RememberedObject } from '../archive/find-object.ts';
import { checkHasFrame, type LocatedFrames } from '../archive/object-frames.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { Failure } from '../failure.ts';
import { acceptedBy, disclose, isUnchanged, serviceUrl, stream, targetOf } from './answer.ts';
import { answerByRange } from './byte-range.ts';
import { type FrameParts, frameBytes, locateFrames, readImage, storedLength } from './frame-bytes.ts';
import { type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseFrames, type FrameForm } from './negotiate.ts';
import { findOne, instanceUrl } from './retrieve.ts';

/** As many fit the longest request line that is read (16 KB). */
const MAX_FRAMES_ASKED = 5_000;

/** GET of …/frames/{list}. */
export function retrieveFrames(parts: FrameParts) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const target = targetOf(ctx);
    const numbers = parseFrameList(ctx.params.frames ?? '');
    const accepted = acceptedBy(ctx);
    const answer = async (object: StoredObject, stillAt?: ObjectVersion): Promise<boolean> => {
      const form = chooseFrames(object.transferSyntax, accepted, numbers.length === 1);
      const image = await imageFor(parts, object, form);
      for (const number of numbers) checkHasFrame(image, number);
      const detail = { frames: numbers.length };
      return answerFrames(ctx, parts, { object, image, numbers, form, detail, stillAt });
    };
    const remembered = endsInBytes(ctx)
      ? parts.finder.remembered({ ...target, sopUid: target.sopUid ?? '' })
      : undefined;
    if (remembered && (await answerRemembered(remembered, answer))) return;
    await answer(await findOne(parts, target));
  };
}

/** Whether an answer that goes well is one that is disclosed, and not a 304, 416 or a head without bytes. */
const endsInBytes = (ctx: Context): boolean =>
  ctx.method === 'GET' && ctx.get('If-None-Match') === '' && ctx.get('Range') === '';

/**
 * Answers from what is remembered; the disclosure record is only written if that still stands.
 * @returns false when nothing was answered: what failed may have failed because it stands no more
 */
async function answerRemembered(
  { object, version }: RememberedObject,
  answer: (object: StoredObject, stillAt: ObjectVersion) => Promise<boolean>,
): Promise<boolean> {
  try {
    return await answer(object, { objectId: object.id, version });
  } catch (thrown) {
    // Asked again with the rows as they are now, a failure that is real comes again.
    if (thrown instanceof Failure) return false;
    throw thrown;
  }
}

/** Where the frames lie, with what the form needs beside. @throws Failure of locateFrames */
export function imageFor(parts: FrameParts, object: StoredObject, form: FrameForm): Promise<LocatedFrames> {
  return form.bytes === 'decoded' ? readImage(parts, object) : locateFrames(parts, object);
}

export interface FramesAnswer {
  readonly object: StoredObject;
  readonly image: LocatedFrames;
  readonly numbers: readonly number[];
  readonly form: FrameForm;
  /** For the disclosure record. */
  readonly detail: Record<string, unknown>;
  /** What the object must still be, where it was only remembered. */
  readonly stillAt?: ObjectVersion | undefined;
}

/**
 * The frames in the form chosen; a single stored one by ranges too.
 * @returns false when nothing was answered, because the object has changed
 */
export async function answerFrames(
  ctx: Context,
  parts: FrameParts,
  { object, image, numbers, form, detail, stillAt }: FramesAnswer,
): Promise<boolean> {
  const base = serviceUrl(ctx, parts.publicUrl);
  const sameness = form.multipart ? 'equivalent' : 'same';
  const key = JSON.stringify([numbers, form]);
  if (isUnchanged(ctx, sameness, 'frames', object.contentHash, form.multipart ? base : '', key)) return true;
  const { studyUid, seriesUid, sopUid } = object;
  const disclosure = { channel: 'wado', studyUid, seriesUid, sopUid, instances: 1, detail } as const;
  const [number = 1] = numbers;
  if (!form.multipart && form.bytes === 'stored') {
    return answerByRange(ctx, parts, {
      type: contentTypeOf(form),
      length: storedLength(image, number),
      bytes: (range) => frameBytes(parts, object, image, number, form, range),
      disclosure,
      stillAt,
    });
  }
  const disclosed = disclose(ctx, parts.disclosures, disclosure, stillAt);
  if (!form.multipart) {
    const bytes = frameBytes(parts, object, image, number, form);
    return stream(ctx, parts, { type: contentTypeOf(form), bytes, disclosed });
  }
  const url = `${instanceUrl(base, object)}/frames`;
  const each = numbers.map(
    (one): OutgoingPart => ({
      contentType: contentTypeOf(form),
      contentLocation: `${url}/${one}`,
      body: frameBytes(parts, object, image, one, form),
      ...(form.bytes === 'stored' && { length: storedLength(image, one) }),
    }),
  );
  const { contentType, body, length } = writeMultipart(form.mediaType, each);
  return stream(ctx, parts, {
    type: contentType,
    ...(length !== undefined && { length }),
    bytes: body,
    disclosed,
  });
}

function contentTypeOf(form: FrameForm): string {
  return `${form.mediaType}; transfer-syntax=${form.transferSyntax}`;
}

/** @throws Failure 'invalid' unless it is whole numbers from 1 up, separated by commas */
export function parseFrameList(text: string): number[] {
  const pieces = text.split(',');
  if (pieces.length > MAX_FRAMES_ASKED)
    throw new Failure('too-large', `More than ${MAX_FRAMES_ASKED} frames are asked for at once`);
  return pieces.map((piece) => {
    if (!/^[1-9]\d{0,8}$/.test(piece.trim()))
      throw new Failure('invalid', 'A frame list is whole numbers from 1 up, separated by commas');
    return Number(piece);
  });
}
