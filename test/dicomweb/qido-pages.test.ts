/**
 * Paging through a search while objects arrive (PS3.18 8.3.4.4.1): whoever follows the pages sees each result of the
 * first moment once, whatever comes in between. Over a real house, with seeded random sizes and places; and the bounds
 * of the memory behind it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSearchPages } from '../../src/dicomweb/qido-pages.ts';
import { type House, openHouse } from '../support/house.ts';
import { getJson, stow, value } from './door.ts';
import { madeObject } from './made-object.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house?.close());

/** mulberry32: the same numbers for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const UID_OF = { studies: '0020000D', series: '0020000E', instances: '00080018' } as const;

describe('paging while objects arrive', () => {
  let made = 0;
  /** Anything: a study of any date, a series in front of others, an instance of a low number. */
  async function arrive(patient: string, count: number, below: (n: number) => number): Promise<void> {
    const objects = Array.from({ length: count }, () => {
      const study = `5.${patient.length}.${below(6) === 0 ? ++made + 100 : below(6)}`;
      const series = `${study}.${below(4)}`;
      return madeObject({
        study,
        series,
        instance: `${series}.${++made}`,
        elements: [
          // Fixed by the study, so that none moves in the order.
          ['00080020', 'DA', `2024010${1 + (Number(study.split('.')[2]) % 9)}`],
          ['00100020', 'LO', patient],
          ['00200011', 'IS', series.at(-1)!],
          ['00200013', 'IS', String(1000 - made)],
        ],
      });
    });
    const { status } = await stow(house.url, objects);
    if (status !== 200) throw new Error(`STOW: ${status}`);
  }

  it.each([
    ['studies', 1],
    ['series', 2],
    ['instances', 3],
    ['instances', 4],
  ] as const)('%s (seed %i)', async (resource, seed) => {
    const below = numbers(seed);
    const patient = 'P'.repeat(seed);
    await arrive(patient, 24, below);
    const url = `${house.url}/dicom-web/${resource}?PatientID=${patient}`;
    const uids = async (query: string): Promise<unknown[]> =>
      (await getJson(url + query)).json.map((one) => value(one, UID_OF[resource]));
    for (let round = 0; round < 3; round++) {
      const before = await uids('');
      const limit = 1 + below(5);
      const seen: unknown[] = [];
      for (let offset = 0; ; offset += limit) {
        const page = await uids(`&limit=${limit}&offset=${offset}`);
        if (page.length === 0) break;
        seen.push(...page);
        await arrive(patient, 1 + below(3), below);
      }
      expect(seen).toEqual(before);
      // What came meanwhile is there for whoever begins anew.
      expect((await uids('')).length).toBeGreaterThanOrEqual(before.length);
    }
    expect((await uids('')).length).toBeGreaterThan(3);
  });
});

describe('the pages that are remembered', () => {
  const never = (): Promise<number> => Promise.reject(new Error('not asked'));

  it('keep the first page’s bound, one for each search', async () => {
    const pages = createSearchPages();
    expect(await pages.boundOf('a', 0, async () => 7)).toBe(7);
    expect(await pages.boundOf('b', 0, async () => 9)).toBe(9);
    expect(await pages.boundOf('a', 10, never)).toBe(7);
    expect(await pages.boundOf('a', 0, async () => 8)).toBe(8);
    expect(await pages.boundOf('a', 10, never)).toBe(8);
    expect(await pages.boundOf('c', 10, never)).toBeUndefined();
  });

  it('are forgotten after ten minutes without a page, and beyond 2,000 searches the oldest', async () => {
    let now = 0;
    const pages = createSearchPages(() => now);
    await pages.boundOf('a', 0, async () => 1);
    now += 9 * 60_000;
    expect(await pages.boundOf('a', 5, never)).toBe(1);
    now += 9 * 60_000;
    expect(await pages.boundOf('a', 5, never)).toBe(1);
    now += 11 * 60_000;
    expect(await pages.boundOf('a', 5, never)).toBeUndefined();
    await pages.boundOf('old', 0, async () => 1);
    for (let n = 0; n < 2000; n++) await pages.boundOf(`s${n}`, 0, async () => n);
    expect(await pages.boundOf('old', 5, never)).toBeUndefined();
    expect(await pages.boundOf('s1', 5, never)).toBe(1);
  });
});
