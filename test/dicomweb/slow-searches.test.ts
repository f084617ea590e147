/** Searches that take long, many at once: whoever asks for a frame meanwhile does not wait for them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inTurns } from '../../src/archive/search-turns.ts';
import { Failure } from '../../src/failure.ts';
import { type House, openHouse } from '../support/house.ts';
import { get, stow } from './door.ts';
import { madeObject } from './made-object.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
  expect((await stow(house.url, [madeObject({ study: '8.6', instance: '8.6.9' })])).status).toBe(200);
});
afterAll(() => house?.close());

it('leave connections to those who want a frame, a series or an exact search', async () => {
  const { database } = house.db;
  let over = (): void => undefined;
  const locked = new Promise<void>((isLocked) => {
    // As slow as it gets: nothing is found before the lock is gone.
    void database.transaction(async (tx) => {
      await tx.query('lock table study_modality in access exclusive mode');
      isLocked();
      await new Promise<void>((resolve) => {
        over = resolve;
      });
    });
  });
  await locked;
  const slow = Array.from({ length: 60 }, (_, n) =>
    get(`${house.url}/dicom-web/studies?ModalitiesInStudy=OT&PatientName=*o${n}*`),
  );
  await sleep(500);
  const begun = performance.now();
  const frame = await get(`${house.url}/dicom-web/studies/8.6/series/8.6.1/instances/8.6.9/frames/1`);
  const series = await get(`${house.url}/dicom-web/studies/8.6/series/8.6.1/metadata`);
  const exact = await get(`${house.url}/dicom-web/studies?PatientID=P1`);
  const took = performance.now() - begun;
  over();
  const answers = await Promise.all(slow);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
  expect([frame.status, series.status, exact.status]).toEqual([200, 200, 200]);
  // Nobody gives up before 10 s.
  expect(took).toBeLessThan(8000);
});

it('are refused when too many wait, or too long', async () => {
  const database = inTurns(house.db.database, { atOnce: 2, mostWaiting: 3, patienceMs: 1500 });
  const ends: (() => void)[] = [];
  const begin = () =>
    database
      .transaction(() => new Promise<void>((resolve) => ends.push(resolve)))
      .then(
        () => 'done',
        (thrown: unknown) => (thrown instanceof Failure ? thrown.kind : thrown),
      );
  const all = Array.from({ length: 6 }, begin);
  expect(await all[5]).toBe('unavailable');
  await expect.poll(() => ends.length).toBe(2);
  ends[0]!();
  await expect.poll(() => ends.length).toBe(3);
  // The others have waited in vain.
  expect(await Promise.all([all[3], all[4]])).toEqual(['unavailable', 'unavailable']);
  for (const end of ends) end();
  expect(await Promise.all(all.slice(0, 3))).toEqual(['done', 'done', 'done']);
  const after = begin();
  await expect.poll(() => ends.length).toBe(4);
  ends[3]!();
  expect(await after).toBe('done');
});
