/**
 * A PACS administrator changes a rule: looks at what a draft would do with a file and with last week's studies, puts it
 * into force, sees in the timeline why each study went or did not, and takes the rule back.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { disclosureSchema } from '../../src/admin/reconcile-lists.ts';
import { timelineSchema } from '../../src/admin/timeline-schema.ts';
import { ruleVersionSchema, shownRuleSchema, triedSchema } from '../../src/routing/rule-answers.ts';
import { type AnObject, anObject, uid } from '../support/an-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { fileOf, multipart, sendObjects, stow } from '../support/modality.ts';
import { type StoreScp, startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';

const describedPeer = peer('dcmtk');
const SECRET = 'SECRET-4711';

let house: House;
let pacs: StoreScp;
const kept = uid();
const studyOf = (study: string, count: number): AnObject[] => {
  const series = uid();
  return Array.from({ length: count }, (_, index) =>
    anObject({ study, series, patientId: SECRET, number: index + 1, pixelBytes: 3_000_000 }),
  );
};

const call = async <T>(method: string, where: string, body?: unknown): Promise<T> => {
  const response = await fetch(`${house.url}${where}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  return JSON.parse(text) as T;
};

interface Tried {
  instances: number;
  goes: { destination: string; instances: number }[];
  more: { destination: string; instances: number }[];
  less: { destination: string; instances: number }[];
  decisions: { rule: string; matched: boolean; reason: string; decided: object[] }[];
}
interface Step {
  step: string;
  rule?: string;
  matched?: boolean;
  reason?: string;
  ruleVersion?: number;
  decided?: { path: string; attribute: string; held: boolean }[];
}

/** As curl -F sends it. */
async function tryFile(file: Uint8Array, ask?: object): Promise<Tried> {
  const form = new FormData();
  if (ask) form.set('ask', JSON.stringify(ask));
  form.set('object', new Blob([new Uint8Array(file)], { type: 'application/octet-stream' }), 'a.dcm');
  const response = await fetch(`${house.url}/api/rules/try`, { method: 'POST', body: form });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  expect(triedSchema.safeParse(JSON.parse(text)).error).toBeUndefined();
  return JSON.parse(text) as Tried;
}

test.skipIf(!describedPeer)('the peers of this journey are installed (dcmtk)', () => {
  expect(describedPeer?.storescp).toBeDefined();
});

beforeAll(async () => {
  if (!describedPeer) return;
  [house, pacs] = await Promise.all([openHouse(), startStoreScp({ aeTitle: 'PACS' })]);
  await call('PUT', '/api/destinations/pacs', {
    kind: 'dimse',
    host: '127.0.0.1',
    port: pacs.port,
    aeTitle: 'PACS',
  });
  await call('PUT', '/api/rules/ct', { when: { PatientID: 'NOBODY' }, send: ['pacs'] });
  await sendObjects(house, 'CT1', studyOf(kept, 2));
  await eventually(async () => {
    const { steps } = await call<{ steps: Step[] }>('GET', `/api/studies/${kept}/timeline`);
    return steps.find(({ step }) => step === 'rule-decided');
  }, 'the decision');
});
afterAll(async () => {
  await house?.close();
  await pacs?.stop();
});

test.skipIf(!describedPeer)(
  'why a study did not go stands in its timeline, without the patient',
  async () => {
    const timeline = await call<{ steps: Step[] }>('GET', `/api/studies/${kept}/timeline`);
    expect(timeline.steps.find(({ step }) => step === 'rule-decided')).toMatchObject({
      rule: 'ct',
      ruleVersion: 1,
      matched: false,
      decided: [{ path: 'when.PatientID', attribute: 'PatientID', held: false }],
    });
    expect(JSON.stringify(timeline)).not.toMatch(/SECRET|NOBODY/);
  },
);

test.skipIf(!describedPeer)('a draft is tried on a file, whose pixels are passed over', async () => {
  const [object] = studyOf(uid(), 1);
  const file = fileOf({ ...object!, dataSet: Buffer.concat([object!.dataSet, Buffer.alloc(6_000_000)]) });
  const rule = { when: { Modality: 'CT', CallingAETitle: 'CT*' }, send: ['pacs'] };
  const tried = await tryFile(file, { rule, association: { CallingAETitle: 'CT1' } });
  expect(tried).toMatchObject({ instances: 1, more: [{ destination: 'pacs', instances: 1 }] });
  expect((await tryFile(file, { rule })).more).toEqual([]);
  expect((await tryFile(file)).decisions).toMatchObject([{ rule: 'ct', matched: false }]);
  const plain = await fetch(`${house.url}/api/rules/try`, {
    method: 'POST',
    headers: { 'content-type': 'application/dicom' },
    body: new Uint8Array(file),
  });
  expect(await plain.json()).toMatchObject({ goes: [], decisions: [{ rule: 'ct' }] });
});

