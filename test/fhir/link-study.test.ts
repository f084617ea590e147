import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deleteInstances } from '../../src/archive/delete-instances.ts';
import { declareStable } from '../../src/archive/stable-study.ts';
import { createUid } from '../../src/dicom/uid.ts';
import { type Link, retry } from '../../src/fhir/link-ledger.ts';
import { studyIdentifier } from '../../src/fhir/uid-identifier.ts';
import type { Fault } from '../support/fault-proxy.ts';
import { type FhirPeer, startFhirPeer } from '../support/fhir-peer.ts';
import { type Ehr, openEhr, PATIENT_SYSTEM, until } from './ehr.ts';
import { givenStableStudy, givenStudy } from './study-of.ts';

let peer: FhirPeer;
let ehr: Ehr;

beforeAll(async () => {
  peer = await startFhirPeer();
});
afterAll(() => peer?.stop());
beforeEach(async () => {
  ehr = await openEhr(peer);
});
afterEach(() => ehr.close());

const stable = (more = {}) => givenStableStudy(ehr.database, { patientId: ehr.patientId, ...more });
const isWrite = ({ method }: { method: string }): boolean => method === 'POST' || method === 'PUT';
const ofStudy = (request: { method: string; path: string }): boolean =>
  isWrite(request) && request.path.includes('/ImagingStudy');
const once = (fault: Fault, when = ofStudy, times = 1) => ehr.proxy.inject({ fault, when, times });
const writes = (): string[] => ehr.requests().filter((request) => /^(POST|PUT) ImagingStudy/.test(request));

