/**
 * WADO-RS of rendered pictures and thumbnails (PS3.18 10.4.1.1.4): JPEG, PNG or WebP of an instance or its frames.
 * Frames are read as for frames.ts, then made to pictures by pixels/ in worker threads.
 */
import type { Context } from 'koa';
import { findRepresentative } from '../archive/each-stored-object.ts';
import { heldFrame } from '../archive/object-frames.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { Failure } from '../failure.ts';
import { isDecodable } from '../pixels/decodable.ts';
import { presentationOf } from '../pixels/presentation.ts';
import { acceptedBy, disclose, isUnchanged, serviceUrl, stream, targetOf } from './answer.ts';
import { type FrameParts, ofObject, readImage, renderingCost } from './frame-bytes.ts';
import { parseFrameList } from './frames.ts';
import { type OutgoingPart, writeMultipart } from './multipart-writer.ts';
import { chooseRendered, type RenderedType } from './negotiate.ts';
import { parseRenderedQuery, type RenderedQuery } from './rendered-query.ts';
import { findOne, instanceUrl, notFound } from './retrieve.ts';

type Params = { params: Record<string, string | undefined> };

/** Longest side of a thumbnail unless a viewport is asked for. */
const THUMBNAIL = 200;

/** GET of …/instances/{}/rendered (its first frame) and …/frames/{list}/rendered. */
export function retrieveRendered(parts: FrameParts) {
  return async (ctx: Context & Params): Promise<void> => {
    const target = targetOf(ctx);
    const numbers = parseFrameList(ctx.params.frames ?? '1');
    const query = parseRenderedQuery(new URLSearchParams(ctx.querystring));
    const type = chooseRendered(acceptedBy(ctx));
    await answerPictures(ctx, parts, await findOne(parts, target), { numbers, query, type });
  };
}

/** GET of …/thumbnail of a study, series, instance or frame. */
export function retrieveThumbnail(parts: FrameParts) {
  return async (ctx: Context & Params): Promise<void> => {
    const target = targetOf(ctx);
    const numbers = parseFrameList(ctx.params.frames ?? '1').slice(0, 1);
    const asked = parseRenderedQuery(new URLSearchParams(ctx.querystring));
    const query = { ...asked, viewport: asked.viewport ?? { width: THUMBNAIL, height: THUMBNAIL } };
    const type = chooseRendered(acceptedBy(ctx));
    const object =
      target.sopUid === undefined
        ? await findRepresentative(parts.database, target)
        : await findOne(parts, target);
    if (!object) throw notFound(target);
    await answerPictures(ctx, parts, object, { numbers, query, type });
  };
}

interface Pictures {
  readonly numbers: readonly number[];
  readonly query: RenderedQuery;
  readonly type: RenderedType;
}

async function answerPictures(
  ctx: Context,
  parts: FrameParts,
  object: StoredObject,
  { numbers, query, type }: Pictures,
): Promise<void> {
  if (!object.pixel)
    throw new Failure(
      'not-acceptable',
      `${object.sopUid} has no (7FE0,0010) PixelData: there is nothing to render`,
    );
  if (!isDecodable(object.transferSyntax))
    throw new Failure(
      'unsupported',
      `Images of transfer syntax ${object.transferSyntax} cannot be rendered here`,
    );
  if (isUnchanged(ctx, 'equivalent', 'rendered', object.contentHash, type, JSON.stringify([numbers, query])))
    return;
  const image = await readImage(parts, object);
  const picture = async (number: number): Promise<Uint8Array> => {
    const release = parts.budget.take(renderingCost(image, number));
    try {
      const frame = await heldFrame(parts, object, image, number);
      return await ofObject(() => {
        const presentation = presentationOf(image.header, number, image.pixel.signed);
        return parts.workers.render(image.pixel, frame, presentation, { ...query, type });
      });
    } finally {
      release();
    }
  };
  for (const number of numbers)
    if (number > image.frames.length)
      throw new Failure('not-found', `There is no frame ${number}: the instance has ${image.frames.length}`);
  const { studyUid, seriesUid, sopUid } = object;
  const disclosure = {
    channel: 'rendered',
    studyUid,
    seriesUid,
    sopUid,
    instances: 1,
    detail: { frames: numbers.length },
  } as const;
  if (numbers.length === 1) {
    if (ctx.method === 'HEAD') {
      ctx.set('Content-Type', type);
      return;
    }
    const bytes = await picture(numbers[0]!);
    await disclose(ctx, parts.database, disclosure);
    ctx.set('Content-Type', type);
    ctx.body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return;
  }
  await disclose(ctx, parts.database, disclosure);
  const url = `${instanceUrl(serviceUrl(ctx, parts.publicUrl), object)}/frames`;
  async function* pictures(): AsyncGenerator<OutgoingPart> {
    for (const number of numbers) {
      const bytes = await picture(number);
      yield {
        contentType: type,
        contentLocation: `${url}/${number}/rendered`,
        body: (async function* () {
          yield bytes;
        })(),
      };
    }
  }
  const { contentType, body } = writeMultipart(type, pictures());
  await stream(ctx, parts.log, { type: contentType, bytes: body });
}
