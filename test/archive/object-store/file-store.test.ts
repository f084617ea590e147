/**
 * The object store in a folder: the contract, and what only files have: torn ones, links, leftovers, synchronous calls,
 * the system calls of a sync, a folder that says no.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileFailure } from '../../../src/archive/object-store/file-failure.ts';
import { createFileStore, type FileStore } from '../../../src/archive/object-store/file-store.ts';
import { Failure } from '../../../src/failure.ts';
import { failureOf, objectStoreContract } from '../../contracts/object-store.contract.ts';
import { allOf, collect, sourceOf } from '../../support/object-source.ts';
import { peer } from '../../support/peers.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

describe('the file store keeps the contract', () => {
  objectStoreContract(async () => {
    const temp = await tempFolder('objects');
    const store = createFileStore({ folder: join(temp.path, 'objects') });
    await store.start();
    return { store, stop: () => store.stop().then(temp.remove) };
  });
});

describe('the file store', () => {
  let temp: TempFolder;
  let folder: string;
  let store: FileStore;
  const key = 'ab/1.2.3/4.5.6/7.8.9_0a0b.dcm';

  beforeEach(async () => {
    temp = await tempFolder('objects');
    folder = join(temp.path, 'objects');
    store = createFileStore({ folder });
    await store.start();
  });
  afterEach(async () => {
    await store.stop();
    await temp.remove();
  });

  const content = () => readFile(join(folder, key));
  const incoming = () => readdir(join(folder, '.incoming'));
  const failureOfSync = (work: () => void) => failureOf(new Promise<void>((resolve) => resolve(work())));

  describe('replaces a file torn by a power cut', () => {
    const bytes = randomBytes(300_000);
    const tears: Record<string, (path: string) => Promise<void>> = {
      'empty, as ext4 leaves it': (path) => truncate(path, 0),
      shorter: (path) => truncate(path, 200_000),
      'full length, but zeroes at its end': async (path) => {
        await truncate(path, 200_000);
        await truncate(path, 300_000);
      },
    };
    for (const [tear, apply] of Object.entries(tears)) {
      it(`${tear}, by put`, async () => {
        await store.put(key, sourceOf(bytes));
        await apply(join(folder, key));
        await store.put(key, sourceOf(bytes));
        expect((await content()).equals(bytes)).toBe(true);
      });

      it(`${tear}, by putSync`, async () => {
        store.putSync(key, [bytes]);
        await apply(join(folder, key));
        store.putSync(key, [bytes]);
        expect((await content()).equals(bytes)).toBe(true);
      });
    }
  });

  describe('putSync', () => {
    it('writes parts, more than one system call takes', async () => {
      const parts = Array.from({ length: 1500 }, (_, index) => randomBytes(index % 97));
      store.putSync(key, parts);
      store.syncSync([key]);
      expect((await content()).equals(Buffer.concat(parts))).toBe(true);
      expect(await incoming()).toEqual([]);
    });

    it('copies a piece of an open file, longer than its buffer', async () => {
      const bytes = randomBytes(2_500_000);
      const segment = join(temp.path, 'segment');
      await writeFile(segment, bytes);
      const fd = openSync(segment, 'r');
      try {
        store.putSync(key, { fd, offset: 123, length: 2_400_000 });
        const { ino } = await stat(join(folder, key));
        store.putSync(key, { fd, offset: 123, length: 2_400_000 });
        // The same bytes again touch nothing.
        expect((await stat(join(folder, key))).ino).toBe(ino);
        expect((await content()).equals(bytes.subarray(123, 2_400_123))).toBe(true);
        store.putSync(key, { fd, offset: 124, length: 2_400_000 });
        expect((await content()).equals(bytes.subarray(124, 2_400_124))).toBe(true);
      } finally {
        closeSync(fd);
      }
    });

    it('refuses a piece that the open file does not have, and leaves nothing', async () => {
      const segment = join(temp.path, 'segment');
      await writeFile(segment, randomBytes(1000));
      const fd = openSync(segment, 'r');
      try {
        const failure = await failureOfSync(() => store.putSync(key, { fd, offset: 500, length: 501 }));
        expect(failure.kind).toBe('mismatch');
        expect(await store.stat(key)).toBeUndefined();
        expect(await incoming()).toEqual([]);
      } finally {
        closeSync(fd);
      }
    });

    it('refuses keys that leave the folder', async () => {
      for (const bad of ['../x', '/x', 'a/../../x', '.incoming/x']) {
        expect((await failureOfSync(() => store.putSync(bad, [Buffer.from('x')]))).kind).toBe('invalid');
        expect((await failureOfSync(() => store.syncSync([bad]))).kind).toBe('invalid');
      }
      expect(await readdir(temp.path)).toEqual(['objects']);
    });

    it('keeps an object without bytes', async () => {
      store.putSync(key, []);
      store.syncSync([key]);
      expect(await store.stat(key)).toEqual({ length: 0 });
    });
  });

  describe('linkFrom', () => {
    const bytes = randomBytes(100_000);

    it('links a finished file of the same disk instead of copying it', async () => {
      const linkFrom = join(temp.path, 'large');
      await writeFile(linkFrom, bytes);
      const source = {
        ...sourceOf(bytes),
        linkFrom,
        open: (): never => {
          throw new Error('nothing is to be copied');
        },
      };
      await store.put(key, source);
      await store.put(key, source);
      await store.sync([key]);
      expect((await stat(join(folder, key))).ino).toBe((await stat(linkFrom)).ino);
      await rm(linkFrom);
      expect((await content()).equals(bytes)).toBe(true);
      expect(await incoming()).toEqual([]);
    });

    it('copies when the file lies on another disk', async () => {
      const other = `/dev/shm/isocenter-${process.pid}-${Date.now()}`;
      await writeFile(other, bytes);
      try {
        await store.put(key, { ...sourceOf(bytes), linkFrom: other });
        expect((await content()).equals(bytes)).toBe(true);
        expect(await incoming()).toEqual([]);
      } finally {
        await rm(other);
      }
    });

    it('refuses a file of another length', async () => {
      const linkFrom = join(temp.path, 'large');
      await writeFile(linkFrom, bytes.subarray(1));
      expect((await failureOf(store.put(key, { ...sourceOf(bytes), linkFrom }))).kind).toBe('mismatch');
      expect(await store.stat(key)).toBeUndefined();
    });
  });

  it('writes an object anew after a failed sync, since the kernel may think its pages are clean', async () => {
    const bytes = randomBytes(1000);
    await store.put(key, sourceOf(bytes));
    const { ino } = await stat(join(folder, key));
    expect((await failureOf(store.sync([key, 'ab/missing.dcm']))).kind).toBe('unavailable');
    await store.put(key, sourceOf(bytes));
    expect((await stat(join(folder, key))).ino).not.toBe(ino);
    await store.sync([key]);

    expect((await failureOfSync(() => store.syncSync([key, 'ab/missing.dcm']))).kind).toBe('unavailable');
    const second = (await stat(join(folder, key))).ino;
    store.putSync(key, [bytes]);
    expect((await stat(join(folder, key))).ino).not.toBe(second);
  });

  it('clears away at start what a former process had not finished, and nothing younger', async () => {
    const leftover = join(folder, '.incoming', 'leftover');
    // Its inode was last changed before this process began: a file of the system, linked, is not; so a child tells.
    await writeFile(leftover, 'half an obj');
    await store.start();
    expect(await incoming()).toEqual(['leftover']);
    const script = `
      const { createFileStore } = await import(${JSON.stringify(new URL('../../../src/archive/object-store/file-store.ts', import.meta.url).href)});
      await createFileStore({ folder: ${JSON.stringify(folder)} }).start();`;
    execFileSync(process.execPath, ['--input-type=module', '-e', script]);
    expect(await incoming()).toEqual([]);
  });

  it('lists nothing that is not an object', async () => {
    await store.put(key, sourceOf(randomBytes(3)));
    await writeFile(join(folder, '.incoming', 'half'), 'half');
    await mkdir(join(folder, 'lost+found'));
    await writeFile(join(folder, 'lost+found', 'x'), 'x');
    expect(await allOf(store.list())).toEqual([{ key, length: 3 }]);
  });

  it('takes a folder for no object', async () => {
    await store.put(key, sourceOf(randomBytes(3)));
    expect(await store.stat('ab/1.2.3')).toBeUndefined();
    expect((await failureOf(store.readRange('ab/1.2.3', 0, 1))).kind).toBe('not-found');
    expect((await failureOf(store.put('ab/1.2.3', sourceOf(randomBytes(3))))).kind).toBe('conflict');
    expect((await failureOf(store.put(`${key}/below`, sourceOf(randomBytes(3))))).kind).toBe('conflict');
  });

  it('says in a sentence that a folder cannot be written, at start and when asked how it is', async () => {
    await store.put(key, sourceOf(randomBytes(3)));
    await chmod(temp.path, 0o755);
    for (const path of [folder, join(folder, '.incoming'), join(folder, 'ab/1.2.3/4.5.6')])
      await chmod(path, 0o555);
    const failures: Failure[] = [];
    // Root may write anywhere, so it becomes somebody else for a moment.
    const wasRoot = process.geteuid?.() === 0;
    if (wasRoot) process.seteuid?.(65534);
    try {
      failures.push(await failureOf(createFileStore({ folder }).start()));
      failures.push(await failureOf(store.check()));
      failures.push(await failureOf(store.put('ab/2.dcm', sourceOf(randomBytes(3)))));
      failures.push(await failureOfSync(() => store.putSync('ab/2.dcm', [randomBytes(3)])));
    } finally {
      if (wasRoot) process.seteuid?.(0);
      for (const path of [folder, join(folder, '.incoming'), join(folder, 'ab/1.2.3/4.5.6')])
        await chmod(path, 0o755);
    }
    expect(failures.map(({ kind }) => kind)).toEqual(Array(4).fill('unavailable'));
    expect(failures[0]?.message).toBe(
      `Cannot use the object folder ${folder}: this user may not; check the owner and mode of the folder (EACCES).`,
    );
    await expect(store.check()).resolves.toBeUndefined();
  });

  it('says in a sentence that a file stands where its folder should be', async () => {
    const path = join(temp.path, 'file');
    await writeFile(path, '');
    const failure = await failureOf(createFileStore({ folder: join(path, 'objects') }).start());
    expect(failure.message).toMatch(/^Cannot use the object folder .*ENOTDIR\)\.$/);
  });

  it('knows a full disk from other faults', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    expect(fileFailure('write the object x', full)).toMatchObject({ kind: 'no-space', cause: full });
    const broken = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', syscall: 'read' });
    expect(fileFailure('read the object x', broken)).toMatchObject({ kind: 'unavailable' });
    const own = new Failure('mismatch', 'its own words');
    expect(fileFailure('write the object x', own)).toBe(own);
  });

  it('reads the whole of a large object in pieces', async () => {
    const bytes = randomBytes(1_000_000);
    await store.put(key, sourceOf(bytes));
    const chunks = await allOf(store.read(key));
    expect(chunks.length).toBeGreaterThan(3);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    expect((await collect(store.read(key, { offset: 999_999, length: 1 })))[0]).toBe(bytes[999_999]);
  });
});

const strace = peer('strace')?.strace;

describe.skipIf(!strace)('what a sync makes durable, by its system calls (strace)', () => {
  for (const how of ['async', 'sync']) {
    it(`each file after its rename, its folder, and every folder that was made (${how})`, async () => {
      const temp = await tempFolder('objects');
      try {
        const folder = join(temp.path, 'objects');
        const trace = join(temp.path, 'trace');
        const script = fileURLToPath(new URL('../../support/sync-objects.ts', import.meta.url));
        execFileSync(strace!, [
          '-f',
          '-y',
          '-e',
          'trace=rename,fsync,fdatasync',
          '-o',
          trace,
          process.execPath,
          script,
          folder,
          how,
        ]);
        const lines = (await readFile(trace, 'utf8')).split('\n');
        const lineOf = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
        const escaped = (path: string) => path.replaceAll('.', '\\.');
        for (const key of ['ab/1.2/3.4/5.dcm', 'ab/1.2/3.4/6.dcm']) {
          const renamed = lineOf(new RegExp(`rename\\(".*", "${escaped(join(folder, key))}"`));
          const synced = lines.findLastIndex((line) =>
            new RegExp(`fdatasync\\(\\d+<${escaped(join(folder, key))}>`).test(line),
          );
          expect(renamed).toBeGreaterThan(-1);
          expect(synced).toBeGreaterThan(renamed);
        }
        for (const made of ['ab/1.2/3.4', 'ab/1.2', 'ab', '']) {
          const path = escaped(join(folder, made).replace(/\/$/, ''));
          const lastSync = lines.findLastIndex((line) => new RegExp(`fsync\\(\\d+<${path}>`).test(line));
          const lastRename = lines.findLastIndex((line) => line.includes('rename('));
          expect(lastSync, made).toBeGreaterThan(lastRename);
        }
      } finally {
        await temp.remove();
      }
    });
  }
});