describe('a stable study', () => {
  test('becomes one ImagingStudy with its patient, our Endpoint and the right counts', async () => {
    const patient = await ehr.createPatient();
    const studyUid = await stable({ series: [27, 2] });
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'linked');
    const [resource, ...more] = await ehr.imagingStudies(studyUid);
    expect(more).toEqual([]);
    expect(resource).toMatchObject({
      id: link.resourceId,
      status: 'available',
      subject: { reference: `Patient/${patient.id}` },
      numberOfSeries: 2,
      numberOfInstances: 29,
      started: '2024-01-31T10:15:30+01:00',
    });
    expect(resource?.series?.map((series) => series.instance?.length)).toEqual([27, 2]);
    const endpoint = await peer.get(resource?.endpoint?.[0]?.reference ?? '');
    expect(endpoint).toMatchObject({ status: 'active', address: 'http://127.0.0.1:8080/dicom-web' });
    expect(link).toMatchObject({ studyVersion: 1, versionId: resource?.meta?.versionId, reason: null });
  });

  test('that is sent again makes no request, and no second version', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'linked');
    ehr.proxy.clear();
    await stable({ studyUid });
    await ehr.database.query(
      `insert into change (kind, study_uid, study_version) values ('study-stable', $1, 1)`,
      [studyUid],
    );
    const again = await until('the second link', async () => {
      const now = await ehr.link(studyUid, 'linked');
      return now.changedAt > link.changedAt && now;
    });
    expect(ehr.requests()).toEqual([]);
    expect(again).toMatchObject({ resourceId: link.resourceId, versionId: link.versionId });
    expect(await peer.versions('ImagingStudy', link.resourceId ?? '')).toBe(1);
  });

  test('that grew is updated whole, with If-Match, and another study shares the Endpoint', async () => {
    await ehr.createPatient();
    const studyUid = await stable({ series: [2, 1] });
    await ehr.fhir().start();
    const before = await ehr.link(studyUid, 'linked');
    await givenStudy(ehr.database, { studyUid, patientId: ehr.patientId, series: [3, 1, 4] });
    await declareStable(ehr.database, 0);
    await until('the update', async () => (await ehr.imagingStudies(studyUid))[0]?.numberOfInstances === 8);
    const [resource] = await ehr.imagingStudies(studyUid);
    expect(resource).toMatchObject({ id: before.resourceId, numberOfSeries: 3 });
    expect(resource?.series?.map((series) => series.numberOfInstances)).toEqual([3, 1, 4]);
    const put = ehr.proxy.requests.find((request) => request.method === 'PUT');
    expect(put?.headers['if-match']).toBe(`W/"${before.versionId}"`);

    const other = await stable({ studyUid: createUid() });
    await ehr.link(other, 'linked');
    expect((await ehr.imagingStudies(other))[0]?.endpoint).toEqual(resource?.endpoint);
    expect(ehr.requests().filter((request) => request === 'POST Endpoint')).toHaveLength(1);
  });

  test('is made once by two workers that race for it', async () => {
    await ehr.createPatient();
    const studies = await Promise.all(Array.from({ length: 6 }, () => stable({ studyUid: createUid() })));
    await Promise.all([ehr.fhir().start(), ehr.fhir().start()]);
    for (const studyUid of studies) {
      await ehr.link(studyUid, 'linked');
      expect(await ehr.imagingStudies(studyUid)).toHaveLength(1);
    }
    expect(writes()).toHaveLength(6);
  });

  test('is left alone by a worker whose lease ran out while it asked', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    once({ kind: 'delay', ms: 1500 }, ({ path }) => path.includes('/Patient'));
    await ehr.fhir({ leaseMs: 300 }).start();
    await until('the slow search', async () => ehr.requests().includes('GET Patient'));
    await ehr.fhir().start();
    await ehr.link(studyUid, 'linked');
    await until('the end of the slow search', async () =>
      ehr.proxy.requests.every(({ status }) => status !== undefined),
    );
    await ehr.fhir().stop();
    expect(writes()).toEqual(['POST ImagingStudy']);
    expect(await ehr.imagingStudies(studyUid)).toHaveLength(1);
  });

  test('keeps what the EHR added to the resource', async () => {
    const patient = await ehr.createPatient();
    const studyUid = await stable({ more: { ReferringPhysicianName: { Alphabetic: 'King^Ada' } } });
    await ehr.fhir().start();
    const { resourceId } = await ehr.link(studyUid, 'linked');
    const current = await peer.get(`ImagingStudy/${resourceId}`);
    const identifier = { system: 'urn:oid:1.2.99', value: 'EHR-7' };
    await peer.update({
      ...current,
      note: [{ text: 'seen in the tumour board' }],
      encounter: { reference: 'Encounter/e' },
      procedureCode: [{ text: 'ordered as' }],
      referrer: { reference: 'Practitioner/p', display: 'Ada King' },
      identifier: [identifier, ...(current.identifier as object[])],
      numberOfInstances: 999,
      subject: { reference: 'Patient/other' },
    });
    await givenStudy(ehr.database, { studyUid, patientId: ehr.patientId, series: [5] });
    await declareStable(ehr.database, 0);
    await until('the update', async () => (await ehr.imagingStudies(studyUid))[0]?.numberOfInstances === 6);
    const [merged] = await ehr.imagingStudies(studyUid);
    expect(merged).toMatchObject({
      note: [{ text: 'seen in the tumour board' }],
      encounter: { reference: 'Encounter/e' },
      procedureCode: [{ text: 'ordered as' }],
      referrer: { reference: 'Practitioner/p' },
      identifier: [identifier, ...(current.identifier as object[])],
      subject: { reference: `Patient/${patient.id}` },
    });
  });

  test("names the order with its accession number, where it is the same patient's", async () => {
    const patient = await ehr.createPatient();
    const accession = `A-${ehr.patientId.slice(0, 8)}`;
    const order = (subject: string) => ({
      resourceType: 'ServiceRequest',
      status: 'active',
      intent: 'order',
      identifier: [{ system: 'urn:oid:1.2.55', value: accession }],
      subject: { reference: subject },
    });
    await peer.create(order('Patient/somebody-else'));
    const { id } = await peer.create(order(`Patient/${patient.id}`));
    const studyUid = await stable({ more: { AccessionNumber: accession } });
    await ehr.fhir().start();
    await ehr.link(studyUid, 'linked');
    const [resource] = await ehr.imagingStudies(studyUid);
    expect(resource?.basedOn).toEqual([{ reference: `ServiceRequest/${id}` }]);
    expect(resource?.identifier[1]?.value).toBe(accession);
  });

  test('that is held waits, and goes on when it is released', async () => {
    await ehr.createPatient();
    const studyUid = await givenStudy(ehr.database, { patientId: ehr.patientId });
    await ehr.database.query(`update study set held = 'the patient' where study_uid = $1`, [studyUid]);
    await declareStable(ehr.database, 0);
    await ehr.fhir().start();
    const link = await until('the link', async () => {
      const now = await ehr.link(studyUid, 'waiting');
      return now.reason !== null && now;
    });
    expect(link.reason).toContain('held');
    expect(link.nextAttempt).toBeNull();
    expect(ehr.requests()).toEqual([]);
    await ehr.database.query('update study set held = null');
    await ehr.database.query(
      `insert into change (kind, study_uid, study_version) values ('study-released', $1, 1)`,
      [studyUid],
    );
    await ehr.link(studyUid, 'linked');
  });
});

