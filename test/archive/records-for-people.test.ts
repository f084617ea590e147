/** What is written down for people: disclosures nobody can change, refusals that are swept after their time. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { recordDisclosure } from '../../src/archive/disclosure.ts';
import { fitted, type Refusal, sweepRefusals, writeRefusals } from '../../src/archive/refusal.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db?.drop());

it('a disclosure stays as it was written', async () => {
  await recordDisclosure(db.database, {
    channel: 'wado',
    recipient: 'anonymous',
    address: '127.0.0.1',
    studyUid: '1.2.3',
    instances: 4,
    detail: { destination: 'pacs' },
  });
  await recordDisclosure(db.database, { channel: 'dimse', recipient: 'PACS' });
  const { rows } = await db.database.query(
    'select channel, recipient, study_uid, instances, detail from disclosure order by id',
  );
  expect(rows).toEqual([
    {
      channel: 'wado',
      recipient: 'anonymous',
      study_uid: '1.2.3',
      instances: 4,
      detail: { destination: 'pacs' },
    },
    { channel: 'dimse', recipient: 'PACS', study_uid: null, instances: null, detail: null },
  ]);
  for (const change of [
    "update disclosure set recipient = 'nobody'",
    'delete from disclosure',
    'truncate disclosure',
  ])
    await expect(db.database.query(change), change).rejects.toThrow(/refused/);
});

it('a refusal of any length is listed, and swept after 90 days', async () => {
  const refusal = {
    what: 'object',
    code: 'unreadable',
    callingAe: 'CT_1',
    sopUid: '1'.repeat(200),
    status: 0xc000,
  } as const;
  const once = (refused: Refusal, at: Date) => ({
    refusal: fitted(refused),
    times: 1,
    firstAt: at.toISOString(),
    lastAt: at.toISOString(),
  });
  const old = new Date(Date.now() - 91 * 86_400_000);
  await writeRefusals(db.database, [
    once({ ...refusal, reason: 'x'.repeat(5000) }, new Date()),
    once({ what: 'part', code: 'unreadable', reason: 'old' }, old),
  ]);
  expect(await sweepRefusals(db.database)).toBe(1);
  const { rows } = await db.database.query(
    'select length(reason) as n, length(sop_uid) as uid, status from refusal',
  );
  expect(rows).toEqual([{ n: 500, uid: 64, status: 0xc000 }]);
});
