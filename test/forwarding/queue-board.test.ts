import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type House, openHouse } from '../support/house.ts';
import { peer } from '../support/peers.ts';
import { type Redis, startRedis } from '../support/redis.ts';

test('without Redis it is said that there is no queue', async () => {
  const house = await openHouse();
  try {
    const response = await fetch(`${house.url}/api/queues`);
    expect(response.status).toBe(404);
    expect(await response.text()).toMatch(/REDIS_URL is not set/);
  } finally {
    await house.close();
  }
});

describe.skipIf(!peer('redis-server'))('bull-board (needs redis-server)', () => {
  let redis: Redis;
  let house: House;
  beforeAll(async () => {
    redis = await startRedis();
    house = await openHouse({ REDIS_URL: redis.url });
  });
  afterAll(async () => {
    await house?.close();
    await redis?.stop();
  });
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${house.url}/api/queues${path}`, { headers });

  test('its page loads what is ours alone, under a policy that lets it', async () => {
    for (const path of ['', '/', '/queue/isocenter-due']) {
      const response = await get(path);
      const html = await response.text();
      expect(response.status, path).toBe(200);
      expect(response.headers.get('content-type')).toMatch(/^text\/html/);
      expect(response.headers.get('content-security-policy')).toMatch(/default-src 'self';.*base-uri 'self'/);
      expect(html).not.toMatch(/(src|href)="https?:/);
      expect(html).toContain('<base href="/api/queues/"');
      // Data for the page is no script; nothing else stands in it.
      expect([...html.matchAll(/<script(?![^>]* src=)([^>]*)>/g)].map(([, more]) => more)).toEqual([
        ' id="__UI_CONFIG__" type="application/json"',
      ]);
      const scripts = [...html.matchAll(/<script[^>]* src="([^"]+)"/g)].map(([, src]) => src);
      expect(scripts.length).toBeGreaterThan(1);
      for (const script of scripts) {
        const file = await get(`/${script}`);
        expect(file.status, script).toBe(200);
        expect(file.headers.get('content-type')).toMatch(/javascript/);
        await file.arrayBuffer();
      }
    }
  });

  test('shows the queue that wakes deliveries, for reading alone', async () => {
    const response = await get('/api/queues?activeQueue=isocenter-due&page=1&jobsPerPage=10');
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ queues: [{ name: 'isocenter-due', readOnlyMode: true }] });
    for (const order of ['pause', 'empty', 'obliterate', 'add'])
      for (const method of ['PUT', 'POST', 'DELETE']) {
        const refused = await fetch(`${house.url}/api/queues/api/queues/isocenter-due/${order}`, { method });
        expect(refused.status, `${method} ${order}`).toBeGreaterThanOrEqual(404);
        expect(refused.status).toBeLessThan(500);
      }
  });

  test('is behind the same checks as everything else, and ends where it has nothing', async () => {
    expect((await get('', { origin: 'http://evil.example' })).status).toBe(403);
    expect((await get('/static/../../package.json')).status).toBe(404);
    expect((await get('/nothing/of/the/kind')).status).toBe(404);
  });

  test('says so when Redis is away', async () => {
    await redis.stop();
    const response = await get('/api/queues');
    expect(response.status).toBe(503);
    expect(await response.text()).toMatch(/Redis does not answer/);
  });
});