describe('a study that is deleted', () => {
  const remove = (studyUid: string) =>
    deleteInstances(ehr.database, { studyUid }, { actor: 'anna', address: '127.0.0.1' });
  const changedSince = (studyUid: string, link: Link) =>
    until('the next link', async () => {
      const now = await ehr.link(studyUid, 'linked');
      return now.changedAt > link.changedAt && now;
    });

  test('is cancelled at the EHR, once, and keeps what others noted', async () => {
    const patient = await ehr.createPatient();
    const studyUid = await stable();
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'linked');
    const current = await peer.get(`ImagingStudy/${link.resourceId}`);
    await peer.update({ ...current, note: [{ text: 'seen in the tumour board' }] });
    ehr.proxy.clear();
    // The answer to our update is lost: it is looked up, not told twice.
    once({ kind: 'lose-answer' }, ({ method }) => method === 'PUT');
    expect(await remove(studyUid)).toBe(3);
    const gone = await changedSince(studyUid, link);
    expect(gone).toMatchObject({ resourceId: link.resourceId, reason: expect.stringContaining('deleted') });
    const [resource, ...more] = await ehr.imagingStudies(studyUid);
    expect(more).toEqual([]);
    expect(resource).toMatchObject({
      id: link.resourceId,
      status: 'cancelled',
      subject: { reference: `Patient/${patient.id}` },
      note: [{ text: 'seen in the tumour board' }],
      numberOfSeries: 0,
      numberOfInstances: 0,
    });
    expect([resource?.endpoint, resource?.series]).toEqual([undefined, undefined]);
    expect(await peer.versions('ImagingStudy', link.resourceId ?? '')).toBe(3);

    ehr.proxy.clear();
    await ehr.database.query(
      `insert into change (kind, study_uid, study_version) values ('study-deleted', $1, 9)`,
      [studyUid],
    );
    await changedSince(studyUid, gone);
    expect(ehr.requests()).toEqual([]);
    const { rows } = await ehr.database.query<{ instances: number }>(
      `select instances from disclosure where study_uid = $1 and channel = 'fhir' and detail->>'action' = 'update'
       order by id desc limit 1`,
      [studyUid],
    );
    expect(rows).toEqual([{ instances: 0 }]);
  });

  test('and sent again is available again, as the same resource', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'linked');
    await remove(studyUid);
    await until(
      'the withdrawal',
      async () => (await ehr.imagingStudies(studyUid))[0]?.status === 'cancelled',
    );
    await changedSince(studyUid, link);
    await stable({ studyUid, series: [2] });
    await until('the study', async () => (await ehr.imagingStudies(studyUid))[0]?.status === 'available');
    const [resource] = await ehr.imagingStudies(studyUid);
    expect(resource).toMatchObject({ id: link.resourceId, numberOfInstances: 2 });
    expect(resource?.endpoint).toHaveLength(1);
    expect((await changedSince(studyUid, link)).reason).toBeNull();
  });

  test('and sent again before we heard that it is cancelled is available again', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    await ehr.fhir().start();
    await ehr.link(studyUid, 'linked');
    let isAway = false;
    once({ kind: 'refuse' }, () => isAway, 1000);
    // The EHR takes it, and is away before it can say so.
    once({ kind: 'lose-answer' }, ({ method }) => {
      isAway ||= method === 'PUT';
      return method === 'PUT';
    });
    await remove(studyUid);
    await until(
      'the withdrawal',
      async () => (await ehr.imagingStudies(studyUid))[0]?.status === 'cancelled',
    );
    await stable({ studyUid });
    isAway = false;
    await until('the study', async () => (await ehr.imagingStudies(studyUid))[0]?.status === 'available');
  });

  test('before the EHR heard of it makes nothing there, and what is there of others stays', async () => {
    const patient = await ehr.createPatient();
    const studyUid = await stable();
    const { system, value } = studyIdentifier(studyUid);
    const theirs = await peer.create({
      resourceType: 'ImagingStudy',
      status: 'registered',
      identifier: [{ system, value }],
      subject: { reference: `Patient/${patient.id}` },
    });
    await remove(studyUid);
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'linked');
    expect(link).toMatchObject({ resourceId: null, reason: expect.stringContaining('deleted') });
    expect(writes()).toEqual([]);
    expect(await ehr.imagingStudies(studyUid)).toEqual([theirs]);
  });

  test('is cancelled also when a person has it told anew', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    const fhir = ehr.fhir();
    await fhir.start();
    const link = await ehr.link(studyUid, 'linked');
    await fhir.stop();
    await remove(studyUid);
    await retry(ehr.database, studyUid);
    await ehr.fhir().start();
    await changedSince(studyUid, link);
    expect((await ehr.imagingStudies(studyUid))[0]).toMatchObject({ status: 'cancelled', numberOfSeries: 0 });
  });
});

