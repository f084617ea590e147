/**
 * DICOM's coded concepts as FHIR codes: modalities, code sequence items (PS3.3 8.8), laterality, body part.
 * Called by the mapping.
 */
import { type DataSet, items, text } from './dicom-value.ts';
import type { CodeableConcept, Coding } from './resource.ts';
import { isOid } from './uid-identifier.ts';

export const DCM = 'http://dicom.nema.org/resources/ontology/DCM';
const SCT = 'http://snomed.info/sct';

/** Coding Scheme Designators (PS3.16 Table 8-1) whose FHIR system has a URI of its own. */
const SYSTEMS: Readonly<Record<string, string>> = {
  DCM,
  SCT,
  LN: 'http://loinc.org',
  UCUM: 'http://unitsofmeasure.org',
  RADLEX: 'http://radlex.org',
  C4: 'http://www.ama-assn.org/go/cpt',
  I10: 'http://hl7.org/fhir/sid/icd-10',
  I10C: 'http://hl7.org/fhir/sid/icd-10-cm',
  I10P: 'http://www.cms.gov/Medicare/Coding/ICD10',
  I9: 'http://hl7.org/fhir/sid/icd-9-cm',
  I9C: 'http://hl7.org/fhir/sid/icd-9-cm',
};

/** (0020,0060) Laterality by the value set of ImagingStudy.series.laterality. */
const LATERALITIES: Readonly<Record<string, Coding>> = {
  L: { system: SCT, code: '419161000', display: 'Unilateral left' },
  R: { system: SCT, code: '419465000', display: 'Unilateral right' },
  B: { system: SCT, code: '51440002', display: 'Right and left' },
};

/** FHIR's datatype code: no white space but single blanks inside. */
const CODE = /^\S+( \S+)*$/;

/** (0008,0060) Modality; a series that does not say is OT, "other", since R4 demands one. */
export function modalityCoding(modality: string): Coding {
  const code = modality.trim();
  return { system: DCM, code: CODE.test(code) ? code : 'OT' };
}

/** The concepts of a code sequence; items without code and meaning are left out. */
export function concepts(dataSet: DataSet, sequence: string): CodeableConcept[] {
  return items(dataSet, sequence).flatMap((item): CodeableConcept[] => {
    const coding = codingOf(item);
    const meaning = text(item, 'CodeMeaning');
    if (coding) return [{ coding: [coding], ...(meaning && { text: meaning }) }];
    return meaning ? [{ text: meaning }] : [];
  });
}

/** Where the body was looked at: the coded region, else the words of (0018,0015) BodyPartExamined. */
export function bodySite(series: DataSet): Coding | undefined {
  for (const item of items(series, 'AnatomicRegionSequence')) {
    const coding = codingOf(item);
    if (coding) return coding;
  }
  const part = text(series, 'BodyPartExamined');
  return part === undefined ? undefined : { display: part };
}

export function laterality(series: DataSet): Coding | undefined {
  return LATERALITIES[text(series, 'Laterality') ?? ''];
}

/** An item of the Code Sequence Macro; the code may be short, long or a URN (PS3.3 Table 8.8-1a). */
function codingOf(item: DataSet): Coding | undefined {
  const urn = text(item, 'URNCodeValue');
  const code = text(item, 'CodeValue') ?? text(item, 'LongCodeValue') ?? urn;
  if (code === undefined || !CODE.test(code)) return undefined;
  const scheme = text(item, 'CodingSchemeDesignator') ?? '';
  const schemeUid = text(item, 'CodingSchemeUID') ?? '';
  const system = SYSTEMS[scheme] ?? (isOid(schemeUid) ? `urn:oid:${schemeUid}` : undefined);
  const display = text(item, 'CodeMeaning');
  return { ...(system && { system }), code, ...(display && { display }) };
}
