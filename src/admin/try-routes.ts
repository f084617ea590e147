/**
 * POST /api/rules/try: what a draft rule would do with an uploaded object, a stored study or the last days, over HTTP.
 * Mounted by routes.ts; routing/try-rule.ts decides. Each try-out is on record before its answer leaves: a condition
 * that asks for a name tells who asks where it matched.
 */
import type Router from '@koa/router';
import type { Context } from 'koa';
import type { Database } from '../archive/database/database.ts';
import { recordDisclosure } from '../archive/disclosure.ts';
import { parseMediaType } from '../dicomweb/media-type.ts';
import { checkBoundary, parseMultipart } from '../dicomweb/multipart-parser.ts';
import { Failure } from '../failure.ts';
import type { Ask, TriedHeader, TryOut } from '../routing/try-rule.ts';
import { readHead, uploadedHeader } from './uploaded-header.ts';

export interface TryRoutesParts {
  database: Database;
  tryOut: TryOut;
}

const MOST_JSON_BYTES = 1024 * 1024;
const MOST_PARTS = 10;
/** Each holds a header in memory. */
const MOST_READ_AT_ONCE = 4;

export function addTryRoutes(router: Router, { database, tryOut }: TryRoutesParts): void {
  let reading = 0;

  async function read(ctx: Context): Promise<{ json: unknown; uploaded: TriedHeader | undefined }> {
    if (reading >= MOST_READ_AT_ONCE)
      throw new Failure('unavailable', `${MOST_READ_AT_ONCE} try-outs are read already; ask again soon`, {
        retryAfterS: 5,
      });
    reading++;
    try {
      return await readBody(ctx);
    } finally {
      reading--;
    }
  }

  router.post('/rules/try', async (ctx) => {
    const { json, uploaded } = await read(ctx);
    const ask = tryOut.parse(json);
    const asked = [uploaded, ask.study, ask.days].filter((one) => one !== undefined);
    if (asked.length !== 1)
      throw new Failure(
        'invalid',
        'A try-out needs one of these: an object in the body, "study" with a Study Instance UID, or "days"',
      );
    const gone = new AbortController();
    ctx.res.once('close', () => gone.abort());
    const answer = await answerOf(tryOut, ask, uploaded, gone.signal);
    const actor = ctx.state.actor as { name: string; address: string } | undefined;
    await recordDisclosure(database, {
      channel: 'api',
      recipient: actor?.name ?? 'anonymous',
      address: actor?.address ?? ctx.ip,
      ...(ask.study !== undefined && { studyUid: ask.study }),
      detail: {
        action: 'rules-tried',
        of: uploaded ? 'object' : ask.study === undefined ? 'days' : 'study',
        ...(ask.days !== undefined && { days: ask.days }),
        ...(ask.replaces !== undefined && { replaces: ask.replaces }),
        draft: ask.rule !== undefined,
      },
    });
    ctx.set('Cache-Control', 'no-store');
    ctx.body = answer;
  });
}

async function answerOf(
  tryOut: TryOut,
  ask: Ask,
  uploaded: TriedHeader | undefined,
  gone: AbortSignal,
): Promise<object> {
  if (uploaded) return tryOut.header(ask, uploaded);
  if (ask.study !== undefined) return tryOut.study(ask, ask.study, gone);
  return tryOut.days(ask, ask.days ?? 1, gone);
}

async function readBody(ctx: Context): Promise<{ json: unknown; uploaded: TriedHeader | undefined }> {
  const media = parseMediaType(ctx.get('Content-Type'));
  // Turning away from the body must not cut the connection, on which the answer has to leave.
  const body: AsyncIterable<Buffer> = {
    [Symbol.asyncIterator]: () => ctx.req.iterator({ destroyOnReturn: false }),
  };
  if (media?.type === 'application/dicom') return { json: {}, uploaded: await uploadedHeader(body) };
  if (media?.type === 'application/json') return { json: await readJson(body), uploaded: undefined };
  if (!media?.type.startsWith('multipart/'))
    throw new Failure(
      'invalid',
      'The body is not one that this call takes: application/json, application/dicom, or multipart with both',
    );
  let json: unknown = {};
  let uploaded: TriedHeader | undefined;
  let parts = 0;
  for await (const part of parseMultipart(body, checkBoundary(media.parameters.get('boundary')))) {
    if (++parts > MOST_PARTS) throw new Failure('too-large', `The body has more than ${MOST_PARTS} parts`);
    const type = parseMediaType(part.headers.get('content-type') ?? '')?.type;
    const isAsk = /\bname="?ask"?/.test(part.headers.get('content-disposition') ?? '');
    if (type === 'application/json' || isAsk) json = await readJson(part.body);
    else if (uploaded)
      throw new Failure('invalid', 'The body holds more than one object: try them one by one');
    else uploaded = await uploadedHeader(part.body);
  }
  return { json, uploaded };
}

async function readJson(body: AsyncIterable<Uint8Array>): Promise<unknown> {
  const { head, length } = await readHead(body, MOST_JSON_BYTES);
  if (length > head.length)
    throw new Failure('too-large', `The try-out is longer than ${MOST_JSON_BYTES} bytes of JSON`);
  try {
    return JSON.parse(head.toString());
  } catch (cause) {
    throw new Failure('invalid', 'The body is not valid JSON', { cause });
  }
}