describe('a peer in trouble', () => {
  test('an answer lost after the create leaves one resource, and no second version', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    once({ kind: 'lose-answer' });
    await ehr.fhir().start();
    const { resourceId } = await ehr.link(studyUid, 'linked');
    expect(await ehr.imagingStudies(studyUid)).toHaveLength(1);
    expect(await peer.versions('ImagingStudy', resourceId ?? '')).toBe(1);
    expect(writes()).toEqual(['POST ImagingStudy']);
  });

  test('412 on the update: read again, merged, written', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    await ehr.fhir().start();
    const { resourceId } = await ehr.link(studyUid, 'linked');
    // Between our read and our write somebody adds a note: the peer itself says 412 to the old version.
    ehr.proxy.clear();
    once({ kind: 'delay', ms: 400 }, ({ method }) => method === 'PUT');
    await givenStudy(ehr.database, { studyUid, patientId: ehr.patientId, series: [5] });
    await declareStable(ehr.database, 0);
    await until('our write', async () => ehr.requests().includes('PUT ImagingStudy'));
    const current = await peer.get(`ImagingStudy/${resourceId}`);
    await peer.update({ ...current, note: [{ text: 'meanwhile' }] });
    await until('the update', async () => (await ehr.imagingStudies(studyUid))[0]?.numberOfInstances === 6);
    const [merged] = await ehr.imagingStudies(studyUid);
    expect(merged?.note).toEqual([{ text: 'meanwhile' }]);
    const puts = ehr.proxy.requests.filter(({ method }) => method === 'PUT').map(({ status }) => status);
    expect(puts).toEqual([412, 200]);
  });

  test('429 with Retry-After is waited for', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    once({ kind: 'answer', status: 429, headers: { 'retry-after': '7200' } }, isWrite, 1);
    await ehr.fhir().start();
    const link = await until('the pause', async () => {
      const now = await ehr.link(studyUid, 'waiting');
      return now.reason !== null && now;
    });
    expect(link.reason).toContain('429');
    const { rows } = await ehr.database.query<{ enough: boolean }>(
      `select next_attempt_at > now() + interval '7000 seconds' as enough from fhir_link`,
    );
    expect(rows).toEqual([{ enough: true }]);
  });

  test.each([
    ['503', { kind: 'answer', status: 503 }],
    ['409', { kind: 'answer', status: 409 }],
    ['408', { kind: 'answer', status: 408 }],
    [
      'an HTML error page',
      { kind: 'answer', status: 502, body: '<html>', headers: { 'content-type': 'text/html' } },
    ],
    ['a cut connection', { kind: 'refuse' }],
  ] as [string, Fault][])('%s three times, then fine: linked once', async (_name, fault) => {
    await ehr.createPatient();
    const studyUid = await stable();
    once(fault, ofStudy, 3);
    await ehr.fhir().start();
    await ehr.link(studyUid, 'linked');
    expect(await ehr.imagingStudies(studyUid)).toHaveLength(1);
  });

  test('a server that hangs is given up on, and stop() does not wait for it', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    ehr.proxy.inject({ fault: { kind: 'delay', ms: 60_000 }, times: Number.POSITIVE_INFINITY });
    const fhir = ehr.fhir({ requestTimeoutMs: 100, drainMs: 100 });
    await fhir.start();
    const link = await until('the timeout', async () => {
      const now = await ehr.link(studyUid, 'waiting');
      return now.reason !== null && now;
    });
    expect(link.reason).toContain('did not answer within');
    const slow = ehr.fhir({ requestTimeoutMs: 600_000, drainMs: 100 });
    await slow.start();
    await slow.stop();
  });

  test('a 422 parks the study with the codes of its outcome, never its words', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    const outcome = {
      resourceType: 'OperationOutcome',
      issue: [
        {
          severity: 'error',
          code: 'business-rule',
          diagnostics: 'Patient Jane Roe, born 1980, is deceased',
          expression: ['ImagingStudy.subject', "Patient.where(name='Roe')"],
        },
      ],
    };
    once({ kind: 'answer', status: 422, body: JSON.stringify(outcome) });
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'parked');
    expect(link.reason).toMatch(
      /answered 422 to POST ImagingStudy \(business-rule at ImagingStudy\.subject\)\.$/,
    );
    expect(link.reason).not.toContain('Roe');
    expect(link.nextAttempt).toBeNull();
  });

  test('several ImagingStudies of one study park it', async () => {
    const patient = await ehr.createPatient();
    const studyUid = await stable();
    const twin = {
      resourceType: 'ImagingStudy',
      status: 'available',
      identifier: [{ system: 'urn:dicom:uid', value: `urn:oid:${studyUid}` }],
      subject: { reference: `Patient/${patient.id}` },
    };
    const [one, two] = [await peer.create(twin), await peer.create(twin)];
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'parked');
    expect(link.reason).toContain('several ImagingStudy resources');
    expect(link.reason).toContain(one.id);
    expect(link.reason).toContain(two.id);
    expect(writes()).toEqual([]);
  });

  test('a server that ignores the search parameter never lends its patients', async () => {
    await ehr.createPatient();
    const studyUid = await stable();
    const everybody = {
      resourceType: 'Bundle',
      type: 'searchset',
      entry: [
        {
          resource: {
            resourceType: 'Patient',
            id: 'x',
            identifier: [{ system: PATIENT_SYSTEM, value: 'no' }],
          },
        },
      ],
    };
    once({ kind: 'answer', status: 200, body: JSON.stringify(everybody) }, ({ path }) =>
      path.includes('/Patient'),
    );
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'unlinked');
    expect(link.reason).toContain('do not have it');
    expect(writes()).toEqual([]);
  });
});

