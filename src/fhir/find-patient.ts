/**
 * Finds what a study belongs to in the EHR: its Patient by identifier, its order (ServiceRequest) by accession number.
 * Called by link-study.ts. Patients are never created or changed.
 * What a server answers is checked against what was asked: some ignore a parameter they do not know and answer all
 * they have, and a study under the wrong patient is worse than none.
 */
import { type FhirClient, matches, token } from './fhir-client.ts';
import type { PatientIdentifier } from './patient-identifier.ts';
import type { Identifier, Patient, Reference, Resource } from './resource.ts';
import { isFhirId } from './uid-identifier.ts';

interface ServiceRequest extends Resource {
  resourceType: 'ServiceRequest';
  identifier?: Identifier[];
  subject?: Reference;
}

/** @returns the reference, or in words why there is none (no patient data); failures as FhirClient's */
export async function findPatient(
  client: FhirClient,
  identifier: PatientIdentifier,
): Promise<{ reference: string } | { reason: string }> {
  const { system, value } = identifier;
  const bundle = await client.search<Patient>('Patient', { identifier: token(system, value), _count: '10' });
  const answered = matches(bundle, 'Patient');
  const bearing = answered.filter((patient) => bears(patient, system, value));
  // A patient merged into another keeps its identifiers; the one it was replaced by is meant.
  const living = bearing.filter((patient) => !patient.link?.some((link) => link.type === 'replaced-by'));
  const [only] = living;
  if (living.length > 1)
    return { reason: `The EHR has several patients with the study's (0010,0020) PatientID in ${system}.` };
  if (only?.id !== undefined && isFhirId(only.id)) return { reference: `Patient/${only.id}` };
  if (bearing.length > 0)
    return {
      reason: `The EHR's patient with the study's (0010,0020) PatientID in ${system} was replaced by another.`,
    };
  if (answered.length > 0)
    return {
      reason: `The EHR answered the search by identifier with patients that do not have it in ${system}.`,
    };
  return { reason: `The EHR has no patient with the study's (0010,0020) PatientID in ${system}.` };
}

/** The one order of this patient with this accession number; undefined when none or several can be it. */
export async function findOrder(
  client: FhirClient,
  accession: Identifier,
  patient: string,
): Promise<Reference | undefined> {
  const value = accession.value ?? '';
  const bundle = await client.search<ServiceRequest>('ServiceRequest', {
    identifier: accession.system === undefined ? token('', value).slice(1) : token(accession.system, value),
    subject: patient,
    _count: '10',
  });
  const orders = matches(bundle, 'ServiceRequest').filter(
    (order) => bears(order, accession.system, value) && order.subject?.reference === patient,
  );
  const [only] = orders;
  if (orders.length !== 1 || only?.id === undefined || !isFhirId(only.id)) return undefined;
  return { reference: `ServiceRequest/${only.id}` };
}

function bears(resource: { identifier?: Identifier[] }, system: string | undefined, value: string): boolean {
  return (
    resource.identifier?.some(
      (one) => one.value === value && (system === undefined || one.system === system),
    ) ?? false
  );
}
