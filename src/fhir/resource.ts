/**
 * The parts of FHIR R4 (4.0.1) resources that this room writes and reads, as types.
 * Only what is used stands here; what the EHR adds of its own passes through as unknown members.
 */

export interface Coding {
  system?: string;
  code?: string;
  display?: string;
}

export interface CodeableConcept {
  coding?: Coding[];
  text?: string;
}

export interface Identifier {
  use?: string;
  type?: CodeableConcept;
  system?: string;
  value?: string;
}

export interface Reference {
  reference?: string;
  type?: string;
  identifier?: Identifier;
  display?: string;
}

export interface Resource {
  resourceType: string;
  id?: string;
  meta?: { versionId?: string; lastUpdated?: string };
}

export interface Endpoint extends Resource {
  resourceType: 'Endpoint';
  identifier?: Identifier[];
  status: 'active' | 'off';
  connectionType: Coding;
  name?: string;
  payloadType: CodeableConcept[];
  payloadMimeType?: string[];
  address: string;
}

export interface ImagingStudyInstance {
  uid: string;
  sopClass: Coding;
  number?: number;
  title?: string;
}

export interface ImagingStudySeries {
  uid: string;
  number?: number;
  modality: Coding;
  description?: string;
  numberOfInstances: number;
  bodySite?: Coding;
  laterality?: Coding;
  specimen?: Reference[];
  started?: string;
  performer?: { function?: CodeableConcept; actor: Reference }[];
  instance?: ImagingStudyInstance[];
}

export interface ImagingStudy extends Resource {
  resourceType: 'ImagingStudy';
  contained?: Resource[];
  identifier: Identifier[];
  status: 'registered' | 'available' | 'cancelled' | 'entered-in-error' | 'unknown';
  modality?: Coding[];
  subject: Reference;
  started?: string;
  basedOn?: Reference[];
  referrer?: Reference;
  endpoint?: Reference[];
  numberOfSeries: number;
  numberOfInstances: number;
  procedureCode?: CodeableConcept[];
  reasonCode?: CodeableConcept[];
  description?: string;
  series?: ImagingStudySeries[];
}

export interface Patient extends Resource {
  resourceType: 'Patient';
  identifier?: Identifier[];
  active?: boolean;
  link?: { type?: string }[];
}

export interface OperationOutcome extends Resource {
  resourceType: 'OperationOutcome';
  issue: { severity: string; code: string; diagnostics?: string; expression?: string[] }[];
}

export interface Bundle<T extends Resource = Resource> extends Resource {
  resourceType: 'Bundle';
  type: string;
  total?: number;
  link?: { relation: string; url: string }[];
  entry?: { fullUrl?: string; resource?: T; search?: { mode: string } }[];
}
