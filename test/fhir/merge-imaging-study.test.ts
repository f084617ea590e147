import { describe, expect, test } from 'vitest';
import { mergeImagingStudy, withdrawnImagingStudy } from '../../src/fhir/merge-imaging-study.ts';
import type { ImagingStudy } from '../../src/fhir/resource.ts';

const modality = { system: 'http://dicom.nema.org/resources/ontology/DCM', code: 'CT' };
const acsn = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] };
const ours: ImagingStudy = {
  resourceType: 'ImagingStudy',
  identifier: [
    { system: 'urn:dicom:uid', value: 'urn:oid:1.2' },
    { type: acsn, value: 'A' },
  ],
  status: 'available',
  modality: [modality],
  subject: { reference: 'Patient/p' },
  endpoint: [{ reference: 'Endpoint/e' }],
  numberOfSeries: 1,
  numberOfInstances: 2,
  series: [{ uid: '1.2.1', modality, numberOfInstances: 2 }],
};
const foreign = (more: object): ImagingStudy => ({ ...ours, id: 'x', meta: { versionId: '3' }, ...more });
const merged = (more: object, said: ImagingStudy = ours) => mergeImagingStudy(foreign(more), said);

describe('merging into what the EHR has', () => {
  test('changes nothing where nothing is new', () => {
    const existing = foreign({
      note: [{ text: 'n' }],
      text: { status: 'generated' },
      identifier: [
        { system: 'urn:x', value: '1' },
        { ...ours.identifier[0], use: 'official' },
        ours.identifier[1],
      ],
      endpoint: [{ reference: 'Endpoint/theirs' }, { reference: 'Endpoint/e' }],
      basedOn: [{ reference: 'ServiceRequest/s' }],
      reasonCode: [{ text: 'why' }],
    });
    expect(mergeImagingStudy(existing, ours)).toEqual(existing);
  });

  test('takes away what the images no longer say, but no code the EHR knows', () => {
    const existing = { description: 'old', started: '2020', procedureCode: [{ text: 'ordered' }] };
    const { description, started, procedureCode } = merged(existing);
    expect([description, started, procedureCode]).toEqual([undefined, undefined, [{ text: 'ordered' }]]);
    expect(merged(existing, { ...ours, procedureCode: [{ text: 'done' }] }).procedureCode).toEqual([
      { text: 'done' },
    ]);
  });

  test('replaces an old accession number and adds what is missing beside foreign identifiers', () => {
    const identifier = [
      { system: 'urn:x', value: '1' },
      { type: acsn, value: 'OLD' },
    ];
    expect(merged({ identifier }).identifier).toEqual([identifier[0], ...ours.identifier]);
  });

  test("adds our Endpoint and order to the EHR's", () => {
    const result = merged(
      { endpoint: [{ reference: 'Endpoint/theirs' }], basedOn: [{ reference: 'ServiceRequest/1' }] },
      { ...ours, basedOn: [{ reference: 'ServiceRequest/2' }] },
    );
    expect(result.endpoint).toEqual([{ reference: 'Endpoint/theirs' }, { reference: 'Endpoint/e' }]);
    expect(result.basedOn).toEqual([{ reference: 'ServiceRequest/1' }, { reference: 'ServiceRequest/2' }]);
  });

  test('leaves a study that a person marked as an error', () => {
    expect(merged({ status: 'entered-in-error' }).status).toBe('entered-in-error');
    expect(merged({ status: 'registered' }).status).toBe('available');
  });

  test('replaces series by UID and keeps what others added to them', () => {
    const [series] = merged({
      series: [
        { uid: '1.2.9', modality, numberOfInstances: 1 },
        {
          ...ours.series![0],
          numberOfInstances: 1,
          description: 'old',
          extension: [{ url: 'urn:x', valueString: 'v' }],
        },
      ],
    }).series!;
    expect(series).toEqual({ ...ours.series![0], extension: [{ url: 'urn:x', valueString: 'v' }] });
  });
});

describe('withdrawing what the EHR has', () => {
  const withdrawn = (more: object) => withdrawnImagingStudy(foreign(more), 'Endpoint/e');

  test('says cancelled and lists nothing, and keeps what was done and noted', () => {
    const { endpoint: _endpoint, series: _series, ...rest } = foreign({ note: [{ text: 'n' }] });
    expect(withdrawn({ note: [{ text: 'n' }] })).toEqual({
      ...rest,
      status: 'cancelled',
      numberOfSeries: 0,
      numberOfInstances: 0,
    });
    const once = withdrawn({});
    expect(withdrawnImagingStudy(once, 'Endpoint/e')).toEqual(once);
  });

  test('takes only our Endpoint away where another archive has the images', () => {
    const result = withdrawn({ endpoint: [{ reference: 'Endpoint/e' }, { reference: 'Endpoint/theirs' }] });
    expect(result).toEqual(foreign({ endpoint: [{ reference: 'Endpoint/theirs' }] }));
  });

  test('leaves an error an error, and a study that comes again is available', () => {
    expect(withdrawn({ status: 'entered-in-error' }).status).toBe('entered-in-error');
    expect(mergeImagingStudy(withdrawn({}), ours)).toEqual(foreign({}));
  });
});
