/**
 * What every object store promises (src/archive/object-store/object-store.ts), as one suite.
 * Called by test/archive/object-store/file-store.test.ts and s3-store.test.ts, each with a store on its real ground.
 */
import { createHash, randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ObjectSource, ObjectStore } from '../../src/archive/object-store/object-store.ts';
import { Failure, type FailureKind } from '../../src/failure.ts';
import { allOf, collect, generatedSource, sourceOf } from '../support/object-source.ts';

export interface StoreUnderTest {
  store: ObjectStore;
  stop(): Promise<void>;
}

export async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const thrown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(thrown).toBeInstanceOf(Failure);
  return thrown as Failure;
}

const megabyte = 1024 * 1024;

export function objectStoreContract(startStore: () => Promise<StoreUnderTest>): void {
  let running: StoreUnderTest;
  let store: ObjectStore;
  let count = 0;
  const newKey = () => `contract/1.2.826.0.1.${++count}/object_${count}.dcm`;
  const kindOf = async (work: Promise<unknown>): Promise<FailureKind> => (await failureOf(work)).kind;

  beforeAll(async () => {
    running = await startStore();
    store = running.store;
  });
  afterAll(() => running?.stop());

  describe('putting and reading', () => {
    it('gives back what was put, whole and by stat', async () => {
      const bytes = randomBytes(700_001);
      const key = newKey();
      await store.put(key, sourceOf(bytes));
      await store.sync([key]);
      expect(await store.stat(key)).toEqual({ length: 700_001 });
      expect((await collect(store.read(key))).equals(bytes)).toBe(true);
    });

    it('keeps an object without bytes', async () => {
      const key = newKey();
      await store.put(key, sourceOf(Buffer.alloc(0)));
      await store.sync([key]);
      expect(await store.stat(key)).toEqual({ length: 0 });
      expect(await collect(store.read(key))).toHaveLength(0);
      expect(await store.readRange(key, 0, 0)).toHaveLength(0);
    });

    it('reads ranges: the first byte, the last, across chunks, none', async () => {
      const bytes = randomBytes(600_000);
      const key = newKey();
      await store.put(key, sourceOf(bytes));
      for (const [offset, length] of [
        [0, 1],
        [599_999, 1],
        [100_001, 400_000],
        [0, 600_000],
        [17, 0],
        [600_000, 0],
      ] as const) {
        const expected = bytes.subarray(offset, offset + length);
        expect((await store.readRange(key, offset, length)).equals(expected)).toBe(true);
        expect((await collect(store.read(key, { offset, length }))).equals(expected)).toBe(true);
      }
    });

    it('refuses ranges that do not lie inside the object', async () => {
      const key = newKey();
      await store.put(key, sourceOf(randomBytes(100)));
      for (const [offset, length] of [
        [90, 11],
        [100, 1],
        [5000, 10],
        [101, 0],
        [-1, 5],
        [0, -5],
        [0.5, 2],
        [0, Number.NaN],
      ] as const) {
        expect(await kindOf(store.readRange(key, offset, length)), `${offset}+${length}`).toBe('invalid');
        expect(await kindOf(collect(store.read(key, { offset, length }))), `${offset}+${length}`).toBe(
          'invalid',
        );
      }
      expect(await kindOf(store.readRange(key, 0, 2 ** 40))).toBe('too-large');
    });

    it('opens nothing before the first pull, and lets a reader leave early', async () => {
      const key = newKey();
      const late = store.read(key);
      await store.put(key, sourceOf(randomBytes(3 * megabyte), 64 * 1024));
      for await (const chunk of late) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      expect(await store.readRange(key, 0, 10)).toHaveLength(10);
    });

    it('says not-found for what is not there', async () => {
      const key = newKey();
      expect(await store.stat(key)).toBeUndefined();
      expect(await kindOf(collect(store.read(key)))).toBe('not-found');
      expect(await kindOf(collect(store.read(key, { offset: 0, length: 5 })))).toBe('not-found');
      expect(await kindOf(store.readRange(key, 0, 5))).toBe('not-found');
      expect(await kindOf(store.readRange(key, 0, 0))).toBe('not-found');
    });

    it('removes, and removing again is no fault', async () => {
      const key = newKey();
      await store.put(key, sourceOf(randomBytes(10)));
      await store.remove(key);
      expect(await store.stat(key)).toBeUndefined();
      await store.remove(key);
    });

    it('is well', async () => {
      await expect(store.check()).resolves.toBeUndefined();
    });
  });

  describe('putting the same key again', () => {
    it('is success with the same bytes, without a second object', async () => {
      const bytes = randomBytes(5000);
      const key = newKey();
      for (let time = 0; time < 3; time += 1) await store.put(key, sourceOf(bytes));
      await store.sync([key]);
      expect((await collect(store.read(key))).equals(bytes)).toBe(true);
      const prefix = key.slice(0, key.lastIndexOf('/') + 1);
      expect(await allOf(store.list(prefix))).toEqual([{ key, length: 5000 }]);
    });

    it('replaces other bytes, of the same length too', async () => {
      const key = newKey();
      const right = randomBytes(5000);
      for (const wrong of [right.subarray(0, 3000), Buffer.alloc(5000)]) {
        await store.put(key, sourceOf(wrong));
        await store.put(key, sourceOf(right));
        expect((await collect(store.read(key))).equals(right)).toBe(true);
      }
    });

    it('holds when eight do it at once', async () => {
      const bytes = randomBytes(2 * megabyte);
      const key = newKey();
      await Promise.all(Array.from({ length: 8 }, () => store.put(key, sourceOf(bytes, 50_000))));
      await store.sync([key]);
      expect((await collect(store.read(key))).equals(bytes)).toBe(true);
    });
  });

  describe('a source that is not what it was announced to be', () => {
    const sizes = { small: 10_000, 'in parts': 70 * megabyte };
    for (const [size, length] of Object.entries(sizes)) {
      const good = () => generatedSource(length);
      const cases: Record<string, [FailureKind, () => ObjectSource]> = {
        'has another hash': ['mismatch', () => ({ ...good(), sha256: randomBytes(32) })],
        'ends early': ['mismatch', () => ({ ...good(), length: length + 1 })],
        'goes on too long': ['mismatch', () => ({ ...good(), length: length - 1 })],
        'fails half-way': [
          'internal',
          () => {
            const source = good();
            return {
              ...source,
              async *open() {
                let given = 0;
                for await (const chunk of source.open()) {
                  if (given > length / 2 || given + chunk.length >= length)
                    throw new Error('the disk under the source broke');
                  given += chunk.length;
                  yield chunk;
                }
              },
            };
          },
        ],
        'fails half-way with a Failure': [
          'no-space',
          () => ({
            ...good(),
            // biome-ignore lint/correctness/useYield: a source that fails before its first byte
            async *open() {
              throw new Failure('no-space', 'a Failure of the source');
            },
          }),
        ],
      };
      for (const [fault, [kind, source]] of Object.entries(cases)) {
        it(`${fault} (${size}): refused, and nothing of it is readable`, async () => {
          const key = newKey();
          expect(await kindOf(store.put(key, source()))).toBe(kind);
          expect(await store.stat(key)).toBeUndefined();
          expect(await kindOf(collect(store.read(key)))).toBe('not-found');
        });
      }
    }

    it('leaves an object that was there before as it was', async () => {
      const key = newKey();
      const bytes = randomBytes(4000);
      await store.put(key, sourceOf(bytes));
      expect(await kindOf(store.put(key, { ...sourceOf(randomBytes(5000)), sha256: randomBytes(32) }))).toBe(
        'mismatch',
      );
      expect((await collect(store.read(key))).equals(bytes)).toBe(true);
    });
  });

  it('moves an object of 200 MB through flat memory, both ways', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const held = () => {
      collectGarbage();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const before = held();
    let highest = 0;
    let nextLook = 0;
    const look = (moved: number) => {
      if (moved < nextLook) return;
      highest = Math.max(highest, held() - before);
      nextLook = moved + 10 * megabyte;
    };
    const source = generatedSource(200 * megabyte, look);
    const key = newKey();
    await store.put(key, source);
    await store.sync([key]);
    expect(highest).toBeLessThan(48 * megabyte);

    nextLook = 0;
    highest = 0;
    let read = 0;
    const hash = createHash('sha256');
    for await (const chunk of store.read(key)) {
      hash.update(chunk);
      read += chunk.length;
      look(read);
    }
    expect(read).toBe(200 * megabyte);
    expect(hash.digest().equals(source.sha256)).toBe(true);
    expect(highest).toBeLessThan(48 * megabyte);
    await store.remove(key);
  });

  describe('listing', () => {
    it('finds every object below a prefix, more than a page of them', async () => {
      const bytes = randomBytes(3);
      const keys = Array.from({ length: 1100 }, (_, index) => `listed/${index % 7}/1.2.3.${index}.dcm`);
      const queue = keys.values();
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          for (const key of queue) await store.put(key, sourceOf(bytes));
        }),
      );
      const found = await allOf(store.list('listed/'));
      expect(found.map(({ key }) => key).sort()).toEqual(keys.toSorted());
      expect(found.every(({ length }) => length === 3)).toBe(true);
      const all = (await allOf(store.list())).map(({ key }) => key);
      expect(keys.every((key) => all.includes(key))).toBe(true);
      const some = (await allOf(store.list('listed/3/1.2.3.10'))).map(({ key }) => key);
      expect(some.sort()).toEqual(keys.filter((key) => key.startsWith('listed/3/1.2.3.10')).sort());
    });

    it('finds nothing under a prefix nobody used', async () => {
      expect(await allOf(store.list('nobody/'))).toEqual([]);
    });
  });

  describe('a key that is none', () => {
    const bad = [
      '',
      '/',
      '../x',
      'a/../../x',
      'a/..',
      '.',
      'a//b',
      '/etc/passwd',
      'a/',
      'a\\b',
      'a b',
      'a\0b',
      '.incoming/x',
      'ä',
      '%2e%2e/x',
      'a/.hidden',
      'x'.repeat(256),
      `${'a/'.repeat(600)}b`,
    ];
    for (const key of bad) {
      it(`${JSON.stringify(key.slice(0, 30))} is refused everywhere`, async () => {
        const source = sourceOf(randomBytes(10));
        expect(await kindOf(store.put(key, source))).toBe('invalid');
        expect(await kindOf(collect(store.read(key)))).toBe('invalid');
        expect(await kindOf(store.readRange(key, 0, 1))).toBe('invalid');
        expect(await kindOf(store.stat(key))).toBe('invalid');
        expect(await kindOf(store.remove(key))).toBe('invalid');
      });
    }

    it('is refused as a prefix', async () => {
      for (const prefix of ['../', '/', 'a/../', '.incoming/']) {
        expect(await kindOf(allOf(store.list(prefix)))).toBe('invalid');
      }
    });
  });
}
