/** When a study is stable: quiet long enough by Postgres' clock, and no association open that may bring more. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createStableStudies, declareStable, type StableStudies } from '../../src/archive/stable-study.ts';
import { findStudy } from '../../src/archive/study.ts';
import { createLog } from '../../src/log.ts';
import { anObject } from '../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { eventually } from '../support/house.ts';
import { aReception, index } from './incoming.ts';

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
  await db.database.query("insert into node (name) values ('node-1')");
});
afterEach(() => db.drop());

const query = (text: string, values: unknown[] = []) => db.database.query(text, values);
const quiet = (seconds: number) =>
  query('update study set last_received_at = now() - make_interval(secs => $1)', [seconds]);
const close = () => query("update reception set closed_at = now(), outcome = 'released'");
const stableChanges = async () =>
  (await query("select study_version from change where kind = 'study-stable' order by id")).rows.map(
    (row) => row.study_version,
  );

it('waits out the quiet time, says it once, and again after a late image', async () => {
  const first = anObject();
  await index(db, [first]);
  await close();
  await quiet(50);
  expect(await declareStable(db.database, 60)).toBe(0);
  await quiet(61);
  expect(await declareStable(db.database, 60)).toBe(1);
  expect(await declareStable(db.database, 60)).toBe(0);
  expect(await findStudy(db.database, first.study)).toMatchObject({ version: 1, stableVersion: 1 });
  await index(db, [anObject({ study: first.study })]);
  await close();
  expect(await declareStable(db.database, 60)).toBe(0);
  await quiet(61);
  expect(await declareStable(db.database, 60)).toBe(1);
  expect(await stableChanges()).toEqual([1, 2]);
});

it('the same image again does not make a stable study unstable', async () => {
  const object = anObject();
  await index(db, [object]);
  await close();
  await quiet(61);
  await declareStable(db.database, 60);
  await index(db, [object]);
  expect(await declareStable(db.database, 0)).toBe(0);
});

describe('an open association', () => {
  it('of a node that lives holds its study back, and no other', async () => {
    const [open, other] = [anObject(), anObject()];
    await index(db, [open]);
    const done = aReception();
    await index(db, [other], done);
    await query('update reception set closed_at = now() where id = $1', [done.reception]);
    await quiet(3600);
    expect(await declareStable(db.database, 60)).toBe(1);
    expect(await findStudy(db.database, open.study)).toMatchObject({ stableVersion: null });
    expect(await findStudy(db.database, other.study)).toMatchObject({ stableVersion: 1 });
    await close();
    expect(await declareStable(db.database, 60)).toBe(1);
  });

  it('of a node that is gone does not', async () => {
    await index(db, [anObject()]);
    await quiet(3600);
    expect(await declareStable(db.database, 60)).toBe(0);
    await query("update node set seen_at = now() - interval '61 seconds'");
    expect(await declareStable(db.database, 60)).toBe(1);
  });
});

it('two processes that look at once say it once', async () => {
  await Promise.all(Array.from({ length: 20 }, () => index(db, [anObject()])));
  await close();
  await quiet(61);
  const counts = await Promise.all(Array.from({ length: 4 }, () => declareStable(db.database, 60)));
  const rest = await declareStable(db.database, 60);
  expect(counts.reduce((sum, count) => sum + count, 0) + rest).toBe(20);
  expect(await stableChanges()).toHaveLength(20);
});

it('looks by itself, more than one batch at a time, and stops', async () => {
  const stable = clock();
  const objects = Array.from({ length: 130 }, () => anObject());
  await index(db, objects.slice(0, 65));
  await index(db, objects.slice(65));
  await close();
  stable.start();
  await eventually(async () => ((await stableChanges()).length === 130 ? true : undefined), 'stability');
  await stable.stop();
});

it('after the database was away says first that its node lives', async () => {
  await index(db, [anObject()]);
  await quiet(3600);
  await query('alter table study rename to study_away');
  let beats = 0;
  const stable = clock(async () => {
    beats++;
    await query('update node set seen_at = now()');
  });
  stable.start();
  await eventually(
    async () => (beats > 0 ? true : undefined),
    'a look that failed, and the heartbeat after it',
  );
  await query("update node set seen_at = now() - interval '1 hour'");
  await query('alter table study_away rename to study');
  const seen = beats;
  await eventually(async () => (beats > seen ? true : undefined), 'the heartbeat');
  await stable.stop();
  expect(await stableChanges()).toEqual([]);
});

function clock(heartbeat: () => Promise<void> = async () => {}): StableStudies {
  return createStableStudies({
    database: db.database,
    stableAgeS: 0,
    heartbeat,
    log: createLog('silent', 'test'),
  });
}
