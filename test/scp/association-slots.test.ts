/** Places for associations are counted over all threads: in all and for each AE title, exactly. */
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import {
  countOpen,
  createAssociationSlots,
  createSlotMemory,
  freeSlotsOf,
} from '../../src/scp/association-slots.ts';

it('an AE has its own limit, all together have one, and places come back', () => {
  const memory = createSlotMemory(3);
  const [first, second] = [createAssociationSlots(memory, 0), createAssociationSlots(memory, 1)];
  const place = first.claim('CT', 2);
  expect(place).toBeTypeOf('number');
  expect(second.claim('CT', 2)).toBeTypeOf('number');
  expect(first.claim('CT', 2)).toBe('per-ae');
  expect(first.claim('CT2', 2)).toBeTypeOf('number');
  expect(second.claim('MR', 2)).toBe('total');
  expect([countOpen(memory), countOpen(memory, 'CT'), countOpen(memory, 'MR')]).toEqual([3, 2, 0]);
  second.release(place as number);
  expect(second.claim('MR', 2)).toBeTypeOf('number');
  expect(second.claim('CT', 2)).toBe('total');
});

it('what a thread held when it died is free again, the lock too', () => {
  const memory = createSlotMemory(2);
  const slots = createAssociationSlots(memory, 0);
  createAssociationSlots(memory, 4).claim('CT', 9);
  slots.claim('CT', 9);
  new Int32Array(memory)[0] = 5;
  freeSlotsOf(memory, 4);
  expect(countOpen(memory)).toBe(1);
  expect(slots.claim('CT', 9)).toBeTypeOf('number');
});

it('never more than the limit, however many threads ask at once', async () => {
  const memory = createSlotMemory(50);
  const module = new URL('../../src/scp/association-slots.ts', import.meta.url).href;
  // How many are there; how many hold a place.
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const script = `
    const { parentPort, workerData: { memory, thread, shared } } = require('node:worker_threads');
    import(${JSON.stringify(module)}).then(({ createAssociationSlots }) => {
      const slots = createAssociationSlots(memory, thread);
      Atomics.add(shared, 0, 1);
      while (Atomics.load(shared, 0) < 4);
      let most = 0, granted = 0;
      for (let n = 0; n < 20_000; n++) {
        const place = slots.claim('CT', 1);
        if (typeof place !== 'number') continue;
        granted++;
        most = Math.max(most, Atomics.add(shared, 1, 1) + 1);
        Atomics.sub(shared, 1, 1);
        slots.release(place);
      }
      parentPort.postMessage({ most, granted });
    });`;
  const results = await Promise.all(
    [0, 1, 2, 3].map(
      (thread) =>
        new Promise<{ most: number; granted: number }>((resolve, reject) => {
          const worker = new Worker(script, { eval: true, workerData: { memory, thread, shared } });
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
  expect(Math.max(...results.map(({ most }) => most))).toBe(1);
  expect(results.every(({ granted }) => granted > 0)).toBe(true);
  expect(countOpen(memory)).toBe(0);
});
