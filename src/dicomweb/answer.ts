/**
 * What the DICOMweb resources share in answering: what the client accepts, validators and 304, and the disclosure record
 * that precedes the first byte. Bytes go on to send-pieces.ts.
 */
import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import type { Database } from '../archive/database/database.ts';
import type { Disclosure } from '../archive/disclosure.ts';
import type { DisclosureLog, ObjectVersion } from '../archive/disclosure-log.ts';
import type { ObjectFinder } from '../archive/find-object.ts';
import type { PieceBuffers } from '../archive/object-store/piece-buffers.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { Log } from '../log.ts';
import { type AcceptedType, parseAccept } from './media-type.ts';
import { checkUid } from './qido-query.ts';
import { sendPieces } from './send-pieces.ts';

/** What every retrieving resource is made with. */
export interface RetrieveParts {
  readonly database: Database;
  readonly reader: ObjectReader;
  readonly finder: ObjectFinder;
  readonly disclosures: DisclosureLog;
  /** For bytes on their way out. */
  readonly buffers: PieceBuffers;
  /** Where clients reach us, without trailing slash; undefined: as the request says. */
  readonly publicUrl: string | undefined;
  readonly log: Log;
}

export interface Target {
  readonly studyUid: string;
  readonly seriesUid?: string;
  readonly sopUid?: string;
}

/** The UIDs of the path. @throws Failure 'invalid' naming the one that is none */
export function targetOf(ctx: Context & { params: Record<string, string | undefined> }): Target {
  const { study = '', series, instance } = ctx.params;
  checkUid(study, '0020000D');
  if (series !== undefined) checkUid(series, '0020000E');
  if (instance !== undefined) checkUid(instance, '00080018');
  return {
    studyUid: study,
    ...(series !== undefined && { seriesUid: series }),
    ...(instance !== undefined && { sopUid: instance }),
  };
}

/** The `accept` parameter of the query goes before the header (PS3.18 8.3.3.1): browsers cannot set the header. */
export function acceptedBy(ctx: Context): AcceptedType[] {
  const parameter = new URLSearchParams(ctx.querystring).get('accept');
  // RFC 3986 lets a "+" stand in a query string as it is, and reading it as a form makes a space of it.
  return parseAccept(parameter?.replace(/(?<=\w) (?=\w)/g, '+') ?? ctx.get('Accept'));
}

/** The base of the URLs in answers. */
export function serviceUrl(ctx: Context, publicUrl: string | undefined): string {
  return `${publicUrl ?? `${ctx.protocol}://${ctx.host}`}/dicom-web`;
}

/**
 * Sets the validator of an answer made of these values; true when the client has that answer already, and the
 * status is 304 then. Patient data is kept by nobody in between, and asked for again each time.
 * @param bytes 'same' when equal values mean equal bytes; multipart bodies differ in their boundary
 */
export function isUnchanged(
  ctx: Context,
  bytes: 'same' | 'equivalent',
  ...values: (string | number | Buffer)[]
): boolean {
  const hash = createHash('sha256');
  for (const value of values) hash.update(typeof value === 'number' ? String(value) : value).update('\0');
  ctx.status = 200;
  ctx.set('Cache-Control', 'private, no-cache');
  ctx.vary('Accept');
  const etag = `"${hash.digest('base64url').slice(0, 27)}"`;
  ctx.set('ETag', bytes === 'same' ? etag : `W/${etag}`);
  if (!namesEtag(ctx.get('If-None-Match'), etag)) return false;
  ctx.status = 304;
  return true;
}

/**
 * RFC 9110 13.1.2. Not Koa's ctx.fresh: that gives way to Cache-Control: no-cache, which fetch adds by itself to
 * every request with a validator of the caller's own.
 */
function namesEtag(header: string, etag: string): boolean {
  return header
    .split(',')
    .map((one) => one.trim().replace(/^W\//, ''))
    .some((one) => one === etag || one === '*');
}

/**
 * Writes the disclosure record of this request; HEAD lets nothing out.
 * @returns false, with nothing recorded, when the object is no longer of the version it is to be
 * @throws Failure 'unavailable'
 */
export async function disclose(
  ctx: Context,
  disclosures: DisclosureLog,
  what: Omit<Disclosure, 'recipient' | 'address'>,
  stillAt?: ObjectVersion,
): Promise<boolean> {
  if (ctx.method === 'HEAD') return true;
  const actor = ctx.state.actor as { name: string; address: string } | undefined;
  const recipient = actor?.name ?? 'anonymous';
  return disclosures.record({ ...what, recipient, address: actor?.address ?? ctx.ip }, stillAt);
}

/**
 * Sends bytes as the answer. The first piece is awaited, so that a failure before it still gets its status;
 * a later one cuts the connection, which is the only way left to say that the answer is not whole.
 * @returns false when nothing was answered, because nothing was disclosed
 */
export async function stream(
  ctx: Context,
  { log, buffers }: Pick<RetrieveParts, 'log' | 'buffers'>,
  answer: {
    type: string;
    length?: number;
    /** Of a part of the whole: 206. */
    contentRange?: string;
    /** Some of what was asked for is not in it (PS3.18 10.4.3): 206. */
    isPartial?: boolean;
    bytes: AsyncIterable<Uint8Array>;
    /** Settles before the first byte leaves; when it is false, none does. */
    disclosed?: Promise<boolean>;
  },
): Promise<boolean> {
  const iterator = answer.bytes[Symbol.asyncIterator]();
  let begun: IteratorResult<Uint8Array> | undefined;
  try {
    const first = ctx.method === 'HEAD' ? undefined : iterator.next();
    const [piece, isDisclosed] = await Promise.all([first, answer.disclosed]);
    if (isDisclosed === false) {
      await iterator.return?.();
      return false;
    }
    begun = piece;
  } catch (thrown) {
    await iterator.return?.();
    throw thrown;
  }
  ctx.status = answer.contentRange !== undefined || answer.isPartial ? 206 : 200;
  if (answer.contentRange !== undefined) ctx.set('Content-Range', answer.contentRange);
  ctx.set('Content-Type', answer.type);
  if (answer.length !== undefined) ctx.length = answer.length;
  if (!begun) {
    await iterator.return?.();
    return true;
  }
  // From here on the answer is not Koa's: it would make a stream of what is pieces already.
  ctx.respond = false;
  try {
    await sendPieces(ctx.res, buffers, { begun, rest: iterator, length: answer.length });
  } catch (thrown) {
    log.error({ err: thrown, route: ctx.routerPath }, 'an answer broke off after its first byte');
    ctx.res.destroy();
  }
  return true;
}