describe('the patient', () => {
  test('two patients with the identifier: unlinked, says several', async () => {
    await ehr.createPatient();
    await ehr.createPatient();
    const studyUid = await stable();
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'unlinked');
    expect(link.reason).toContain('several patients');
    expect(link.reason).not.toContain(ehr.patientId);
  });

  test('of two, one replaced by the other: the living one is meant', async () => {
    const patient = await ehr.createPatient();
    await peer.create({
      resourceType: 'Patient',
      identifier: [{ system: PATIENT_SYSTEM, value: ehr.patientId }],
      link: [{ other: { reference: `Patient/${patient.id}` }, type: 'replaced-by' }],
    });
    const studyUid = await stable();
    await ehr.fhir().start();
    await ehr.link(studyUid, 'linked');
    expect((await ehr.imagingStudies(studyUid))[0]?.subject.reference).toBe(`Patient/${patient.id}`);
  });

  test.each([
    [{ patientId: '' }, 'no (0010,0020) PatientID'],
    [{ more: { IssuerOfPatientID: 'HOSPITAL' } }, '(0010,0021) IssuerOfPatientID is a local name'],
  ])('%j: unlinked, and nothing is asked', async (more, reason) => {
    const studyUid = await stable(more);
    await ehr.fhir().start();
    const link = await ehr.link(studyUid, 'unlinked');
    expect(link.reason).toContain(reason);
    expect(ehr.requests()).toEqual([]);
  });

  test('an issuer that is an OID names the system itself', async () => {
    const patient = await peer.create({
      resourceType: 'Patient',
      identifier: [{ system: 'urn:oid:1.2.777', value: ehr.patientId }],
    });
    const studyUid = await stable({ more: { IssuerOfPatientID: '1.2.777' } });
    await ehr.fhir({ patientSystem: undefined }).start();
    await ehr.link(studyUid, 'linked');
    expect((await ehr.imagingStudies(studyUid))[0]?.subject.reference).toBe(`Patient/${patient.id}`);
  });
});

