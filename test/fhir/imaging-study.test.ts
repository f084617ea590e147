import { describe, expect, test } from 'vitest';
import { toEndpoint } from '../../src/fhir/endpoint.ts';
import { type MappedStudy, type StudyLinks, toImagingStudy } from '../../src/fhir/imaging-study.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { validateFhir } from '../support/fhir-validate.ts';
import { dicom, studiesOf } from './study-of.ts';

const links: StudyLinks = { subject: { reference: 'Patient/p' }, endpoint: { reference: 'Endpoint/e' } };
const ZONE = 'Europe/Berlin';

function study(given: Partial<MappedStudy> = {}): MappedStudy {
  return { studyUid: '1.2.3', attributes: {}, series: [], ...given };
}

function series(uid: string, instances: number, more: Record<string, unknown> = {}, modality = 'CT') {
  return {
    seriesUid: uid,
    modality,
    attributes: dicom(more),
    instanceCount: instances,
    instances: Array.from({ length: instances }, (_, i) => ({
      sopUid: `${uid}.${i + 1}`,
      sopClass: '1.2.840.10008.5.1.4.1.1.2',
      number: i + 1,
      attributes: {},
    })),
  };
}

const mapped = (given: Partial<MappedStudy> = {}) => toImagingStudy(study(given), links, ZONE);
const started = (attributes: Record<string, unknown>) => mapped({ attributes: dicom(attributes) }).started;

