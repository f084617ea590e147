import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createFhirRoutes } from '../../src/fhir/routes.ts';
import { createLog } from '../../src/log.ts';
import { type FhirPeer, startFhirPeer } from '../support/fhir-peer.ts';
import { validateFhir } from '../support/fhir-validate.ts';
import { type OpenDoor, openDoor } from './door.ts';
import { type Ehr, openEhr, PATIENT_SYSTEM } from './ehr.ts';
import { givenStableStudy, givenStudy } from './study-of.ts';

let peer: FhirPeer;
let ehr: Ehr;
let door: OpenDoor;

beforeAll(async () => {
  peer = await startFhirPeer();
});
afterAll(() => peer?.stop());
beforeEach(async () => {
  ehr = await openEhr(peer);
  door = await openDoor(
    createFhirRoutes({
      database: ehr.database,
      publicUrl: () => door.url,
      patientSystem: PATIENT_SYSTEM,
      version: '0.1.0',
      log: createLog('silent', 'fhir'),
      zone: 'Europe/Berlin',
    }),
  );
});
afterEach(async () => {
  await door.close();
  await ehr.close();
});

const ask: OpenDoor['ask'] = (path, init) => door.ask(path, init);

describe('the work list', () => {
  test('a study without a patient is listed with the reason, and linked by a retry once the patient is there', async () => {
    const studyUid = await givenStableStudy(ehr.database, { patientId: ehr.patientId });
    await ehr.fhir().start();
    await ehr.link(studyUid, 'unlinked');
    const { body } = await ask('/api/fhir/unlinked');
    expect(body).toEqual([
      {
        study: studyUid,
        state: 'unlinked',
        reason: `The EHR has no patient with the study's (0010,0020) PatientID in ${PATIENT_SYSTEM}.`,
        since: expect.stringMatching(/^\d{4}-/),
        attempts: 1,
        nextAttempt: expect.stringMatching(/^\d{4}-/),
      },
    ]);
    await ehr.createPatient();
    expect(await ask(`/api/fhir/unlinked/${studyUid}/retry`, { method: 'POST' })).toMatchObject({
      status: 202,
    });
    const link = await ehr.link(studyUid, 'linked');
    expect((await ask('/api/fhir/unlinked')).body).toEqual([]);
    expect((await ask(`/api/fhir/links?study=${studyUid}`)).body).toMatchObject([
      { study: studyUid, state: 'linked', resourceId: link.resourceId, reason: null },
    ]);
  });

  test('everything that waits can be retried at once', async () => {
    const one = await givenStableStudy(ehr.database, { patientId: ehr.patientId });
    const two = await givenStableStudy(ehr.database, { patientId: ehr.patientId });
    await ehr.fhir().start();
    await ehr.link(one, 'unlinked');
    await ehr.link(two, 'unlinked');
    await ehr.createPatient();
    expect((await ask('/api/fhir/unlinked/retry', { method: 'POST' })).body).toEqual({ due: 2 });
    await ehr.link(one, 'linked');
    await ehr.link(two, 'linked');
  });

  test.each([
    ['/api/fhir/unlinked?limit=0', 'invalid'],
    ['/api/fhir/unlinked?limit=1001', 'invalid'],
    ['/api/fhir/unlinked?offset=-1', 'invalid'],
    ['/api/fhir/unlinked?limit=1&limit=2', 'invalid'],
    ['/api/fhir/links', 'invalid'],
    ['/api/fhir/unlinked?state=parked', 'invalid'],
  ])('%s is refused', async (path, error) => {
    expect(await ask(path)).toMatchObject({ status: 400, body: { error } });
  });

  test('a study nobody knows cannot be retried', async () => {
    expect((await ask('/api/fhir/unlinked/1.2.3/retry', { method: 'POST' })).body).toMatchObject({
      error: 'not-found',
    });
  });
});

