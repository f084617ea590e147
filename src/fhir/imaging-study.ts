/**
 * Maps a study of the index to FHIR R4 ImagingStudy. Pure: the same study gives the same resource, byte for byte,
 * so that its hash says whether the EHR has to hear of it.
 * Called by link-study.ts (for the EHR) and facade.ts (for who asks us). R5 would be a second such function.
 */
import { universalSystem } from './assigning-authority.ts';
import { bodySite, concepts, laterality, modalityCoding } from './coding.ts';
import { fhirDateTime } from './date-time.ts';
import { type DataSet, items, personNames, text, texts, unsigned } from './dicom-value.ts';
import type {
  CodeableConcept,
  Coding,
  Identifier,
  ImagingStudy,
  ImagingStudyInstance,
  ImagingStudySeries,
  Reference,
} from './resource.ts';
import { isFhirId, sopClassCoding, studyIdentifier } from './uid-identifier.ts';

export interface MappedInstance {
  sopUid: string;
  sopClass: string;
  number: number | null;
  attributes: DataSet;
}

export interface MappedSeries {
  seriesUid: string;
  modality: string;
  attributes: DataSet;
  instanceCount: number;
  /** All of them, or undefined when the study has more than LISTED_INSTANCES. */
  instances: readonly MappedInstance[] | undefined;
}

export interface MappedStudy {
  studyUid: string;
  attributes: DataSet;
  series: readonly MappedSeries[];
}

/** What the study is tied to in the system the resource is for. */
export interface StudyLinks {
  subject: Reference;
  endpoint: Reference;
  basedOn?: Reference;
}

/** Above this the instances are counted but not listed: the resource travels and is stored as one body. */
export const LISTED_INSTANCES = 10_000;

/**
 * @param zone the site's IANA zone, for studies without (0008,0201) TimezoneOffsetFromUTC
 */
export function toImagingStudy(study: MappedStudy, links: StudyLinks, zone: string): ImagingStudy {
  const { attributes } = study;
  const instances = study.series.reduce((sum, series) => sum + count(series), 0);
  const offset = text(attributes, 'TimezoneOffsetFromUTC') ?? '';
  const series = [...study.series]
    .sort((a, b) => order(seriesNumber(a), seriesNumber(b)) || compare(a.seriesUid, b.seriesUid))
    // Every series is counted; one whose UID FHIR's id cannot hold can only not be listed.
    .filter((one) => isFhirId(one.seriesUid))
    .map((one) => toSeries(one, offset, zone));
  return withoutEmpty({
    resourceType: 'ImagingStudy',
    identifier: [studyIdentifier(study.studyUid), ...accession(attributes)],
    status: instances > 0 ? 'available' : 'registered',
    modality: modalities(study.series),
    subject: links.subject,
    started: fhirDateTime(
      text(attributes, 'StudyDate') ?? '',
      text(attributes, 'StudyTime') ?? '',
      offset,
      zone,
    ),
    basedOn: links.basedOn && [links.basedOn],
    referrer: personNames(attributes, 'ReferringPhysicianName').map((display) => ({ display }))[0],
    endpoint: [links.endpoint],
    numberOfSeries: study.series.length,
    numberOfInstances: instances,
    procedureCode: concepts(attributes, 'ProcedureCodeSequence'),
    reasonCode: reasons(study),
    description: text(attributes, 'StudyDescription'),
    series,
  });
}

/** The accession number as an identifier of type ACSN, with its issuer where that is universal. */
export function accession(study: DataSet): Identifier[] {
  const value = text(study, 'AccessionNumber');
  if (value === undefined) return [];
  const system = items(study, 'IssuerOfAccessionNumberSequence').map(universalSystem)[0];
  const type = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] };
  return [{ type, ...(system && { system }), value }];
}

function modalities(series: readonly MappedSeries[]): Coding[] {
  const codes = new Map(series.map((one) => [one.modality.trim(), modalityCoding(one.modality)]));
  const distinct = new Map([...codes.values()].map((coding) => [coding.code ?? '', coding]));
  return [...distinct.values()].sort((a, b) => compare(a.code ?? '', b.code ?? ''));
}

