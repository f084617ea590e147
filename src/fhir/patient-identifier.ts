/**
 * Which identifier the study's patient has in the EHR: system and value for `Patient?identifier=system|value`.
 * Pure; called by link-study.ts and facade.ts. Without a system no search is made, since an ID alone is no patient.
 */
import { issuerSystem, universalSystem } from './assigning-authority.ts';
import { type DataSet, items, text } from './dicom-value.ts';

export interface PatientIdentifier {
  system: string;
  value: string;
}

/**
 * @param systemWithoutIssuer FHIR_PATIENT_SYSTEM
 * @returns the identifier, or in words why there is none (no patient data)
 */
export function patientIdentifier(
  study: DataSet,
  systemWithoutIssuer: string | undefined,
): PatientIdentifier | { reason: string } {
  const value = text(study, 'PatientID');
  if (value === undefined) return { reason: 'The study has no (0010,0020) PatientID.' };
  const universal = items(study, 'IssuerOfPatientIDQualifiersSequence').map(universalSystem).find(Boolean);
  if (universal !== undefined) return { system: universal, value };
  const issuer = text(study, 'IssuerOfPatientID');
  const system = issuer === undefined ? systemWithoutIssuer : issuerSystem(issuer);
  if (system !== undefined) return { system, value };
  return {
    reason:
      issuer === undefined
        ? 'The (0010,0020) PatientID carries no (0010,0021) IssuerOfPatientID, and FHIR_PATIENT_SYSTEM does not say which identifier system such IDs belong to.'
        : 'The (0010,0021) IssuerOfPatientID is a local name, and nothing says which identifier system of the EHR it stands for.',
  };
}
