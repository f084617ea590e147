/** What an administrator looks at while destinations come, go and fail, on the whole program: /metrics and what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anObject, uid } from '../support/an-object.ts';
import { freePort } from '../support/free-port.ts';
import { eventually, type House, openHouse } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';

describe('destinations of a whole house', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ PUBLIC_URL: 'https://images.example/archive' });
  });
  afterAll(() => house?.close());

  const put = async (where: string, body: object): Promise<{ status: number; message?: string }> => {
    const response = await fetch(`${house.url}/api/${where}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const { message } = (await response.json()) as { message?: string };
    return { status: response.status, ...(message !== undefined && { message }) };
  };

  it('are numbers at /metrics: what is owed, the breaker, the member of a group that is used', async () => {
    const away = { kind: 'dimse', host: '127.0.0.1', port: await freePort(), aeTitle: 'PACS' };
    expect((await put('destinations/away', away)).status).toBe(201);
    expect((await put('destinations/off', { ...away, enabled: false })).status).toBe(201);
    expect((await put('destinations/pair', { kind: 'group', members: ['off', 'away'] })).status).toBe(201);
    expect((await put('rules/all', { send: ['away', 'off', 'pair'] })).status).toBe(201);
    const study = uid();
    await sendObjects(house, 'CT1', [anObject({ study, series: `${study}.1`, pixels: 1 })]);
    const lines = await eventually(async () => {
      const response = await fetch(`${house.url}/metrics`);
      expect(response.status).toBe(200);
      const text = await response.text();
      return text.includes('isocenter_destination_up{destination="away"} 0') ? text.split('\n') : undefined;
    }, 'the destination, down');
    expect(lines).toEqual(
      expect.arrayContaining([
        'isocenter_destination_breaker{destination="away",state="open"} 1',
        'isocenter_destination_breaker{destination="off",state="closed"} 1',
        'isocenter_group_member{group="pair",member="away"} 0',
        'isocenter_group_member{group="pair",member="off"} 0',
        'isocenter_deliveries{destination="off",state="owed"} 1',
        'isocenter_metric_failures_total 0',
      ]),
    );
  });

  it('are not this archive itself, by whatever door: what a rule changes would come round for ever', async () => {
    const { port } = new URL(house.url);
    for (const url of [
      `${house.url}/dicom-web`,
      `http://localhost:${port}/dicom-web`,
      `http://[::1]:${port}/dicom-web`,
      'https://images.example/archive/dicom-web',
    ])
      expect(await put('destinations/loop', { kind: 'stow', url })).toEqual({
        status: 400,
        message: `The destination has a fault: url: ${url} is this archive itself (HTTP_HOST, HTTP_PORT, PUBLIC_URL)`,
      });
    const other = { kind: 'stow', url: 'https://images.example/vna/dicom-web' };
    expect((await put('destinations/other', other)).status).toBe(201);
  });
});
