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

it('an instance that is taken away is gone with the next request', async () => {
  const url = `${house.url}/dicom-web/studies/8.9/series/8.9.1/instances/8.9.9.3/frames/1`;
  expect((await get(url)).status).toBe(200);
  await house.db.database.query("delete from instance where sop_uid = '8.9.9.3'");
  expect((await get(url)).status).toBe(404);
});