/** Why it was asked for: said by the study, or by each series' request (PS3.3 Table 10-9). */
function reasons(study: MappedStudy): CodeableConcept[] {
  const dataSets = [study.attributes, ...study.series.map((series) => series.attributes)];
  const requests = dataSets.flatMap((dataSet) => [dataSet, ...items(dataSet, 'RequestAttributesSequence')]);
  const coded = requests.flatMap((request) => concepts(request, 'ReasonForRequestedProcedureCodeSequence'));
  const words = requests.flatMap((request) => texts(request, 'ReasonForTheRequestedProcedure'));
  const all = [...coded, ...words.map((reason): CodeableConcept => ({ text: reason }))];
  return [...new Map(all.map((concept) => [JSON.stringify(concept), concept])).values()].sort((a, b) =>
    compare(JSON.stringify(a), JSON.stringify(b)),
  );
}

function toSeries(series: MappedSeries, studyOffset: string, zone: string): ImagingStudySeries {
  const { attributes } = series;
  const offset = text(attributes, 'TimezoneOffsetFromUTC') ?? studyOffset;
  return withoutEmpty({
    uid: series.seriesUid,
    number: seriesNumber(series),
    modality: modalityCoding(series.modality),
    description: text(attributes, 'SeriesDescription'),
    numberOfInstances: count(series),
    bodySite: bodySite(attributes),
    laterality: laterality(attributes),
    specimen: specimens(series),
    started: fhirDateTime(
      text(attributes, 'SeriesDate') ?? '',
      text(attributes, 'SeriesTime') ?? '',
      offset,
      zone,
    ),
    performer: performers(attributes),
    instance: instancesOf(series.instances ?? []),
  });
}

function instancesOf(instances: readonly MappedInstance[]): ImagingStudyInstance[] {
  return [...instances]
    .sort((a, b) => order(unsigned(a.number), unsigned(b.number)) || compare(a.sopUid, b.sopUid))
    .filter((one) => isFhirId(one.sopUid))
    .map((one) =>
      withoutEmpty({
        uid: one.sopUid,
        sopClass: sopClassCoding(one.sopClass),
        number: unsigned(one.number),
        title: title(one.attributes),
      }),
    );
}

/** What a reader would call the object: the label of a presentation state, the title of a report or document. */
function title(instance: DataSet): string | undefined {
  const concept = items(instance, 'ConceptNameCodeSequence').map((item) => text(item, 'CodeMeaning'))[0];
  return text(instance, 'ContentLabel') ?? concept ?? text(instance, 'DocumentTitle');
}

function specimens(series: MappedSeries): Reference[] {
  const dataSets = [series.attributes, ...(series.instances ?? []).map((instance) => instance.attributes)];
  const described = dataSets.flatMap((dataSet) => [
    dataSet,
    ...items(dataSet, 'SpecimenDescriptionSequence'),
  ]);
  const identifiers = described.flatMap((dataSet) => texts(dataSet, 'SpecimenIdentifier'));
  return [...new Set(identifiers)].sort(compare).map((value) => ({ identifier: { value } }));
}

function performers(series: DataSet): { function: CodeableConcept; actor: Reference }[] {
  const system = 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType';
  const names = ['PerformingPhysicianName', 'OperatorsName'].flatMap((keyword) =>
    personNames(series, keyword),
  );
  return [...new Set(names)].map((display) => ({
    function: { coding: [{ system, code: 'PRF' }] },
    actor: { display },
  }));
}

/** Counted where they are listed, so that the number and the list never disagree. */
const count = (series: MappedSeries): number => series.instances?.length ?? series.instanceCount;

const seriesNumber = (series: MappedSeries): number | undefined =>
  unsigned(text(series.attributes, 'SeriesNumber'));

/** Numbered before unnumbered. */
const order = (a: number | undefined, b: number | undefined): number => {
  if (a === b) return 0;
  return (a ?? Number.POSITIVE_INFINITY) - (b ?? Number.POSITIVE_INFINITY);
};

/** By code units: the order must not depend on the process' locale. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** FHIR knows no empty values: absent members and empty lists are left out. */
function withoutEmpty<T extends object>(resource: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(
    Object.entries(resource).filter(
      ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
    ),
  ) as T;
}