describe('a study as ImagingStudy', () => {
  test('says what the images say, in R4', () => {
    const resource = toImagingStudy(
      study({
        attributes: dicom({
          StudyDate: '20240131',
          StudyTime: '101530.25',
          AccessionNumber: 'A-1',
          IssuerOfAccessionNumberSequence: dicom({
            UniversalEntityID: '1.2.9',
            UniversalEntityIDType: 'ISO',
          }),
          ReferringPhysicianName: { Alphabetic: 'King^Ada^M^Dr.^PhD' },
          StudyDescription: 'CT Thorax',
          ProcedureCodeSequence: dicom({
            CodeValue: '24627-2',
            CodingSchemeDesignator: 'LN',
            CodeMeaning: 'Chest CT',
          }),
        }),
        series: [
          series('1.2.3.2', 1, { SeriesNumber: 2 }, 'SR'),
          series('1.2.3.1', 2, {
            SeriesNumber: 1,
            SeriesDescription: 'Lung',
            BodyPartExamined: 'CHEST',
            Laterality: 'L',
            SeriesDate: '20240131',
            SeriesTime: '1016',
            OperatorsName: { Alphabetic: 'Doe^Jo' },
            RequestAttributesSequence: dicom({ ReasonForTheRequestedProcedure: 'Cough' }),
            SpecimenDescriptionSequence: dicom({ SpecimenIdentifier: 'S-1' }),
          }),
        ],
      }),
      { ...links, basedOn: { reference: 'ServiceRequest/s' } },
      ZONE,
    );
    expect(resource).toEqual({
      resourceType: 'ImagingStudy',
      identifier: [
        { system: 'urn:dicom:uid', value: 'urn:oid:1.2.3' },
        {
          type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] },
          system: 'urn:oid:1.2.9',
          value: 'A-1',
        },
      ],
      status: 'available',
      modality: [
        { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'CT' },
        { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'SR' },
      ],
      subject: { reference: 'Patient/p' },
      started: '2024-01-31T10:15:30.25+01:00',
      basedOn: [{ reference: 'ServiceRequest/s' }],
      referrer: { display: 'Dr. Ada M King, PhD' },
      endpoint: [{ reference: 'Endpoint/e' }],
      numberOfSeries: 2,
      numberOfInstances: 3,
      procedureCode: [
        { coding: [{ system: 'http://loinc.org', code: '24627-2', display: 'Chest CT' }], text: 'Chest CT' },
      ],
      reasonCode: [{ text: 'Cough' }],
      description: 'CT Thorax',
      series: [
        {
          uid: '1.2.3.1',
          number: 1,
          modality: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'CT' },
          description: 'Lung',
          numberOfInstances: 2,
          bodySite: { display: 'CHEST' },
          laterality: { system: 'http://snomed.info/sct', code: '419161000', display: 'Unilateral left' },
          specimen: [{ identifier: { value: 'S-1' } }],
          started: '2024-01-31T10:16:00+01:00',
          performer: [
            {
              function: {
                coding: [
                  { system: 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType', code: 'PRF' },
                ],
              },
              actor: { display: 'Jo Doe' },
            },
          ],
          instance: [
            {
              uid: '1.2.3.1.1',
              sopClass: { system: 'urn:ietf:rfc:3986', code: 'urn:oid:1.2.840.10008.5.1.4.1.1.2' },
              number: 1,
            },
            {
              uid: '1.2.3.1.2',
              sopClass: { system: 'urn:ietf:rfc:3986', code: 'urn:oid:1.2.840.10008.5.1.4.1.1.2' },
              number: 2,
            },
          ],
        },
        {
          uid: '1.2.3.2',
          number: 2,
          modality: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'SR' },
          numberOfInstances: 1,
          instance: [
            {
              uid: '1.2.3.2.1',
              sopClass: { system: 'urn:ietf:rfc:3986', code: 'urn:oid:1.2.840.10008.5.1.4.1.1.2' },
              number: 1,
            },
          ],
        },
      ],
    });
    expect(validateFhir(resource)).toEqual([]);
  });

  test('is the same text whatever order the index gives', () => {
    const a = series('1.2.3.1', 3, { SeriesNumber: 4 });
    const b = series('1.2.3.2', 2, { SeriesNumber: 4 }, 'MR');
    const c = series('1.2.3.3', 1);
    const other = { ...a, instances: [...a.instances].reverse() };
    expect(JSON.stringify(mapped({ series: [c, other, b] }))).toBe(
      JSON.stringify(mapped({ series: [a, b, c] })),
    );
    expect(mapped({ series: [c, b, a] }).series?.map((one) => one.uid)).toEqual([
      '1.2.3.1',
      '1.2.3.2',
      '1.2.3.3',
    ]);
  });

  test('without any instance it is registered, with none of the optional elements', () => {
    expect(mapped()).toEqual({
      resourceType: 'ImagingStudy',
      identifier: [{ system: 'urn:dicom:uid', value: 'urn:oid:1.2.3' }],
      status: 'registered',
      subject: { reference: 'Patient/p' },
      endpoint: [{ reference: 'Endpoint/e' }],
      numberOfSeries: 0,
      numberOfInstances: 0,
    });
    expect(validateFhir(mapped())).toEqual([]);
  });

  test('counts instances that are too many to list', () => {
    const huge = { ...series('1.2.3.1', 0), instanceCount: 20_000, instances: undefined };
    const resource = mapped({ series: [huge] });
    expect(resource).toMatchObject({ numberOfInstances: 20_000, status: 'available' });
    expect(resource.series).toEqual([
      { uid: '1.2.3.1', modality: resource.modality?.[0], numberOfInstances: 20_000 },
    ]);
    expect(validateFhir(resource)).toEqual([]);
  });

  test.each([
    ['1.2.840.05.1', '1.2.840.05.1'],
    ['999.1.2', '999.1.2'],
    ['1', '1'],
    ['2.25.0', 'urn:oid:2.25.0'],
  ])('the study UID %s is the identifier %s', (studyUid, value) => {
    const resource = mapped({ studyUid, series: [{ ...series(`${studyUid}.01`, 1) }] });
    expect(resource.identifier).toEqual([{ system: 'urn:dicom:uid', value }]);
    expect(validateFhir(resource)).toEqual([]);
  });

  test('a SOP class that is no OID stands bare beside a system of its own', () => {
    const one = series('1.2.3.1', 1);
    const resource = mapped({
      series: [{ ...one, instances: [{ ...one.instances[0]!, sopClass: '1.2.03' }] }],
    });
    expect(resource.series?.[0]?.instance?.[0]?.sopClass).toEqual({
      system: 'urn:dicom:uid',
      code: '1.2.03',
    });
    expect(validateFhir(resource)).toEqual([]);
  });

  test('a UID that FHIR cannot hold as an id is counted and not listed', () => {
    const long = `1.${'2'.repeat(70)}`;
    const one = series('1.2.3.1', 2);
    const instances = [one.instances[0]!, { ...one.instances[1]!, sopUid: long }];
    const resource = mapped({ series: [{ ...one, instances }, series(long, 1)] });
    expect(resource).toMatchObject({ numberOfSeries: 2, numberOfInstances: 3 });
    expect(resource.series?.map((listed) => [listed.numberOfInstances, listed.instance?.length])).toEqual([
      [2, 1],
    ]);
    expect(validateFhir(resource)).toEqual([]);
  });

  test.each([
    [{ StudyDate: '20240731', StudyTime: '101530' }, '2024-07-31T10:15:30+02:00'],
    [{ StudyDate: '20240731', StudyTime: '10' }, '2024-07-31T10:00:00+02:00'],
    [{ StudyDate: '20240731', StudyTime: '101560.5' }, '2024-07-31T10:15:59.5+02:00'],
    [
      { StudyDate: '20240731', StudyTime: '101530', TimezoneOffsetFromUTC: '-0330' },
      '2024-07-31T10:15:30-03:30',
    ],
    [
      { StudyDate: '20240731', StudyTime: '101530', TimezoneOffsetFromUTC: '-0000' },
      '2024-07-31T10:15:30+00:00',
    ],
    [
      { StudyDate: '20240731', StudyTime: '101530', TimezoneOffsetFromUTC: '+1500' },
      '2024-07-31T10:15:30+02:00',
    ],
    [{ StudyDate: '20240331', StudyTime: '030000' }, '2024-03-31T03:00:00+02:00'],
    [{ StudyDate: '20240331', StudyTime: '015959' }, '2024-03-31T01:59:59+01:00'],
    [{ StudyDate: '2024.07.31', StudyTime: '10:15:30' }, '2024-07-31T10:15:30+02:00'],
    [{ StudyDate: '18800101', StudyTime: '101530' }, '1880-01-01'],
    [{ StudyDate: '20240731' }, '2024-07-31'],
    [{ StudyDate: '20240731', StudyTime: 'noon' }, '2024-07-31'],
    [{ StudyDate: '20240731', StudyTime: '250000' }, '2024-07-31'],
    [{ StudyDate: '20240230', StudyTime: '101530' }, undefined],
    [{ StudyDate: '00000101' }, undefined],
    [{ StudyDate: '20241301' }, undefined],
    [{ StudyTime: '101530' }, undefined],
    [{ StudyDate: '' }, undefined],
  ])('%j started %s', (attributes, expected) => {
    expect(started(attributes)).toBe(expected);
    expect(validateFhir(mapped({ attributes: dicom(attributes) }))).toEqual([]);
  });

  test('odd values cost their element, never the resource', () => {
    const resource = mapped({
      attributes: dicom({
        AccessionNumber: '  ',
        ReferringPhysicianName: { Alphabetic: '^^^^' },
        StudyDescription: 'CT\u0000\u001bThorax ',
        ProcedureCodeSequence: [{}, dicom({ CodeValue: 'two  blanks', CodeMeaning: 'Words' })],
        IssuerOfAccessionNumberSequence: [null],
      }),
      series: [
        series('1.2.3.1', 1, { SeriesNumber: -3, Laterality: 'X', SeriesDate: 'soon' }, ''),
        series('1.2.3.2', 1, { PerformingPhysicianName: [null, { Ideographic: '山田^太郎' }] }, 'M  R'),
      ],
    });
    expect(resource.description).toBe('CT  Thorax');
    expect(resource.procedureCode).toEqual([{ text: 'Words' }]);
    expect(resource.modality).toEqual([
      { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'OT' },
    ]);
    expect(resource.series?.[1]?.performer?.[0]?.actor).toEqual({ display: '山田 太郎' });
    expect(Object.keys(resource)).not.toContain('referrer');
    expect(Object.keys(resource.series?.[0] ?? {})).toEqual([
      'uid',
      'modality',
      'numberOfInstances',
      'instance',
    ]);
    expect(validateFhir(resource)).toEqual([]);
  });
});