describe('the facade', () => {
  test('answers a search by study UID with a valid ImagingStudy and its counts, and records it', async () => {
    const studyUid = await givenStudy(ehr.database, { patientId: ehr.patientId, series: [3, 2] });
    const { status, type, body } = await ask(`/fhir/ImagingStudy?identifier=urn:oid:${studyUid}`);
    expect([status, type]).toEqual([200, 'application/fhir+json; charset=utf-8']);
    expect(body).toMatchObject({ resourceType: 'Bundle', type: 'searchset', total: 1 });
    const [entry] = body.entry;
    expect(validateFhir({ ...body, entry: undefined })).toEqual([]);
    expect(validateFhir(entry.resource)).toEqual([]);
    expect(entry).toMatchObject({
      fullUrl: `${door.url}/fhir/ImagingStudy/${studyUid}`,
      resource: {
        id: studyUid,
        numberOfSeries: 2,
        numberOfInstances: 5,
        subject: { identifier: { system: PATIENT_SYSTEM, value: ehr.patientId } },
        contained: [{ resourceType: 'Endpoint', address: `${door.url}/dicom-web` }],
      },
    });
    expect((await ask(`/fhir/ImagingStudy/${studyUid}`)).body).toEqual(entry.resource);
    const { rows } = await ehr.database.query(
      `select recipient, study_uid, instances from disclosure where channel = 'fhir'`,
    );
    expect(rows).toEqual(Array(2).fill({ recipient: 'anonymous', study_uid: studyUid, instances: 5 }));
  });

  test('takes the identifier with its system and several of them', async () => {
    const one = await givenStudy(ehr.database);
    const two = await givenStudy(ehr.database);
    const both = `urn:dicom:uid|urn:oid:${one},urn:oid:${two},urn:oid:1.2.3,urn:other|${one}`;
    const { body } = await ask(`/fhir/ImagingStudy?identifier=${encodeURIComponent(both)}&_format=json`);
    expect(body.entry.map((entry: { resource: { id: string } }) => entry.resource.id)).toEqual([one, two]);
  });

  test('finds nothing without an empty list', async () => {
    const { status, body } = await ask('/fhir/ImagingStudy?identifier=urn:oid:1.2.3');
    expect(status).toBe(200);
    expect(body).toMatchObject({ total: 0 });
    expect(validateFhir(body)).toEqual([]);
  });

  test('keeps a held study to itself', async () => {
    const studyUid = await givenStudy(ehr.database);
    await ehr.database.query(`update study set held = 'the patient'`);
    expect((await ask(`/fhir/ImagingStudy?identifier=urn:oid:${studyUid}`)).body.total).toBe(0);
    expect(await ask(`/fhir/ImagingStudy/${studyUid}`)).toMatchObject({ status: 409 });
  });

  test.each([
    ['/fhir/ImagingStudy', 400, 'invalid'],
    ['/fhir/ImagingStudy?patient=Patient/1', 400, 'not-supported'],
    ['/fhir/ImagingStudy?identifier=1.2.3&patient=1', 400, 'not-supported'],
    ['/fhir/ImagingStudy?identifier=1&identifier=2', 400, 'invalid'],
    [`/fhir/ImagingStudy?identifier=${'1,'.repeat(30)}`, 400, 'invalid'],
    ['/fhir/ImagingStudy/1.2.3', 404, 'not-found'],
    ['/fhir/ImagingStudy/%2e%2e%2fetc', 404, 'not-found'],
    ['/fhir/ImagingStudy?identifier=1.2.3&_format=xml', 406, 'not-supported'],
    ['/fhir/Patient/1', 404, 'not-found'],
  ])('%s is answered %i by a valid OperationOutcome', async (path, status, code) => {
    const answer = await ask(path);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({
      resourceType: 'OperationOutcome',
      issue: [{ severity: 'error', code }],
    });
    expect(validateFhir(answer.body)).toEqual([]);
    expect(answer.type).toBe('application/fhir+json; charset=utf-8');
  });

  test('XML alone is not acceptable', async () => {
    const answer = await ask('/fhir/metadata', { headers: { accept: 'application/fhir+xml' } });
    expect(answer.status).toBe(406);
  });

  test('says what it can do', async () => {
    const { body } = await ask('/fhir/metadata');
    expect(validateFhir(body)).toEqual([]);
    expect(body).toMatchObject({ resourceType: 'CapabilityStatement', fhirVersion: '4.0.1' });
  });

  test('a database that is away is a transient outcome', async () => {
    await ehr.database.query('alter table study rename to study_gone');
    const answer = await ask('/fhir/ImagingStudy/1.2.3');
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(answer.body.resourceType).toBe('OperationOutcome');
    expect(JSON.stringify(answer.body)).not.toContain('study_gone');
    await ehr.database.query('alter table study_gone rename to study');
  });
});
