/**
 * Which attributes the index keeps at which level, and the columns made of them.
 * Pure; used by study-index.ts when objects are settled or reindexed. QIDO answers from these.
 */
import { createHash } from 'node:crypto';
import { attribute } from '../dicom/attributes.ts';
import type { DicomJson } from '../dicom/dicom-json.ts';
import { foldPersonName, foldRepresentations, nameWords } from '../dicom/person-name.ts';

const tags = (keywords: string): ReadonlySet<string> =>
  new Set(
    keywords
      .trim()
      .split(/\s+/)
      .map((keyword) => {
        const known = attribute(keyword);
        if (!known) throw new Error(`${keyword} is not in the data dictionary`);
        return known.tag;
      }),
  );

/** PS3.4 C.6.2.1 patient and study keys, PS3.18 table 10.6.1-5, and what the EHR link needs. */
export const STUDY_LEVEL = tags(`
  StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName TimezoneOffsetFromUTC
  StudyDescription ProcedureCodeSequence NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription
  PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence PatientBirthDate PatientBirthTime
  PatientSex OtherPatientIDsSequence OtherPatientNames PatientAge PatientSize PatientWeight EthnicGroup Occupation
  AdditionalPatientHistory PatientComments StudyInstanceUID StudyID RequestingPhysician RequestedProcedureDescription
  ReasonForPerformedProcedureCodeSequence`);

/** Those of the study's that are the patient's own: they go with the patient when a study turns out to be another's. */
export const PATIENT_LEVEL = tags(`
  PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence PatientBirthDate PatientBirthTime
  PatientSex OtherPatientIDsSequence OtherPatientNames PatientAge PatientSize PatientWeight EthnicGroup Occupation
  AdditionalPatientHistory PatientComments`);

export const SERIES_LEVEL = tags(`
  Modality SeriesDescription SeriesDescriptionCodeSequence SeriesInstanceUID SeriesNumber SeriesDate SeriesTime
  FrameOfReferenceUID Laterality BodyPartExamined AnatomicRegionSequence ProtocolName PatientPosition Manufacturer ManufacturerModelName
  InstitutionName InstitutionalDepartmentName StationName PerformingPhysicianName OperatorsName
  PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformedProcedureStepID
  PerformedProcedureStepDescription RequestAttributesSequence SpecimenDescriptionSequence`);

export const INSTANCE_LEVEL = tags(`
  ImageType InstanceCreationDate InstanceCreationTime SOPClassUID SOPInstanceUID AcquisitionDate ContentDate
  AcquisitionDateTime AcquisitionTime ContentTime AcquisitionNumber InstanceNumber ImagePositionPatient
  ImageOrientationPatient SliceLocation SliceThickness SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows
  Columns PixelSpacing BitsAllocated BitsStored HighBit PixelRepresentation WindowCenter WindowWidth RescaleIntercept
  RescaleSlope LossyImageCompression CompletionFlag VerificationFlag ConceptNameCodeSequence DocumentTitle
  MIMETypeOfEncapsulatedDocument ContentLabel ContentDescription PresentationCreationDate PresentationCreationTime`);

/** What is read of a header to be indexed: everything else would be made for nothing. */
export const INDEXED: ReadonlySet<string> = new Set([...STUDY_LEVEL, ...SERIES_LEVEL, ...INSTANCE_LEVEL]);

/** At most three such columns stand in one index, and a character takes three bytes at most (a pair of them four). */
const MAX_COLUMN_CHARACTERS = 256;

export interface StudyColumns {
  patient_id: string;
  issuer: string;
  patient_name: string;
  name_words: string[];
  birth_date: string;
  accession_number: string;
  study_date: string;
  study_time: string;
  study_id: string;
  description: string;
  referrer: string;
}

/** The attributes of one level out of a whole header; empty ones are left out (a later object may bring them). */
export function pick(header: DicomJson, level: ReadonlySet<string>): DicomJson {
  const picked: DicomJson = {};
  for (const tag in header) {
    const element = header[tag]!;
    if (level.has(tag) && element.Value !== undefined && element.Value.length > 0) picked[tag] = element;
  }
  return picked;
}

export function studyColumns(attributes: DicomJson): StudyColumns {
  const name = personName(attributes, '00100010');
  return {
    patient_id: text(attributes, '00100020'),
    issuer: text(attributes, '00100021'),
    patient_name: foldRepresentations(name),
    name_words: nameWords(name),
    birth_date: text(attributes, '00100030'),
    accession_number: text(attributes, '00080050'),
    study_date: text(attributes, '00080020'),
    study_time: text(attributes, '00080030'),
    study_id: text(attributes, '00200010'),
    description: foldPersonName(text(attributes, '00081030')),
    referrer: foldRepresentations(personName(attributes, '00080090')),
  };
}

/** The first value, for a column. */
export function text(attributes: DicomJson, tag: string): string {
  const value = attributes[tag]?.Value?.[0];
  return typeof value === 'string' || typeof value === 'number' ? shortened(String(value).trim()) : '';
}

/**
 * A value as a column has it. Postgres refuses a row for which an index entry is longer than 2,704 bytes, and an
 * object must not stand outside the index for a value that is too long (LO: 64): of such a one the column has the
 * beginning and a digest, so that two patients' IDs that begin alike stay two.
 */
export function shortened(whole: string): string {
  if (whole.length <= MAX_COLUMN_CHARACTERS) return whole;
  const digest = createHash('sha256').update(whole).digest('hex');
  return `${whole.slice(0, MAX_COLUMN_CHARACTERS - digest.length - 1).toWellFormed()}…${digest}`;
}

export function integer(attributes: DicomJson, tag: string): number | null {
  const value = Number(attributes[tag]?.Value?.[0]);
  return Number.isInteger(value) && Math.abs(value) <= 2_147_483_647 ? value : null;
}

function personName(attributes: DicomJson, tag: string): string {
  const value = attributes[tag]?.Value?.[0];
  if (value === null || typeof value !== 'object') return '';
  const { Alphabetic = '', Ideographic = '', Phonetic = '' } = value as Record<string, string>;
  return [Alphabetic, Ideographic, Phonetic].join('=');
}
