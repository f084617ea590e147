import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Database } from '../../src/archive/database/database.ts';
import {
  claimDue,
  findLink,
  findOpenLinks,
  type LinkOutcome,
  markDue,
  nextDueMs,
  renewLease,
  retry,
  settle,
} from '../../src/fhir/link-ledger.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

const SERVER = 'http://ehr/fhir';
const HOUR = 3_600_000;
const linked: LinkOutcome = {
  state: 'linked',
  studyVersion: 7,
  resourceId: 'r',
  versionId: '1',
  contentHash: Buffer.from('h'),
};

let given: TestDatabase;
let db: Database;

beforeEach(async () => {
  given = await testDatabase();
  db = given.database;
});
afterEach(() => given.drop());

const claim = async (leaseMs = HOUR) => (await claimDue(db, 'w', 10, leaseMs))[0];

test('what is marked is claimed once', async () => {
  await markDue(db, ['1.2', '1.3', '1.2']);
  const claims = await Promise.all([
    claimDue(db, 'a', 1, HOUR),
    claimDue(db, 'b', 1, HOUR),
    claimDue(db, 'c', 1, HOUR),
  ]);
  expect(
    claims
      .flat()
      .map((one) => one.studyUid)
      .sort(),
  ).toEqual(['1.2', '1.3']);
});

test('a lease that ran out is claimed again, and its first holder can write nothing more', async () => {
  await markDue(db, ['1.2']);
  const first = (await claim(0))!;
  const second = (await claim())!;
  expect(second.leaseToken).toBeGreaterThan(first.leaseToken);
  expect(await renewLease(db, first, HOUR)).toBe(false);
  expect(await settle(db, first, SERVER, { state: 'parked', reason: 'late' })).toBe(false);
  expect(await renewLease(db, second, HOUR)).toBe(true);
  expect(await settle(db, second, SERVER, linked)).toBe(true);
  expect(await settle(db, second, SERVER, { state: 'parked', reason: 'twice' })).toBe(true);
});

test('what is asked for during a try is due again after it, whatever the try came to', async () => {
  for (const outcome of [linked, { state: 'parked', reason: 'no' } as const]) {
    await markDue(db, ['1.2']);
    const held = (await claim())!;
    await markDue(db, ['1.2']);
    expect(await claim()).toBeUndefined();
    await settle(db, held, SERVER, outcome);
    expect(await findLink(db, '1.2')).toMatchObject({ state: 'waiting', reason: null, attempts: 0 });
    const next = (await claim())!;
    await settle(db, next, SERVER, linked);
    expect(await findLink(db, '1.2')).toMatchObject({ state: 'linked', nextAttempt: null, studyVersion: 7 });
  }
});

test('a failure keeps what was linked before, and says when it is tried again', async () => {
  await markDue(db, ['1.2']);
  await settle(db, (await claim())!, SERVER, linked);
  expect(await nextDueMs(db)).toBeUndefined();
  await markDue(db, ['1.2']);
  expect(await nextDueMs(db)).toBe(0);
  await settle(db, (await claim())!, SERVER, { state: 'waiting', reason: 'away', delayMs: HOUR });
  expect(await findLink(db, '1.2')).toMatchObject({
    state: 'waiting',
    resourceId: 'r',
    versionId: '1',
    attempts: 1,
  });
  expect(await nextDueMs(db)).toBeGreaterThan(HOUR / 2);
  expect(await claim()).toBeUndefined();
});

test('the work list has what failed, longest first; a retry makes it due and forgets what was told', async () => {
  await markDue(db, ['1.1', '1.2', '1.3', '1.4']);
  for (const one of await claimDue(db, 'w', 10, HOUR)) {
    if (one.studyUid === '1.1') await settle(db, one, SERVER, linked);
    if (one.studyUid === '1.2')
      await settle(db, one, SERVER, { state: 'unlinked', reason: 'nobody', delayMs: HOUR });
    if (one.studyUid === '1.3') await settle(db, one, SERVER, { state: 'parked', reason: 'refused' });
    if (one.studyUid === '1.4')
      await settle(db, one, SERVER, { state: 'waiting', reason: 'away', delayMs: HOUR });
  }
  await markDue(db, ['1.5']);
  await db.query(`update fhir_link set state_since = '2020-01-01' where study_uid = '1.3'`);
  await db.query(`update fhir_link set state_since = '2021-01-01' where study_uid = '1.2'`);
  const open = await findOpenLinks(db, { limit: 10, offset: 0 });
  expect(open.map(({ study, state }) => [study, state])).toEqual([
    ['1.3', 'parked'],
    ['1.2', 'unlinked'],
    ['1.4', 'waiting'],
  ]);
  expect((await findOpenLinks(db, { limit: 1, offset: 1 })).map(({ study }) => study)).toEqual(['1.2']);

  expect(await retry(db, '1.9')).toBe(0);
  expect(await retry(db, '1.1')).toBe(1);
  expect((await claim())!.contentHash).toBeNull();
  expect(await retry(db, undefined)).toBe(5);
  expect(await findOpenLinks(db, { limit: 10, offset: 0 })).toEqual([]);
});
