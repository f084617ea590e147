/**
 * Storage commitment both ways with Orthanc: it commits to what we forward, and reports on an association of its own;
 * and it asks us to commit to what it sent, and hears from us at the address that /api/aes has for it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anObject, CT, uid } from '../support/an-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';
import { type Orthanc, startOrthanc } from '../support/orthanc.ts';
import { peer } from '../support/peers.ts';

interface Delivery {
  id: number;
  state: string;
  total: number;
  delivered: number;
  committed: number;
  lastError: string | null;
}

describe.skipIf(!peer('orthanc'))('storage commitment with Orthanc (needs orthanc)', () => {
  let house: House;
  let orthanc: Orthanc;

  const json = async <T>(where: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${house.url}${where}`, init);
    if (!response.ok) throw new Error(`${where}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const put = (where: string, body: unknown): Promise<unknown> =>
    json(where, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const post = async <T>(where: string, body: unknown): Promise<T> => {
    const response = await fetch(`${orthanc.url}${where}`, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${where}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };

  beforeAll(async () => {
    house = await openHouse();
    orthanc = await startOrthanc({ modalities: { isocenter: ['ISOCENTER', '127.0.0.1', house.dicomPort] } });
    await put('/api/aes/orthanc', { aeTitle: 'ORTHANC', host: '127.0.0.1', port: orthanc.dicomPort });
    await put('/api/aes/ct1', { aeTitle: 'CT1' });
    await put('/api/destinations/pacs', {
      kind: 'dimse',
      host: '127.0.0.1',
      port: orthanc.dicomPort,
      aeTitle: 'ORTHANC',
      commitment: { waitS: 30 },
    });
    await put('/api/rules/all', { when: {}, send: ['pacs'] });
  });
  afterAll(async () => {
    await house?.close();
    await orthanc?.stop();
  });

  it('a delivery to it is done once it has committed to every instance', async () => {
    const study = uid();
    const objects = [1, 2, 3].map((number) =>
      anObject({ study, series: `${study}.1`, number, pixels: number }),
    );
    await sendObjects(house, 'CT1', objects);
    const [done] = await eventually(async () => {
      const found = await json<Delivery[]>(`/api/deliveries?study=${study}`);
      return found[0]?.state === 'delivered' ? found : undefined;
    }, 'the delivery, committed');
    expect(done).toMatchObject({ total: 3, delivered: 3, committed: 3, lastError: null });
    const { instances } = await json<{ instances: object[] }>(`/api/deliveries/${done!.id}`);
    expect(instances).toMatchObject(Array(3).fill({ state: 'delivered', commitment: 'committed' }));
    const { steps } = await json<{ steps: { step: string }[] }>(`/api/studies/${study}/timeline`);
    expect(steps.map(({ step }) => step)).toContain('instances-committed');
    expect(await orthanc.get('/instances')).toHaveLength(3);
  });

  it('it asks us for what it sent and for what it never did, and hears which is which', async () => {
    const study = uid();
    const object = anObject({ study, series: `${study}.1`, pixels: 9 });
    await sendObjects(house, 'CT1', [object]);
    const unknown = uid();
    const { Path } = await post<{ Path: string }>('/modalities/isocenter/storage-commitment', {
      DicomInstances: [
        [CT, object.sop],
        [CT, unknown],
      ],
    });
    const report = await eventually(
      async () => {
        const now = (await orthanc.get(Path)) as { Status: string };
        return now.Status === 'Pending' ? undefined : now;
      },
      'the report',
      40_000,
    );
    expect(report).toMatchObject({
      Status: 'Failure',
      Success: [{ SOPClassUID: CT, SOPInstanceUID: object.sop }],
      Failures: [{ SOPInstanceUID: unknown, FailureReason: 0x0112 }],
    });
    const request = await eventually(
      async () => (await json<object[]>('/api/commitments?ae=ORTHANC&state=reported'))[0],
      'our note of its answer',
    );
    expect(request).toMatchObject({ instances: 2, committed: 1 });
  });
});
