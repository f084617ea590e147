/**
 * WADO-RS of frames (PS3.18 10.4.1.1.6): the stored bytes of each frame, bit for bit, or decoded by pixels/ where a
 * client takes nothing compressed. The bytes come from frame-bytes.ts.
 */
import type { Context } from 'koa';
import type { LocatedFrames } from '../archive/object-frames.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { Failure } from '../failure.ts';
import { acceptedBy, disclose, isUnchanged, serviceUrl, stream, targetOf } from './answer.ts';
import { type FrameParts, frameBytes, locateFrames, readImage } from './frame-bytes.ts';
import { type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseFrames, type FrameForm } from './negotiate.ts';
import { findOne, instanceUrl } from './retrieve.ts';

const MAX_FRAMES_ASKED = 10_000;

/** GET of …/frames/{list}. */
export function retrieveFrames(parts: FrameParts) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const target = targetOf(ctx);
    const numbers = parseFrameList(ctx.params.frames ?? '');
    const accepted = acceptedBy(ctx);
    const object = await findOne(parts, target);
    const form = chooseFrames(object.transferSyntax, accepted, numbers.length === 1);
    const image = await (form.bytes === 'decoded' ? readImage(parts, object) : locateFrames(parts, object));
    for (const number of numbers)
      if (number > image.frames.length)
        throw new Failure(
          'not-found',
          `There is no frame ${number}: the instance has ${image.frames.length} (frames are counted from 1)`,
        );
    const base = serviceUrl(ctx, parts.publicUrl);
    if (isUnchanged(ctx, 'equivalent', 'frames', object.contentHash, base, JSON.stringify([numbers, form])))
      return;
    await disclose(ctx, parts.database, {
      channel: 'wado',
      ...target,
      instances: 1,
      detail: { frames: numbers.length },
    });
    if (!form.multipart) {
      await stream(ctx, parts.log, {
        type: contentTypeOf(form),
        bytes: frameBytes(parts, object, image, numbers[0]!, form),
      });
      return;
    }
    const url = `${instanceUrl(base, object)}/frames`;
    const { contentType, body } = writeMultipart(
      form.mediaType,
      framesAsParts(parts, object, image, numbers, form, url),
    );
    await stream(ctx, parts.log, { type: contentType, bytes: body });
  };
}

/** Each frame a part, named by its own URL. */
export async function* framesAsParts(
  parts: FrameParts,
  object: StoredObject,
  image: LocatedFrames,
  numbers: Iterable<number>,
  form: FrameForm,
  url: string,
): AsyncGenerator<OutgoingPart> {
  for (const number of numbers)
    yield {
      contentType: contentTypeOf(form),
      contentLocation: `${url}/${number}`,
      body: frameBytes(parts, object, image, number, form),
    };
}

function contentTypeOf(form: FrameForm): string {
  return `${form.mediaType}; transfer-syntax=${form.transferSyntax}`;
}

/** @throws Failure 'invalid' unless it is whole numbers from 1 up, separated by commas */
export function parseFrameList(text: string): number[] {
  const pieces = text.split(',');
  if (pieces.length > MAX_FRAMES_ASKED)
    throw new Failure('invalid', `More than ${MAX_FRAMES_ASKED} frames are asked for at once`);
  return pieces.map((piece) => {
    if (!/^[1-9]\d{0,8}$/.test(piece.trim()))
      throw new Failure('invalid', 'A frame list is whole numbers from 1 up, separated by commas');
    return Number(piece);
  });
}
