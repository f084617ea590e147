/** An object that says it has a frame for each bit: millions of frames in a file of some MB, each found at once. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { uint16 } from '../dicom/elements.ts';
import { type House, openHouse } from '../support/house.ts';
import { get, refusal, stow } from './door.ts';
import { madeObject } from './made-object.ts';

const BYTES = 4 * 1024 * 1024;
const FRAMES = 8 * BYTES;
let house: House;
let instance: string;
beforeAll(async () => {
  house = await openHouse();
  const pixels = Buffer.alloc(BYTES);
  pixels[BYTES - 1] = 0x80;
  const file = madeObject({
    study: '8.4',
    instance: '8.4.9',
    elements: [
      ['00280008', 'IS', String(FRAMES)],
      ['00280010', 'US', uint16(1)],
      ['00280011', 'US', uint16(1)],
      ['00280100', 'US', uint16(1)],
      ['00280101', 'US', uint16(1)],
      ['00280102', 'US', uint16(0)],
    ],
    pixels,
  });
  expect((await stow(house.url, [file])).status).toBe(200);
  instance = `${house.url}/dicom-web/studies/8.4/series/8.4.1/instances/8.4.9`;
});
afterAll(() => house?.close());

it('the last is there, one behind it is not, and all pictures at once are refused', async () => {
  const last = await get(`${instance}/frames/${FRAMES}`, 'application/octet-stream');
  expect([last.status, [...last.bytes]]).toEqual([200, [1]]);
  const before = await get(`${instance}/frames/${FRAMES - 1}`, 'application/octet-stream');
  expect([before.status, [...before.bytes]]).toEqual([200, [0]]);
  expect((await refusal(`${instance}/frames/${FRAMES + 1}`)).status).toBe(404);
  expect((await get(`${instance}/frames/${FRAMES}/rendered`, 'image/png')).status).toBe(200);
  const all = await refusal(`${instance}/rendered`, {
    headers: { Accept: 'multipart/related; type="image/jpeg"' },
  });
  expect(all).toMatchObject({ status: 413, message: expect.stringContaining('ask for some') });
  expect((await get(`${instance}/rendered`, 'image/gif')).status).toBe(413);
  const pixels = await get(`${instance}/bulkdata/7FE00010`, 'application/octet-stream');
  expect([pixels.status, pixels.bytes.length]).toEqual([200, BYTES]);
  const whole = await get(
    `${house.url}/dicom-web/studies/8.4`,
    'multipart/related; type="application/dicom"',
  );
  expect(whole.status).toBe(200);
});