test.skipIf(!describedPeer)('what is no object, or too much of one, is refused in words', async () => {
  await expect(tryFile(Buffer.from('no DICOM'))).rejects.toThrow(/^400/);
  const [object] = studyOf(uid(), 1);
  const cut = { ...object!, dataSet: object!.dataSet.subarray(0, 45) };
  await expect(tryFile(fileOf(cut))).rejects.toThrow(/400: .*cannot be read/);
  // (0021,1010) OB of 5 MB stands before the pixels.
  const long = [Buffer.from('210010104f420000404b4c00', 'hex'), Buffer.alloc(5_000_000)];
  const huge = fileOf(anObject({ more: long }));
  await expect(tryFile(huge)).rejects.toThrow(/413/);
  await expect(call('POST', '/api/rules/try', {})).rejects.toThrow(/needs one of these/);
  await expect(call('POST', '/api/rules/try', { days: 1, study: kept })).rejects.toThrow(
    /needs one of these/,
  );
  await expect(call('POST', '/api/rules/try', { day: 1 })).rejects.toThrow(/day is not known here/);
});

test.skipIf(!describedPeer)(
  'a draft is tried on the last days, on record, and then does what was said',
  async () => {
    const rule = { when: { Modality: 'CT' }, send: ['pacs'] };
    const days = await call<Tried & { studies: { study: string }[]; looked: number; of: number }>(
      'POST',
      '/api/rules/try',
      { rule, replaces: 'ct', days: 7 },
    );
    expect(days).toMatchObject({
      looked: 1,
      of: 1,
      more: [{ destination: 'pacs', instances: 2, studies: 1 }],
    });
    expect(days.studies.map(({ study }) => study)).toEqual([kept]);
    const one = await call<Tried>('POST', '/api/rules/try', { rule, replaces: 'ct', study: kept });
    expect(one).toMatchObject({ goes: [{ destination: 'pacs', instances: 2 }], less: [] });
    for (const tried of [days, one]) expect(triedSchema.safeParse(tried).error).toBeUndefined();
    expect(JSON.stringify([days, one])).not.toContain(SECRET);
    const records = await call<unknown>('GET', '/api/disclosures');
    expect(z.array(disclosureSchema).safeParse(records).error).toBeUndefined();
    expect(JSON.stringify(records)).toMatch(/rules-tried/);
    expect(await call<unknown[]>('GET', '/api/deliveries'), 'nothing was written').toEqual([]);

    await call('PUT', '/api/rules/ct', rule);
    const next = uid();
    await stow(house, multipart(studyOf(next, 3).map(fileOf)));
    await eventually(async () => {
      const [delivery] = await call<{ state: string; delivered: number }[]>(
        'GET',
        `/api/deliveries?study=${next}`,
      );
      return delivery?.state === 'delivered' && delivery.delivered === 3 ? true : undefined;
    }, 'the delivery');
    expect(await pacs.received()).toHaveLength(3);
  },
);

test.skipIf(!describedPeer)('late images add a decision, and those from before stand', async () => {
  await sendObjects(house, 'CT1', studyOf(kept, 1));
  const decided = await eventually(async () => {
    const { steps } = await call<{ steps: Step[] }>('GET', `/api/studies/${kept}/timeline`);
    const found = steps.filter(({ step }) => step === 'rule-decided');
    return found.length === 2 ? found : undefined;
  }, 'the second decision');
  const timeline = await call('GET', `/api/studies/${kept}/timeline`);
  expect(timelineSchema.safeParse(timeline).error).toBeUndefined();
  expect(decided).toMatchObject([
    { rule: 'ct', ruleVersion: 1, matched: false },
    {
      rule: 'ct',
      ruleVersion: 2,
      matched: true,
      decided: [{ path: 'when.Modality', attribute: 'Modality', held: true }],
    },
  ]);
});

test.skipIf(!describedPeer)('the rule is taken back, and its versions tell who changed what', async () => {
  const restored = await call('POST', '/api/rules/ct/restore', { version: 1 });
  expect(shownRuleSchema.safeParse(restored).error).toBeUndefined();
  expect(restored).toMatchObject({
    version: 3,
    when: { PatientID: 'NOBODY' },
  });
  const versions = await call('GET', '/api/rules/ct/versions');
  expect(z.array(ruleVersionSchema).safeParse(versions).error).toBeUndefined();
  expect(versions).toMatchObject([
    {
      version: 3,
      changedBy: 'anonymous',
      changes: ['when.Modality is gone: "CT"', 'when.PatientID is new: "NOBODY"'],
    },
    { version: 2, changes: ['when.PatientID is gone: "NOBODY"', 'when.Modality is new: "CT"'] },
    { version: 1, changes: ['the rule was made'] },
  ]);
  await expect(call('POST', '/api/rules/ct/restore', { version: 9 })).rejects.toThrow(
    /never had a version 9/,
  );
  await expect(call('POST', '/api/rules/ct/restore', { version: '1' })).rejects.toThrow(
    /version: expected number/,
  );
});