test('the token is sent, and every exit is disclosed to the host it goes to', async () => {
  await ehr.createPatient();
  const studyUid = await stable();
  await ehr.fhir({ token: 'secret-token' }).start();
  await ehr.link(studyUid, 'linked');
  expect(ehr.proxy.requests.every(({ headers }) => headers.authorization === 'Bearer secret-token')).toBe(
    true,
  );
  const { rows } = await ehr.database.query<{
    recipient: string;
    study_uid: string;
    detail: object;
    instances: number;
  }>(`select recipient, study_uid, detail, instances from disclosure where channel = 'fhir' order by id`);
  const recipient = new URL(ehr.proxy.url).host;
  expect(rows).toEqual([
    { recipient, study_uid: studyUid, detail: { action: 'search', resource: 'Patient' }, instances: null },
    { recipient, study_uid: studyUid, detail: { action: 'create', resource: 'ImagingStudy' }, instances: 3 },
  ]);
});

test('a new address moves the Endpoint and leaves the studies alone', async () => {
  await ehr.createPatient();
  const studyUid = await stable();
  const first = ehr.fhir();
  await first.start();
  const { resourceId } = await ehr.link(studyUid, 'linked');
  await first.stop();
  await ehr.fhir({ publicUrl: () => 'https://pacs.example' }).start();
  const [resource] = await ehr.imagingStudies(studyUid);
  const reference = resource?.endpoint?.[0]?.reference ?? '';
  await until(
    'the address',
    async () => (await peer.get(reference)).address === 'https://pacs.example/dicom-web',
  );
  expect(await peer.versions('ImagingStudy', resourceId ?? '')).toBe(1);
});

test('another FHIR_BASE_URL is told everything, by a server that knows nothing yet', async () => {
  await ehr.createPatient();
  const studyUid = await stable();
  const first = ehr.fhir();
  await first.start();
  const before = await ehr.link(studyUid, 'linked');
  await first.stop();
  await ehr.fhir({ baseUrl: peer.url }).start();
  const after = await until('the move', async () => {
    const link = await ehr.link(studyUid, 'linked');
    return link.server === peer.url && link;
  });
  // The same EHR by another name: found, not made twice.
  expect(after.resourceId).toBe(before.resourceId);
  expect(await ehr.imagingStudies(studyUid)).toHaveLength(1);
});
