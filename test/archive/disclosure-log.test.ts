/** Disclosures that come together: each is a row, whatever shares its transaction, and none is told written before it is. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createDisclosureLog } from '../../src/archive/disclosure-log.ts';
import { Failure } from '../../src/failure.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db?.drop());

const count = async (recipient: string): Promise<number> => {
  const { rows } = await db.database.query<{ count: number }>(
    'select count(*) as count from disclosure where recipient = $1',
    [recipient],
  );
  return rows[0]!.count;
};

it('a thousand at once are a thousand rows, in few transactions', async () => {
  let statements = 0;
  const log = createDisclosureLog({
    prepared: (text, values) => {
      statements++;
      return db.database.prepared(text, values);
    },
  });
  const one = (n: number) =>
    log.record({
      channel: 'wado',
      recipient: 'many',
      address: '::1',
      studyUid: '1.2',
      sopUid: `1.2.${n}`,
      instances: 1,
      detail: { frames: n },
    });
  const [first] = await Promise.all(
    Array.from({ length: 1000 }, (_, n) => (n === 0 ? one(n).then(() => count('many')) : one(n))),
  );
  // The first is told written: it is there.
  expect(first).toBeGreaterThan(0);
  expect(await count('many')).toBe(1000);
  expect(statements).toBeLessThan(10);
  const { rows } = await db.database.query(
    `select channel, address, study_uid, series_uid, sop_uid, instances, detail from disclosure where sop_uid = '1.2.7'`,
  );
  expect(rows).toEqual([
    {
      channel: 'wado',
      address: '::1',
      study_uid: '1.2',
      series_uid: null,
      sop_uid: '1.2.7',
      instances: 1,
      detail: { frames: 7 },
    },
  ]);
});

it('one that cannot be written is refused alone', async () => {
  const log = createDisclosureLog(db.database);
  const outcomes = await Promise.allSettled(
    ['wado', 'wado', 'no such channel', 'wado'].map((channel) =>
      log.record({ channel: channel as 'wado', recipient: 'mixed' }),
    ),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  expect(await count('mixed')).toBe(3);
});

it('with the database away all are refused, and the next is tried again', async () => {
  let away = true;
  const log = createDisclosureLog({
    prepared: (text, values) =>
      away
        ? Promise.reject(new Failure('unavailable', 'the database is away'))
        : db.database.prepared(text, values),
  });
  const lost = await Promise.allSettled(
    [1, 2, 3].map(() => log.record({ channel: 'wado', recipient: 'away' })),
  );
  expect(lost.every(({ status }) => status === 'rejected')).toBe(true);
  away = false;
  await log.record({ channel: 'wado', recipient: 'away' });
  expect(await count('away')).toBe(1);
});

it('of an object that is no longer of its version nothing is recorded, and the others are', async () => {
  const log = createDisclosureLog(db.database);
  const one = {
    channel: 'wado',
    recipient: 'changed',
    studyUid: '9.1',
    seriesUid: '9.1.1',
    sopUid: '9.1.1.1',
  } as const;
  const recorded = await Promise.all([
    log.record(one),
    log.record(one, { objectId: 1, version: '1 1' }),
    log.record(one),
  ]);
  expect(recorded).toEqual([true, false, true]);
  expect(await count('changed')).toBe(2);
});
