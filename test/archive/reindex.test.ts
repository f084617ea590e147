/** The index from the objects alone: the same rows as before, nothing announced, nothing that is damaged passed over. */
import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deleteInstances } from '../../src/archive/delete-instances.ts';
import { objectKey } from '../../src/archive/object-key.ts';
import { reindex } from '../../src/archive/reindex.ts';
import { createLog } from '../../src/log.ts';
import { anObject, aSeries } from '../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { fileOf as fileBytes } from '../support/modality.ts';
import { indexRows, openRig, type Rig, store, wrongCounts } from './intake/rig.ts';

const log = createLog('silent', 'test');
let r: Rig;
let fresh: TestDatabase;
beforeEach(async () => {
  r = await openRig();
  fresh = await testDatabase();
});
afterEach(async () => {
  await fresh.drop();
  await r.close();
});

const run = (db: TestDatabase) =>
  reindex({ database: db.database, store: r.store, nodeName: 'node-1', log }, () => undefined);
const fileOf = (key: string): string => join(r.folder, 'objects', key);

async function filled(): Promise<string[]> {
  const settler = r.settle();
  const journal = r.journal();
  const reception = journal.open();
  const first = aSeries(70, { patientId: 'P1', issuer: 'H' });
  for (const object of [
    ...first,
    ...aSeries(3, { study: first[0]!.study, patientId: 'P1' }),
    anObject({ patientId: '' }),
  ])
    store(reception, object);
  await reception.indexed(20_000);
  journal.close();
  await settler.stop();
  const { rows } = await r.db.database.query<{ key: string }>('select key from object order by id');
  return rows.map(({ key }) => key);
}

it('leaves out what was deleted and whose bytes have not followed yet', async () => {
  await filled();
  const [study] = (await r.db.database.query<{ uid: string }>('select study_uid as uid from study limit 1'))
    .rows;
  const by = { actor: 'anna', address: '127.0.0.1' };
  const gone = await deleteInstances(r.db.database, { studyUid: study!.uid }, by);
  expect(gone).toBeGreaterThan(0);
  expect(await run(r.db)).toEqual({ objects: 74 - gone, added: 0, unreadable: [] });
});

it('makes the same studies, series and instances in an empty database, and announces nothing', async () => {
  await filled();
  expect(await run(fresh)).toEqual({ objects: 74, added: 74, unreadable: [] });
  expect(await indexRows(fresh)).toEqual(await indexRows(r.db));
  expect(await wrongCounts(fresh)).toEqual([]);
  expect((await fresh.database.query('select * from change')).rows).toEqual([]);
  // Delivered when they came: they must not become stable anew.
  const { rows } = await fresh.database.query(
    'select 1 from study where stable_version is distinct from version',
  );
  expect(rows).toEqual([]);
  const open = await fresh.database.query('select 1 from reception where closed_at is null');
  expect(open.rows).toEqual([]);
});

it('changes nothing where nothing is missing', async () => {
  await filled();
  const before = await indexRows(r.db);
  expect(await run(r.db)).toEqual({ objects: 74, added: 0, unreadable: [] });
  expect(await indexRows(r.db)).toEqual(before);
});

it('names what it cannot read, by its key, and goes on with the others', async () => {
  const keys = await filled();
  const [changed, cut, empty, foreign] = [keys[3]!, keys[10]!, keys[20]!, `zz/${keys[0]!}`];
  for (const key of keys) chmodSync(fileOf(key), 0o640);
  const bytes = readFileSync(fileOf(changed));
  bytes[bytes.length - 5]! ^= 1;
  writeFileSync(fileOf(changed), bytes);
  writeFileSync(fileOf(cut), readFileSync(fileOf(cut)).subarray(0, 700));
  writeFileSync(fileOf(empty), '');
  await mkdir(dirname(fileOf(foreign)), { recursive: true });
  writeFileSync(fileOf(foreign), 'not DICOM at all');
  const { objects, added, unreadable } = await run(fresh);
  expect([objects, added]).toEqual([75, 71]);
  const reasons = new Map(unreadable.map(({ key, reason }) => [key, reason]));
  expect([...reasons.keys()].sort()).toEqual([changed, cut, empty, foreign].sort());
  expect(reasons.get(changed)).toContain('damaged');
  expect(reasons.get(cut)).toContain('truncated');
});

it('names an object that the index cannot take, and goes on with the others of its batch', async () => {
  await fresh.database.query("alter table patient add check (patient_id <> 'POISONED')");
  const poisoned = anObject({ patientId: 'POISONED' });
  const settler = r.settle();
  const journal = r.journal();
  const reception = journal.open();
  for (const object of [anObject(), anObject()]) store(reception, object);
  await reception.indexed(20_000);
  journal.close();
  await settler.stop();
  // A file without a row, of an object that no row can hold.
  const file = fileBytes(poisoned);
  const key = objectKey({
    studyInstanceUid: poisoned.study,
    seriesInstanceUid: poisoned.series,
    sopInstanceUid: poisoned.sop,
    contentHash: Buffer.from(poisoned.contentHash, 'hex'),
  });
  await r.store.put(key, {
    length: file.length,
    sha256: createHash('sha256').update(file).digest(),
    open: async function* () {
      yield file;
    },
  });
  const { added, unreadable } = await run(fresh);
  expect(added).toBe(2);
  expect(unreadable).toHaveLength(1);
  expect(unreadable[0]!.key).toContain(poisoned.sop);
  expect(unreadable[0]!.reason).not.toContain('POISONED');
});

it('finds every version again: the first it reads is current, the others are listed or to be compared', async () => {
  const first = anObject();
  const settler = r.settle();
  const journal = r.journal();
  const reception = journal.open();
  for (const object of [first, anObject({ ...first, pixels: 1 }), anObject({ ...first, pixels: 2 })])
    store(reception, object);
  await reception.indexed(20_000);
  journal.close();
  await settler.stop();
  expect(await run(fresh)).toMatchObject({ objects: 3, added: 3, unreadable: [] });
  const roles = await fresh.database.query('select role, study_uid from object order by id');
  expect(roles.rows).toEqual(
    ['current', 'conflict', 'conflict'].map((role) => ({ role, study_uid: first.study })),
  );
  const conflicts = await fresh.database.query('select kind, settled_at from conflict');
  expect(conflicts.rows).toEqual([
    { kind: 'content', settled_at: null },
    { kind: 'content', settled_at: null },
  ]);
  expect((await fresh.database.query('select 1 from comparison')).rows).toHaveLength(2);
  expect(await wrongCounts(fresh)).toEqual([]);
});