test('the Endpoint is valid R4 and its address is the WADO-RS base', () => {
  const endpoint = toEndpoint('https://pacs.example/x', '7b0cf0a5-0f3f-4c3a-8ac0-4c7a5f2f6a36');
  expect(validateFhir(endpoint)).toEqual([]);
  expect(endpoint.address).toBe('https://pacs.example/x/dicom-web');
});

describe.skipIf(!corpusFolder)('the corpus (needs ../shared/corpus)', () => {
  test('every study is a valid ImagingStudy with its counts', () => {
    const rows = corpusIndex().filter((row) => row.study_uid !== '');
    const studies = studiesOf(
      corpusFolder!,
      rows.map((row) => row.file!),
    );
    expect(studies.length).toBeGreaterThan(100);
    for (const one of studies) {
      const resource = toImagingStudy(one, links, ZONE);
      expect(validateFhir(resource), one.studyUid).toEqual([]);
      const sops = one.series.flatMap((known) => known.instances ?? []);
      expect(resource.numberOfInstances).toBe(sops.length);
      expect(resource.numberOfSeries).toBe(new Set(one.series.map((known) => known.seriesUid)).size);
      const listed = resource.series?.flatMap((known) => known.instance ?? []) ?? [];
      expect(listed.length, one.studyUid).toBe(sops.length);
      expect(resource.series?.every((known) => known.numberOfInstances === known.instance?.length)).toBe(
        true,
      );
    }
  });

  test('the CT study has 29 instances in two series', () => {
    const files = corpusIndex().map((row) => row.file!);
    const [ct, ...others] = studiesOf(
      corpusFolder!,
      files.filter((file) => file.startsWith('dcm_qa_ct/')),
    );
    expect(others).toEqual([]);
    expect(toImagingStudy(ct!, links, ZONE)).toMatchObject({ numberOfSeries: 2, numberOfInstances: 29 });
  });
});
