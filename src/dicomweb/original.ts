/**
 * GET /api/instances/SOPUID/original: the stored Part 10 file, byte for byte, whole or by a range (RFC 9110 14).
 * Bytes come from archive/read-object.ts and pass nothing on their way out.
 */
import type { Context } from 'koa';
import { findStoredObjects, findVersion, type StoredObject } from '../archive/stored-object.ts';
import { Failure } from '../failure.ts';
import { disclose, isUnchanged, type RetrieveParts, stream } from './answer.ts';
import { checkUid } from './qido-query.ts';
import { answerFailure } from './status.ts';

export function retrieveOriginal(parts: RetrieveParts) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const sopUid = ctx.params.instance ?? '';
    checkUid(sopUid, '00080018');
    const object = await versionAsked(parts, sopUid, ctx.query.version);
    if (isUnchanged(ctx, 'same', 'original', object.contentHash, object.length)) return;
    ctx.set('Accept-Ranges', 'bytes');
    const range = rangeOf(ctx.get('Range'), ctx.get('If-Range'), ctx.response.get('ETag'), object.length);
    if (range === 'outside') {
      ctx.set('Content-Range', `bytes */${object.length}`);
      answerFailure(ctx, 416, {
        kind: 'invalid',
        message: `The range lies outside the ${object.length} bytes of the file`,
      });
      return;
    }
    await disclose(ctx, parts.database, {
      channel: 'original',
      studyUid: object.studyUid,
      seriesUid: object.seriesUid,
      sopUid,
      instances: 1,
    });
    // A UID is digits and dots: safe as a file name and in the header.
    ctx.set('Content-Disposition', `attachment; filename="${sopUid}.dcm"`);
    await stream(ctx, parts.log, {
      type: 'application/dicom',
      length: range?.length ?? object.length,
      bytes: parts.reader.read(object, range),
    });
    if (!range) return;
    ctx.status = 206;
    ctx.set('Content-Range', `bytes ${range.offset}-${range.offset + range.length - 1}/${object.length}`);
  };
}

/** The current version, or the one that `version` names by its content hash. */
async function versionAsked(
  { database }: RetrieveParts,
  sopUid: string,
  version: string | string[] | undefined,
): Promise<StoredObject> {
  if (version !== undefined && (typeof version !== 'string' || !/^[0-9a-f]{64}$/.test(version)))
    throw new Failure(
      'invalid',
      'A version is named by its content hash: 64 hex digits, as /versions gives them',
    );
  const object =
    version === undefined
      ? (await findStoredObjects(database, { sopUid }, { limit: 1 }))[0]
      : await findVersion(database, { sopUid, contentHash: version });
  if (object) return object;
  const which = version === undefined ? '' : 'such version of an ';
  throw new Failure('not-found', `There is no ${which}instance ${sopUid}`);
}

/** One byte range; several, none, one that is no range, or one of an older file mean the whole. Pure. */
export function rangeOf(
  header: string,
  ifRange: string,
  etag: string,
  length: number,
): { offset: number; length: number } | 'outside' | undefined {
  if (ifRange !== '' && ifRange !== etag) return undefined;
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim()) ?? [];
  if (first === '' && last === '') return undefined;
  const from = first === '' ? Math.max(0, length - Number(last)) : Number(first);
  const to = first === '' || last === '' ? length - 1 : Math.min(Number(last), length - 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  return from > to ? 'outside' : { offset: from, length: to - from + 1 };
}
