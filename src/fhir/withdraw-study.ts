/**
 * Tells the EHR that a study it knows from us was deleted: its ImagingStudy stays, since reports may point at it, and
 * says `cancelled`, without our Endpoint. Called by link-study.ts where the index has the study no more; the next time
 * it arrives it is linked as any other.
 */
import { createHash } from 'node:crypto';
import { ensureEndpoint, knownEndpoint } from './link-endpoint.ts';
import type { Claim, LinkOutcome } from './link-ledger.ts';
import { withdrawnImagingStudy } from './merge-imaging-study.ts';
import { type WriteParts, writeImagingStudy } from './write-imaging-study.ts';

/** Of what we say of a study that is gone: once said, it is not said again. */
const SAID = createHash('sha256').update('withdrawn').digest();

/** @throws the client's Failures */
export async function withdrawStudy(
  parts: WriteParts & { publicUrl: () => string },
  claim: Pick<Claim, 'studyUid' | 'contentHash' | 'resourceId' | 'versionId'>,
): Promise<LinkOutcome> {
  const outcome = (resourceId?: string, versionId?: string): LinkOutcome => ({
    state: 'linked',
    resourceId,
    versionId,
    contentHash: SAID,
    reason:
      resourceId === undefined
        ? 'The study was deleted; the EHR has no ImagingStudy of ours.'
        : 'The study was deleted; its ImagingStudy does not point to us any more.',
  });
  if (claim.contentHash?.equals(SAID))
    return outcome(claim.resourceId ?? undefined, claim.versionId ?? undefined);
  const { database, client } = parts;
  const endpoint =
    claim.resourceId === null
      ? await knownEndpoint(database, client)
      : await ensureEndpoint(database, client, parts.publicUrl());
  // What the EHR has of its own, or from another archive, is not ours to cancel.
  let isOurs = false;
  const written = await writeImagingStudy(parts, claim.studyUid, {
    merge: (existing) => {
      isOurs =
        (claim.resourceId !== null && existing.id === claim.resourceId) ||
        (endpoint !== undefined &&
          existing.endpoint?.some(({ reference }) => reference === endpoint) === true);
      return isOurs ? withdrawnImagingStudy(existing, endpoint) : existing;
    },
    instances: 0,
  });
  if (written === 'absent' || ('resourceId' in written && !isOurs)) return outcome();
  if ('reason' in written) return { state: 'parked', reason: written.reason };
  return outcome(written.resourceId, written.versionId);
}
