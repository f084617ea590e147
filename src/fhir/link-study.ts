/**
 * Brings one study to the EHR: one ImagingStudy with our Endpoint and its patient, created or updated safely.
 * Called by worker.ts for each claim it holds; says what it came to and writes nothing into the ledger itself.
 *
 * Servers have duplicated resources under concurrent conditional creates (HAPI among them), so there is one writer
 * per study (the lease), a search before every create, and If-None-Exist on top.
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../archive/database/database.ts';
import { recordDisclosure } from '../archive/disclosure.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { type FhirClient, matches, token } from './fhir-client.ts';
import { findOrder, findPatient } from './find-patient.ts';
import { accession, toImagingStudy } from './imaging-study.ts';
import { ensureEndpoint } from './link-endpoint.ts';
import type { Claim, LinkOutcome } from './link-ledger.ts';
import { mergeImagingStudy } from './merge-imaging-study.ts';
import { patientIdentifier } from './patient-identifier.ts';
import { type ReadStudy, readStudy } from './read-study.ts';
import type { ImagingStudy, Reference } from './resource.ts';
import { isFhirId, studyIdentifier } from './uid-identifier.ts';

export interface LinkParts {
  database: Database;
  client: FhirClient;
  publicUrl: () => string;
  /** FHIR_PATIENT_SYSTEM */
  patientSystem: string | undefined;
  /** IANA zone of studies that do not name theirs. */
  zone: string;
  log: Log;
}

/** Turns of read, merge and update before the EHR's other writers are given a rest. */
const MERGES = 3;

/**
 * @param parts.client guarded: it sends nothing once the claim's lease is lost
 * @throws the client's Failures, which worker.ts turns into a retry or a parked link
 */
export async function linkStudy(
  parts: LinkParts,
  claim: Pick<Claim, 'studyUid' | 'contentHash' | 'resourceId' | 'versionId'>,
): Promise<LinkOutcome> {
  const { database, client } = parts;
  const study = await readStudy(database, claim.studyUid);
  if (!study)
    return {
      state: 'parked',
      reason:
        'The index does not have this study: it was deleted, and what the EHR has of it is left to a person.',
    };
  const { held, version, attributes } = study.record;
  if (held !== null)
    return { state: 'waiting', reason: `The study is held until a person decides: ${held}.` };

  const identifier = patientIdentifier(study.mapped.attributes, parts.patientSystem);
  if ('reason' in identifier) return { state: 'unlinked', reason: identifier.reason };
  const contentHash = hashOf(study, { identifier }, parts.zone);
  if (claim.resourceId !== null && claim.contentHash?.equals(contentHash))
    return {
      state: 'linked',
      studyVersion: version,
      resourceId: claim.resourceId,
      versionId: claim.versionId ?? undefined,
      contentHash,
    };

  await disclose(parts, claim.studyUid, { action: 'search', resource: 'Patient' });
  const patient = await findPatient(client, identifier);
  if ('reason' in patient) return { state: 'unlinked', reason: patient.reason };
  const endpoint = { reference: await ensureEndpoint(database, client, parts.publicUrl()) };
  const basedOn = await orderOf(parts, claim.studyUid, attributes, patient.reference);
  const links = { subject: { reference: patient.reference }, endpoint, ...(basedOn && { basedOn }) };
  const ours = toImagingStudy(study.mapped, links, parts.zone);
  const written = await write(parts, claim.studyUid, ours);
  return 'reason' in written
    ? { state: 'parked', reason: written.reason }
    : { state: 'linked', studyVersion: version, contentHash, ...written };
}

interface Known {
  resourceId: string;
  versionId: string | undefined;
}

async function write(
  parts: LinkParts,
  studyUid: string,
  ours: ImagingStudy,
): Promise<Known | { reason: string }> {
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
    try {
      const id = found[0]?.id;
      const known =
        id === undefined
          ? await create(parts, studyUid, ours, query)
          : await update(parts, studyUid, id, ours);
      if (known) return known;
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
  parts: LinkParts,
  studyUid: string,
  ours: ImagingStudy,
  query: Record<string, string>,
): Promise<Known | undefined> {
  await disclose(parts, studyUid, { action: 'create', resource: 'ImagingStudy' }, ours.numberOfInstances);
  const created = await parts.client.create(ours, query);
  if (created.status !== 201) return undefined;
  return { resourceId: idOf(created.id), versionId: created.versionId };
}

async function update(parts: LinkParts, studyUid: string, id: string, ours: ImagingStudy): Promise<Known> {
  const current = await parts.client.read<ImagingStudy>('ImagingStudy', idOf(id));
  if (current.resource === undefined)
    throw new Failure('peer-refused', `${parts.client.host} gave an ImagingStudy without content.`);
  const merged = mergeImagingStudy(current.resource, ours);
  if (isDeepStrictEqual(merged, current.resource)) return { resourceId: id, versionId: current.versionId };
  await disclose(parts, studyUid, { action: 'update', resource: 'ImagingStudy' }, ours.numberOfInstances);
  const updated = await parts.client.update(merged, current.versionId);
  return { resourceId: id, versionId: updated.versionId };
}

/** The order is a courtesy: a server that cannot search for it still gets its study. */
async function orderOf(
  parts: LinkParts,
  studyUid: string,
  attributes: ReadStudy['mapped']['attributes'],
  patient: string,
): Promise<Reference | undefined> {
  const [number] = accession(attributes);
  if (!number) return undefined;
  await disclose(parts, studyUid, { action: 'search', resource: 'ServiceRequest' });
  try {
    return await findOrder(parts.client, number, patient);
  } catch (thrown) {
    if (!(thrown instanceof Failure) || thrown.kind === 'peer-unreachable') throw thrown;
    parts.log.info({ err: thrown, study: studyUid }, 'the EHR could not be asked for the order');
    return undefined;
  }
}

/** Of what we would say, with our own names for patient and Endpoint, so that it can be known without asking. */
function hashOf(study: ReadStudy, subject: Reference, zone: string): Buffer {
  const said = toImagingStudy(study.mapped, { subject, endpoint: { reference: 'Endpoint/ours' } }, zone);
  return createHash('sha256').update(JSON.stringify(said)).digest();
}

async function disclose(
  parts: LinkParts,
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
