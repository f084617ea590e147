/** A database that was restored, or a replica that took over, under a running archive: what was kept of the old one does not count. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { get, stow } from '../dicomweb/door.ts';
import { madeObject } from '../dicomweb/made-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
  const files = ['8.5.1', '8.5.2'].map((study, n) =>
    madeObject({
      study,
      instance: `${study}.9`,
      elements: [['00100010', 'PN', n === 0 ? 'Doe^Jane' : 'Roe^Jill']],
    }),
  );
  expect((await stow(house.url, files)).status).toBe(200);
});
afterAll(() => house?.close());

const metadata = async (study: string): Promise<string> =>
  (await get(`${house.url}/dicom-web/studies/${study}/metadata`)).bytes.toString();

it('an id of headers that it gives to another patient leads to that one', async () => {
  const { database } = house.db;
  expect(await metadata('8.5.1')).toContain('Doe^Jane');
  expect(await metadata('8.5.2')).toContain('Roe^Jill');
  // Under the id that the second's headers had, the first's stand now.
  await database.query(`update object o set pack = p.pack, pack_at = p.pack_at, pack_length = p.pack_length
    from object p where o.sop_uid = '8.5.1.9' and p.sop_uid = '8.5.2.9'`);
  await database.query(`update header_pack h set bytes = other.bytes from header_pack other, object o
    where o.sop_uid = '8.5.2.9' and h.id = o.pack and other.id = (select min(id) from header_pack where id <> h.id)`);
  expect(await metadata('8.5.1')).toContain('Roe^Jill');
  await database.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  );
  await eventually(
    async () => ((await metadata('8.5.1')).includes('Doe^Jane') ? true : undefined),
    'what the database says now',
  );
});
