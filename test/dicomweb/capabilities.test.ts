/** Retrieve Capabilities (PS3.18 8.9): what OPTIONS says is what is mounted. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house?.close());

const options = (path: string, accept = '*/*') =>
  fetch(`${house.url}/dicom-web${path}`, { method: 'OPTIONS', headers: { Accept: accept } });

describe('capabilities', () => {
  it('are WADL by default, well formed, with every resource', async () => {
    const response = await options('');
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('application/vnd.sun.wadl+xml'),
    ]);
    const text = await response.text();
    expect(text).toContain(`<resources base="${house.url}/dicom-web/">`);
    for (const path of ['studies', 'studies/{study}/series/{series}/instances/{instance}/frames/{frames}'])
      expect(text).toContain(`<resource path="${path}">`);
    // Every element is closed.
    const open: string[] = [];
    for (const [, end, name, empty] of text.matchAll(/<(\/?)(\w+)(?:\s[^<>]*?)?(\/?)>/g))
      if (end) expect(open.pop()).toBe(name);
      else if (!empty) open.push(name!);
    expect(open).toEqual([]);
  });

  it('are JSON when asked for', async () => {
    const response = await options('/', 'application/json');
    const { resources } = (await response.json()) as {
      resources: { path: string; methods: { method: string; takes: string[]; gives: string[] }[] }[];
    };
    const studies = resources.find(({ path }) => path === 'studies');
    expect(studies?.methods.find(({ method }) => method === 'POST')?.takes).toContain(
      'multipart/related; type="application/dicom+json"',
    );
    expect(studies?.methods.find(({ method }) => method === 'GET')?.gives).toContain(
      'application/dicom+json',
    );
  });

  it('of one resource are its own', async () => {
    const response = await options('/studies/1.2.3', 'application/json');
    expect(response.headers.get('allow')?.split(', ').sort()).toEqual([
      'DELETE',
      'GET',
      'HEAD',
      'OPTIONS',
      'POST',
    ]);
    const { resources } = (await response.json()) as { resources: { path: string }[] };
    expect(new Set(resources.map(({ path }) => path))).toEqual(new Set(['studies/{study}']));
  });

  it('of nothing are none, and in another form 406', async () => {
    const nothing = await options('/nothing/here');
    expect([nothing.status, await nothing.json()]).toEqual([
      404,
      expect.objectContaining({ message: expect.stringMatching(/no such resource/) }),
    ]);
    expect((await options('', 'image/png')).status).toBe(406);
  });
});
