/** Destinations that are folders: what lies there afterwards, and what a folder can do to a delivery. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { placeFile } from '../../src/forwarding/folder-scu.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { loopMount } from '../support/loop-mount.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';

let door: DoorOverHttp;
let root: TempFolder;

beforeEach(async () => {
  root = await tempFolder('folder-root');
  door = await openDoorOverHttp({ folderRoot: root.path });
});
afterEach(async () => {
  await door.close();
  await root.remove();
});

const folder = (more: object = {}) => ({ kind: 'folder', path: 'research/ct', ...more });
const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });
const filesBelow = (where: string): string[] =>
  readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(where, path.join(entry.parentPath, entry.name)))
    .sort();

describe('a folder', () => {
  test('gets each instance as a Part 10 file, byte for byte, and nothing else', async () => {
    await door.destination('research', folder());
    await door.rule('all', { send: ['research'] });
    const { studyUid, seriesUid, sopUids, dataSets } = await given({ instances: 11, pixelBytes: 300_001 });
    expect(await door.settled('delivered')).toMatchObject([{ total: 11, delivered: 11, attempts: 1 }]);
    const there = path.join(root.path, 'research/ct');
    expect(filesBelow(there)).toEqual(sopUids.map((sop) => `${studyUid}/${seriesUid}/${sop}.dcm`).sort());
    for (const sop of sopUids) {
      const bytes = readFileSync(path.join(there, studyUid, seriesUid, `${sop}.dcm`));
      const meta = readFileMeta(bytes);
      expect(meta.sopInstanceUid).toBe(sop);
      expect(bytes.subarray(meta.dataSetOffset).equals(dataSets.get(sop)!)).toBe(true);
    }
    const { rows } = await door.database.query(
      `select recipient, sum(instances) as instances from disclosure where channel = 'folder' group by 1`,
    );
    expect(rows).toEqual([{ recipient: 'research/ct', instances: 11 }]);
  });

  test('is not changed by the same again', async () => {
    await door.destination('research', folder());
    await door.rule('all', { send: ['research'] });
    const { studyUid, seriesUid, sopUids } = await given({ instances: 2 });
    await door.settled('delivered');
    const file = path.join(root.path, 'research/ct', studyUid, seriesUid, `${sopUids[0]}.dcm`);
    const before = statSync(file, { bigint: true });
    await door.call('POST', `/studies/${studyUid}/resend`);
    await door.settled('delivered');
    const after = statSync(file, { bigint: true });
    expect([after.ino, after.mtimeNs, after.ctimeNs]).toEqual([before.ino, before.mtimeNs, before.ctimeNs]);
  });

  test('that has other bytes under the name keeps them, and the others arrive', async () => {
    await door.destination('research', folder({ enabled: false }));
    await door.rule('all', { send: ['research'] });
    const { studyUid, seriesUid, sopUids } = await given({ instances: 3 });
    const series = path.join(root.path, 'research/ct', studyUid, seriesUid);
    mkdirSync(series, { recursive: true });
    writeFileSync(path.join(series, `${sopUids[0]}.dcm`), 'other');
    mkdirSync(path.join(series, `${sopUids[2]}.dcm`));
    await door.destination('research', folder());
    expect(await door.settled('parked')).toMatchObject([{ delivered: 1, failed: 2 }]);
    expect((await door.instances())[0]).toMatchObject({
      state: 'failed',
      comment: `other bytes lie under ${studyUid}/${seriesUid}/${sopUids[0]}.dcm already; they are left as they are`,
    });
    expect(readFileSync(path.join(series, `${sopUids[0]}.dcm`), 'utf8')).toBe('other');
  });

  test('of the same length with one other byte is told apart, also far in', async () => {
    await door.destination('research', folder());
    await door.rule('all', { send: ['research'] });
    const { studyUid, seriesUid, sopUids } = await given({ instances: 1, pixelBytes: 700_000 });
    await door.settled('delivered');
    const file = path.join(root.path, 'research/ct', studyUid, seriesUid, `${sopUids[0]}.dcm`);
    const bytes = readFileSync(file);
    bytes[bytes.length - 7]! ^= 1;
    writeFileSync(file, bytes);
    await door.call('POST', `/studies/${studyUid}/resend`);
    expect(await door.settled('parked')).toMatchObject([{ failed: 1 }]);
  });

  test('that gets one name from two deliveries at once keeps the first, and tells the other', async () => {
    await door.destination('research', folder({ maxAssociations: 2, enabled: false }));
    await door.rule('whole', { send: ['research'] });
    await door.rule('edited', { send: ['research'], transform: [{ set: { PatientName: 'OTHER' } }] });
    const { sopUids } = await given({ instances: 12, pixelBytes: 40_000 });
    await door.settled('owed');
    await door.destination('research', folder({ maxAssociations: 2 }));
    const ended = await door.settled('delivered', 'parked');
    expect(ended).toHaveLength(2);
    const rows = await door.instances();
    for (const sop of sopUids)
      expect(
        rows
          .filter(({ sop_uid }) => sop_uid === sop)
          .map(({ state }) => state)
          .sort(),
      ).toEqual(['delivered', 'failed']);
  });

  test('gives a name to nothing where something has it', async () => {
    const [beside, file] = [path.join(root.path, '.new'), path.join(root.path, 'file')];
    writeFileSync(beside, 'new');
    expect(await placeFile(beside, file)).toBe(true);
    expect(readdirSync(root.path)).toEqual(['file']);
    writeFileSync(beside, 'newer');
    expect(await placeFile(beside, file)).toBe(false);
    expect(readdirSync(root.path)).toEqual(['file']);
    expect(readFileSync(file, 'utf8')).toBe('new');
  });

  test('is cleaned of what an attempt that died left half written', async () => {
    await door.destination('research', folder({ enabled: false }));
    await door.rule('all', { send: ['research'] });
    const { studyUid, seriesUid, sopUids } = await given({ instances: 1 });
    const [{ id } = { id: 0 }] = await door.settled('owed');
    const series = path.join(root.path, 'research/ct', studyUid, seriesUid);
    mkdirSync(series, { recursive: true });
    writeFileSync(path.join(series, `.${sopUids[0]}.${id}.1.part`), 'half');
    writeFileSync(path.join(series, `.${sopUids[0]}.${id + 1}.1.part`), 'of another delivery');
    await door.database.query('update delivery set lease_token = 1');
    await door.destination('research', folder());
    await door.settled('delivered');
    expect(readdirSync(series).sort()).toEqual([`.${sopUids[0]}.${id + 1}.1.part`, `${sopUids[0]}.dcm`]);
  });

  test('whose root is not there, as a share that is not mounted, is waited for and never made', async () => {
    await door.close();
    const share = path.join(root.path, 'share');
    door = await openDoorOverHttp({ folderRoot: share });
    await door.destination('research', folder());
    await door.rule('all', { send: ['research'] });
    await given({ instances: 2 });
    expect((await door.failing()).lastError).toBe(
      'The folder research/ct cannot be used: FOLDER_ROOT, or something below it, is not there: is the share mounted? (ENOENT)',
    );
    expect((await door.call('POST', '/destinations/research/test')).json).toMatchObject({
      ok: false,
      message: expect.stringContaining('is the share mounted?'),
    });
    expect(existsSync(share)).toBe(false);
    mkdirSync(share);
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 2 }]);
  });

  test('that a link leads out of the root is not written to', async () => {
    const elsewhere = await tempFolder('elsewhere');
    try {
      symlinkSync(elsewhere.path, path.join(root.path, 'research'));
      await door.destination('research', folder());
      await door.rule('all', { send: ['research'] });
      await given();
      expect((await door.failing()).lastError).toContain('leads out of FOLDER_ROOT by a link');
      expect(filesBelow(elsewhere.path)).toEqual([]);
    } finally {
      await elsewhere.remove();
    }
  });

  test('below which somebody put a link is not left by it, and other studies arrive', async () => {
    const elsewhere = await tempFolder('elsewhere');
    try {
      await door.destination('research', folder({ enabled: false }));
      await door.rule('all', { send: ['research'] });
      const { studyUid } = await given({ instances: 2 });
      const where = path.join(root.path, 'research/ct');
      mkdirSync(where, { recursive: true });
      symlinkSync(elsewhere.path, path.join(where, studyUid));
      await door.destination('research', folder());
      expect((await door.failing()).lastError).toBe(
        `${studyUid} in the folder is a link, and is not followed`,
      );
      const other = await given({ instances: 2 });
      await expect
        .poll(() => filesBelow(where).filter((file) => file.startsWith(other.studyUid)), { timeout: 20_000 })
        .toHaveLength(2);
      expect(filesBelow(elsewhere.path)).toEqual([]);
    } finally {
      await elsewhere.remove();
    }
  });

  test('makes nothing where a link leads out of the root', async () => {
    const elsewhere = await tempFolder('elsewhere');
    try {
      symlinkSync(elsewhere.path, path.join(root.path, 'research'));
      await door.destination('research', folder());
      expect((await door.call('POST', '/destinations/research/test')).json).toMatchObject({
        ok: false,
        message: 'The folder research/ct leads out of FOLDER_ROOT by a link',
      });
      expect(readdirSync(elsewhere.path)).toEqual([]);
    } finally {
      await elsewhere.remove();
    }
  });

  test('is tested by a file that is written and removed', async () => {
    await door.destination('research', folder());
    expect((await door.call('POST', '/destinations/research/test')).json).toMatchObject({
      ok: true,
      message: 'a file was written to research/ct and removed',
    });
    expect(filesBelow(root.path)).toEqual([]);
  });
});

describe.skipIf(!peer('loop-mount'))('a folder on a disk of its own (needs loop mounts)', () => {
  test('that is full, or read-only, is waited for, and what lies there is whole', async () => {
    const disk = await loopMount(path.join(root.path, 'disk'), 24);
    try {
      await door.close();
      door = await openDoorOverHttp({ folderRoot: disk.path });
      await disk.fill(3_500_000);
      await door.destination('research', folder());
      await door.rule('all', { send: ['research'] });
      const { sopUids } = await given({ instances: 6, pixelBytes: 1024 * 1024 });
      expect((await door.failing()).lastError).toMatch(/its disk is full \(ENOSPC\)/);
      const soFar = filesBelow(path.join(disk.path, 'research'));
      expect(
        soFar.every((file) => file.endsWith('.dcm')),
        'no half files',
      ).toBe(true);
      await disk.free();
      expect(await door.settled('delivered')).toMatchObject([{ delivered: 6, failed: 0 }]);
      const files = filesBelow(path.join(disk.path, 'research'));
      expect(files.map((file) => path.basename(file, '.dcm'))).toEqual([...sopUids].sort());

      await disk.readOnly(true);
      await given({ instances: 1 });
      expect((await door.failing()).lastError).toMatch(/it is mounted read-only \(EROFS\)/);
      expect((await door.call('POST', '/destinations/research/test')).json.message).toMatch(/read-only/);
      await disk.readOnly(false);
      await door.settled('delivered');
    } finally {
      await door.forwarding.stop(2000);
      await disk.unmount();
    }
  });
});

test.each([
  ['../up', /expected a path below FOLDER_ROOT/],
  ['/etc', /expected a path below FOLDER_ROOT/],
  ['a//b', /expected a path below FOLDER_ROOT/],
  ['.hidden', /expected a path below FOLDER_ROOT/],
  ['', /expected a path below FOLDER_ROOT/],
])('the path "%s" is refused', async (text, expected) => {
  const { status, json } = await door.call('PUT', '/destinations/bad', folder({ path: text }));
  expect(status).toBe(400);
  expect(json.message).toMatch(expected);
});

test('without FOLDER_ROOT folders are refused in words', async () => {
  await door.close();
  door = await openDoorOverHttp();
  const { status, json } = await door.call('PUT', '/destinations/research', folder());
  expect(status).toBe(400);
  expect(json.message).toMatch(/folders need the setting FOLDER_ROOT/);
});
