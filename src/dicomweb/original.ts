/**
 * GET /api/instances/SOPUID/original: the stored Part 10 file, byte for byte, whole or by a range (RFC 9110 14).
 * Bytes come from archive/read-object.ts and pass nothing on their way out.
 */
import type { Context } from 'koa';
import { findStoredObjects, findVersion, type StoredObject } from '../archive/stored-object.ts';
import { Failure } from '../failure.ts';
import { isUnchanged, type RetrieveParts } from './answer.ts';
import { answerByRange } from './byte-range.ts';
import { checkUid } from './qido-query.ts';

export function retrieveOriginal(parts: RetrieveParts) {
  return async (ctx: Context & { params: Record<string, string | undefined> }): Promise<void> => {
    const sopUid = ctx.params.instance ?? '';
    checkUid(sopUid, '00080018');
    const object = await versionAsked(parts, sopUid, ctx.query.version);
    if (isUnchanged(ctx, 'same', 'original', object.contentHash, object.length)) return;
    // A UID is digits and dots: safe as a file name and in the header.
    ctx.set('Content-Disposition', `attachment; filename="${sopUid}.dcm"`);
    const { studyUid, seriesUid } = object;
    await answerByRange(ctx, parts, {
      type: 'application/dicom',
      length: object.length,
      bytes: (range) => parts.reader.read(object, range, parts.buffers),
      disclosure: { channel: 'original', studyUid, seriesUid, sopUid, instances: 1 },
    });
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
