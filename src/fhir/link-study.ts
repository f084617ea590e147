/**
 * Brings one study to the EHR: one ImagingStudy with our Endpoint and its patient, created or updated safely.
 * Called by worker.ts for each claim it holds; says what it came to and writes nothing into the ledger itself.
 */
import { createHash } from 'node:crypto';
import type { Database } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { FhirClient } from './fhir-client.ts';
import { findOrder, findPatient } from './find-patient.ts';
import { accession, toImagingStudy } from './imaging-study.ts';
import { ensureEndpoint } from './link-endpoint.ts';
import type { Claim, LinkOutcome } from './link-ledger.ts';
import { mergeImagingStudy } from './merge-imaging-study.ts';
import { patientIdentifier } from './patient-identifier.ts';
import { type ReadStudy, readStudy } from './read-study.ts';
import type { Reference } from './resource.ts';
import { withdrawStudy } from './withdraw-study.ts';
import { disclose, writeImagingStudy } from './write-imaging-study.ts';

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
  if (!study) return withdrawStudy(parts, claim);
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
  const written = await writeImagingStudy(parts, claim.studyUid, {
    create: ours,
    merge: (existing) => mergeImagingStudy(existing, ours),
    instances: ours.numberOfInstances,
  });
  if (written === 'absent') throw new Failure('internal', 'an ImagingStudy was to be made, and was not');
  return 'reason' in written
    ? { state: 'parked', reason: written.reason }
    : { state: 'linked', studyVersion: version, contentHash, ...written };
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
