/**
 * WADO-URI (PS3.18 section 9): GET /wado?requestType=WADO&studyUID=…&seriesUID=…&objectUID=…, the older form that
 * information systems link to. Answers are those of WADO-RS for the same instance: retrieve.ts and rendered.ts give them.
 */
import type { Context } from 'koa';
import type { StoredObject } from '../archive/stored-object.ts';
import { Failure } from '../failure.ts';
import { imagePixelOfJson } from '../pixels/image-pixel.ts';
import type { FrameParts } from './frame-bytes.ts';
import { type AcceptedType, covers, parseAccept } from './media-type.ts';
import { chooseDicom } from './negotiate.ts';
import { answerRendered } from './rendered.ts';
import { answerInstances, findOne } from './retrieve.ts';
import { parseWadoUri, viewportOf, type WadoUriQuery } from './wado-uri-query.ts';

const DICOM = 'application/dicom';

/** GET of /wado. */
export function retrieveByUri(parts: FrameParts) {
  return async (ctx: Context): Promise<void> => {
    const query = parseWadoUri(new URLSearchParams(ctx.querystring));
    const accepted = query.contentTypes ?? parseAccept(ctx.get('Accept'));
    if (asksDicom(query, accepted)) {
      if (query.frameNumber !== undefined)
        throw new Failure('invalid', 'frameNumber is for pictures: application/dicom is the whole instance');
      const { transferSyntax } = query;
      const [whole] = parseAccept(
        transferSyntax === undefined ? DICOM : `${DICOM}; transfer-syntax=${transferSyntax}`,
      );
      await answerInstances(ctx, parts, query.target, chooseDicom([whole!], true));
      return;
    }
    if (query.transferSyntax !== undefined)
      throw new Failure('invalid', `transferSyntax is for contentType=${DICOM}`);
    const object = await findOne(parts, query.target);
    const viewport = viewportOf(query, sizeOf(object));
    await answerRendered(ctx, parts, object, {
      numbers: query.frameNumber === undefined ? undefined : [query.frameNumber],
      query: { ...query.rendered, ...(viewport && { viewport }) },
      // Nothing in parts comes by this way (9.1.2.2).
      accepted: accepted.filter(({ type }) => !type.startsWith('multipart/')),
    });
  };
}

/** DICOM where it is asked for before any picture; a client that says nothing gets what a browser shows. */
function asksDicom(query: WadoUriQuery, [first]: readonly AcceptedType[]): boolean {
  if (first?.type === DICOM) return true;
  return (
    query.contentTypes === undefined && query.transferSyntax !== undefined && (!first || covers(first, DICOM))
  );
}

function sizeOf(object: StoredObject): { rows: number; columns: number } {
  const pixel = imagePixelOfJson(object.attributes, object.transferSyntax);
  return { rows: pixel?.rows ?? 1, columns: pixel?.columns ?? 1 };
}
