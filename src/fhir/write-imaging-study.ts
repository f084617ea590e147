/**
 * Writes one ImagingStudy at the EHR safely: a search before everything, a conditional create, updates with If-Match,
 * and who reads again and merges again where somebody else wrote between. Called by link-study.ts and withdraw-study.ts.
 *
 * Servers have duplicated resources under concurrent conditional creates (HAPI among them), so there is one writer
 * per study (the lease), a search before every create, and If-None-Exist on top.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../archive/database/database.ts';
import { recordDisclosure } from '../archive/disclosure.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { type FhirClient, matches, token } from './fhir-client.ts';
import { forgetTold } from './link-ledger.ts';
import type { ImagingStudy } from './resource.ts';
import { isFhirId, studyIdentifier } from './uid-identifier.ts';

export interface WriteParts {
  database: Database;
  client: FhirClient;
  log: Log;
}

export interface Wish {
  /** What is to stand where the EHR has a resource; equal to it when there is nothing to say. Pure. */
  merge(existing: ImagingStudy): ImagingStudy;
  /** What is made where it has none; undefined: nothing. */
  create?: ImagingStudy;
  /** How many are disclosed. */
  instances: number;
}

export interface Written {
  resourceId: string;
  versionId: string | undefined;
}

/** Turns of read, merge and update before the EHR's other writers are given a rest. */
const MERGES = 3;

/**
 * @returns 'absent' where the EHR has none and none is to be made; a reason where it has several
 * @throws the client's Failures
 */
export async function writeImagingStudy(
  parts: WriteParts,
  studyUid: string,
  wish: Wish,
): Promise<Written | 'absent' | { reason: string }> {
  const { client } = parts;
  const { system, value } = studyIdentifier(studyUid);
  const query = { identifier: token(system, value) };
  let conflict: unknown;
  for (let turn = 1; turn <= MERGES; turn++) {
    const found = matches(
      await client.search<ImagingStudy>('ImagingStudy', { ...query, _count: '10' }),
      'ImagingStudy',
    ).filter((one) => one.identifier?.some((known) => known.system === system && known.value === value));
    if (found.length > 1) {
      parts.log.error(
        { study: studyUid, resources: found.length },
        'the EHR has several ImagingStudies of one study',
      );
      return {
        reason: `The EHR has several ImagingStudy resources with this (0020,000D) StudyInstanceUID: ${ids(found)}.`,
      };
    }
    if (!found[0] && !wish.create) return 'absent';
    try {
      const written = found[0]
        ? await update(parts, studyUid, found[0].id, wish)
        : await create(parts, studyUid, wish, query);
      if (written) return written;
    } catch (thrown) {
      // Somebody else wrote between our read and our write: read again and merge again.
      if (!(thrown instanceof Failure) || thrown.kind !== 'conflict') throw thrown;
      conflict = thrown;
    }
  }
  throw new Failure(
    'peer-unreachable',
    `${client.host} had other writers on this ImagingStudy ${MERGES} times.`,
    {
      cause: conflict,
    },
  );
}

/** @returns undefined when somebody else's resource was there first */
async function create(
  parts: WriteParts,
  studyUid: string,
  wish: Wish,
  query: Record<string, string>,
): Promise<Written | undefined> {
  if (!wish.create) return undefined;
  await disclose(parts, studyUid, { action: 'create', resource: 'ImagingStudy' }, wish.instances);
  const created = await parts.client.create(wish.create, query);
  if (created.status !== 201) return undefined;
  return { resourceId: idOf(created.id), versionId: created.versionId };
}

async function update(
  parts: WriteParts,
  studyUid: string,
  found: string | undefined,
  wish: Wish,
): Promise<Written> {
  const id = idOf(found);
  const current = await parts.client.read<ImagingStudy>('ImagingStudy', id);
  if (current.resource === undefined)
    throw new Failure('peer-refused', `${parts.client.host} gave an ImagingStudy without content.`);
  const merged = wish.merge(current.resource);
  if (isDeepStrictEqual(merged, current.resource)) return { resourceId: id, versionId: current.versionId };
  await disclose(parts, studyUid, { action: 'update', resource: 'ImagingStudy' }, wish.instances);
  await forgetTold(parts.database, studyUid);
  const updated = await parts.client.update(merged, current.versionId);
  return { resourceId: id, versionId: updated.versionId };
}

export async function disclose(
  parts: Pick<WriteParts, 'database' | 'client'>,
  studyUid: string,
  detail: { action: string; resource: string },
  instances?: number,
): Promise<void> {
  await recordDisclosure(parts.database, {
    channel: 'fhir',
    recipient: parts.client.host,
    studyUid,
    detail,
    ...(instances !== undefined && { instances }),
  });
}

function idOf(id: string | undefined): string {
  if (id !== undefined && isFhirId(id)) return id;
  throw new Failure('peer-refused', 'The FHIR server gave an ImagingStudy without a valid id.');
}

const ids = (found: ImagingStudy[]): string =>
  found
    .slice(0, 5)
    .map((one) => (one.id !== undefined && isFhirId(one.id) ? one.id : '?'))
    .join(', ');
