/** Objects that are remembered between requests (archive/find-object.ts): what changes in the archive shows at once. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createObjectFinder } from '../../src/archive/find-object.ts';
import { type House, openHouse } from '../support/house.ts';
import { get, stow } from './door.ts';
import { madeObject } from './made-object.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
  const files = [1, 2, 3].map((n) => madeObject({ study: '8.9', instance: `8.9.9.${n}` }));
  expect((await stow(house.url, files)).status).toBe(200);
});
afterAll(() => house?.close());

it('many at once share a query, and each gets its own', async () => {
  let queries = 0;
  const { database } = house.db;
  const finder = createObjectFinder({
    query: (text, values) => database.query(text, values),
    prepared: (text, values) => {
      queries++;
      return database.prepared(text, values);
    },
  });
  const find = (sopUid: string, seriesUid = '8.9.1', studyUid = '8.9') =>
    finder.find({ studyUid, seriesUid, sopUid });
  const first = await find('8.9.9.1');
  const found = await Promise.all(Array.from({ length: 300 }, (_, n) => find(`8.9.9.${(n % 4) + 1}`)));
  expect(found.map((object) => object?.sopUid)).toEqual(
    Array.from({ length: 300 }, (_, n) => (n % 4 === 3 ? undefined : `8.9.9.${(n % 4) + 1}`)),
  );
  expect(found[0]).toBe(first);
  expect(queries).toBeLessThan(6);
  expect(await find('8.9.9.1', '8.9.2')).toBeUndefined();
  expect(await find('8.9.9.1', '8.9.1', '9.9')).toBeUndefined();
});

it('a row that was written again is read again', async () => {
  const { database } = house.db;
  const finder = createObjectFinder(database);
  const which = { studyUid: '8.9', seriesUid: '8.9.1', sopUid: '8.9.9.2' };
  const before = await finder.find(which);
  await database.query(`update instance set attributes = attributes || '{"00280010":{"vr":"US","Value":[2]}}'
    where sop_uid = '8.9.9.2'`);
  const after = await finder.find(which);
  expect(before?.attributes['00280010']?.Value).toEqual([4]);
  expect(after?.attributes['00280010']?.Value).toEqual([2]);
});

it('a frame of what is remembered is disclosed once, whatever came between', async () => {
  const sop = '8.9.9.1';
  const url = `${house.url}/dicom-web/studies/8.9/series/8.9.1/instances/${sop}/frames`;
  const { database } = house.db;
  const disclosed = async (): Promise<number> => {
    const { rows } = await database.query<{ n: number }>(
      'select count(*) as n from disclosure where sop_uid = $1',
      [sop],
    );
    return rows[0]!.n;
  };
  const before = await disclosed();
  const first = await get(`${url}/1`, 'application/octet-stream');
  expect(first.status).toBe(200);
  const second = await get(`${url}/1`, 'application/octet-stream');
  expect(second.bytes.equals(first.bytes)).toBe(true);
  expect(await disclosed()).toBe(before + 2);
  // Its rows are written again: what is remembered is no longer theirs.
  await database.query('update instance set attributes = attributes where sop_uid = $1', [sop]);
  expect((await get(`${url}/1`, 'multipart/related; type="application/octet-stream"')).status).toBe(200);
  expect(await disclosed()).toBe(before + 3);
  // Nothing leaves, so nothing is disclosed.
  expect((await get(`${url}/2`)).status).toBe(404);
  expect((await get(`${url}/1`, 'image/jpeg')).status).toBe(406);
  const unchanged = await fetch(`${url}/1`, {
    headers: { Accept: 'application/octet-stream', 'If-None-Match': first.headers.get('ETag') ?? '' },
  });
  expect(unchanged.status).toBe(304);
  const outside = await fetch(`${url}/1`, {
    headers: { Accept: 'application/octet-stream', Range: 'bytes=99999999-' },
  });
  expect(outside.status).toBe(416);
  expect(await disclosed()).toBe(before + 3);
  const many = Array.from({ length: 60 }, async (_, n) => {
    if (n % 20 === 10) await database.query('update object set role = role where sop_uid = $1', [sop]);
    return (await get(`${url}/1`)).status;
  });
  expect(new Set(await Promise.all(many))).toEqual(new Set([200]));
  expect(await disclosed()).toBe(before + 63);
});

it('what is remembered is of its own study and series', async () => {
  const finder = createObjectFinder(house.db.database);
  const which = { studyUid: '8.9', seriesUid: '8.9.1', sopUid: '8.9.9.1' };
  expect(finder.remembered(which)).toBeUndefined();
  const object = await finder.find(which);
  expect(finder.remembered(which)?.object).toBe(object);
  expect(finder.remembered({ ...which, studyUid: '9.9' })).toBeUndefined();
  expect(finder.remembered({ ...which, seriesUid: '8.9.2' })).toBeUndefined();
});

it('an instance that is taken away is gone with the next request', async () => {
  const url = `${house.url}/dicom-web/studies/8.9/series/8.9.1/instances/8.9.9.3/frames/1`;
  const first = await get(url);
  expect(first.status).toBe(200);
  expect((await get(url)).status).toBe(200);
  await house.db.database.query("delete from instance where sop_uid = '8.9.9.3'");
  expect((await get(url)).status).toBe(404);
  const headers = { 'If-None-Match': first.headers.get('ETag') ?? '' };
  expect((await fetch(url, { headers })).status).toBe(404);
  expect((await fetch(url, { method: 'HEAD' })).status).toBe(404);
});
