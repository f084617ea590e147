import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Database } from '../../src/archive/database/database.ts';
import { findStudy } from '../../src/archive/study.ts';
import { createLog } from '../../src/log.ts';
import { beginEvaluation, evaluateUnit } from '../../src/routing/evaluate.ts';
import { createRoutingTable, type RoutingTable } from '../../src/routing/routing-table.ts';
import { TRY_EXAMPLES } from '../../src/routing/rule-examples.ts';
import { createTryOut, type TriedDays, type TryOut } from '../../src/routing/try-rule.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { dicom, givenStableStudy, givenStudy } from './given-study.ts';

const log = createLog('silent', 'test');
const reader = {
  hasAll: async () => {},
  read: () => {
    throw new Error('no bytes are read here');
  },
  readRange: () => Promise.reject(new Error('no bytes are read here')),
};

let db: TestDatabase;
let database: Database;
let table: RoutingTable;
let tryOut: TryOut;

beforeEach(async () => {
  db = await testDatabase();
  database = db.database;
  table = createRoutingTable({ database, log });
  tryOut = createTryOut({ database, table, reader, log });
  const dimse = (aeTitle: string) => ({ kind: 'dimse', host: '127.0.0.1', port: 11113, aeTitle });
  await table.putDestination('pacs', dimse('PACS'), 'me');
  await table.putDestination('spare', dimse('SPARE'), 'me');
  await table.putDestination('cloud', { kind: 'stow', url: 'http://10.9.8.7/dicom-web' }, 'me');
  await table.putDestination('either', { kind: 'group', members: ['pacs', 'spare'] }, 'me');
});
afterEach(() => db.drop());

const rule = (name: string, body: object) => table.putRule(name, body, 'me');
const study = (studyUid: string, ask: object) =>
  tryOut.study(tryOut.parse({ study: studyUid, ...ask }), studyUid);
const days = (ask: object): Promise<TriedDays> => tryOut.days(tryOut.parse({ days: 7, ...ask }), 7);

/** Two series of CT and one of SR; some from PACS, one by STOW from the cloud. */
async function mixedStudy(): Promise<string> {
  const { studyUid } = await givenStudy(database, { instances: 5 });
  await givenStudy(database, {
    studyUid,
    series: 2,
    instances: 3,
    from: { kind: 'dimse', callingAe: 'PACS' },
  });
  await givenStudy(database, { studyUid, series: 3, modality: 'SR', instances: 1 });
  await givenStableStudy(database, {
    studyUid,
    series: 4,
    instances: 2,
    from: { kind: 'stow', address: '10.9.8.7', actor: 'portal' },
  });
  return studyUid;
}

test('says of a study exactly what routing then owes, by the same rules', async () => {
  const studyUid = await mixedStudy();
  await rule('whole', { when: { Modality: 'SR' }, send: ['either'] });
  await rule('every', { when: { all: { Modality: 'CT' } }, send: ['spare'] });
  await rule('series', { when: { Modality: 'CT' }, at: 'series-stable', send: ['pacs', 'cloud'] });
  await rule('each', { when: { InstanceNumber: { to: 2 } }, at: 'instance', send: ['cloud', 'spare'] });
  const { goes, instances } = await study(studyUid, {});
  expect(instances).toBe(11);

  const parts = { table, reader, log };
  await database.transaction(async (tx) => {
    const evaluation = await beginEvaluation(parts, tx);
    const record = (await findStudy(tx, studyUid))!;
    await evaluateUnit(parts, tx, evaluation, 'study-stable', record, {});
    await evaluateUnit(parts, tx, evaluation, 'instance', record, {});
    const { rows } = await tx.query<{ seriesUid: string }>('select series_uid as "seriesUid" from series');
    for (const scope of rows) await evaluateUnit(parts, tx, evaluation, 'series-stable', record, scope);
  });
  const { rows } = await database.query<{ destination: string; instances: number }>(
    `select d.destination, count(*) as instances from delivery d join delivery_instance i on i.delivery = d.id
     group by d.destination order by d.destination`,
  );
  expect(rows.length).toBe(4);
  expect(goes).toEqual(rows);
});

describe('a draft', () => {
  test('beside the rules in force: what goes that does not go today, and why', async () => {
    await rule('ct', { when: { Modality: 'CT' }, send: ['pacs'] });
    const { studyUid } = await givenStableStudy(database, { instances: 3 });
    const draft = { when: { Modality: 'CT', present: 'StudyDate' }, send: ['pacs', 'cloud'], hold: true };
    expect(await study(studyUid, { rule: draft })).toMatchObject({
      instances: 3,
      goes: [
        { destination: 'cloud', instances: 3, waits: true },
        { destination: 'pacs', instances: 3, waits: true },
      ],
      more: [{ destination: 'cloud', instances: 3, waits: true }],
      less: [],
      decisions: [
        { rule: 'ct', matched: true },
        {
          rule: 'draft',
          draft: true,
          matched: true,
          decided: [{ path: 'when.present' }, { path: 'when.Modality', attribute: 'Modality', held: true }],
        },
      ],
    });
  });

  test('in the place of a rule: also what goes today and would not', async () => {
    await rule('ct', { when: { Modality: 'CT' }, send: ['pacs'] });
    const { studyUid } = await givenStableStudy(database, { instances: 3 });
    const draft = { when: { InstanceNumber: 2 }, at: 'instance', send: ['pacs'] };
    const tried = await study(studyUid, { rule: draft, replaces: 'ct' });
    expect(tried).toMatchObject({ more: [], less: [{ destination: 'pacs', instances: 2 }] });
    expect(tried.decisions.at(-1)).toMatchObject({ rule: 'ct', draft: true, matched: true, met: 1 });
    const off = await study(studyUid, { rule: { ...draft, enabled: false }, replaces: 'ct' });
    expect(off).toMatchObject({ goes: [], less: [{ destination: 'pacs', instances: 3 }] });
  });

  test('that changes the same as a rule in force, written in another order, changes nothing', async () => {
    const transform = (order: (a: object, b: object) => object) => [
      { set: order({ StationName: 'A' }, { InstitutionName: 'B' }) },
    ];
    const both = { when: { Modality: 'CT' }, send: ['pacs'] };
    await rule('ct', { ...both, transform: transform((a, b) => ({ ...a, ...b })) });
    const { studyUid } = await givenStableStudy(database);
    const draft = { ...both, transform: transform((a, b) => ({ ...b, ...a })) };
    expect(await study(studyUid, { rule: draft })).toMatchObject({ more: [], less: [] });
    expect(await study(studyUid, { rule: draft, replaces: 'ct' })).toMatchObject({ more: [], less: [] });
    expect(await study(studyUid, { rule: both })).toMatchObject({ more: [{ destination: 'pacs' }] });
  });

  test('that asks for a person too late says so', async () => {
    await rule('each', { when: {}, at: 'instance', send: ['pacs'] });
    const { studyUid } = await givenStableStudy(database);
    const { goes } = await study(studyUid, { rule: { send: ['pacs', 'cloud'], hold: true } });
    expect(goes).toEqual([
      { destination: 'cloud', instances: 2, waits: true },
      { destination: 'pacs', instances: 2 },
    ]);
  });

  test('with a fault, or for what is not there, is refused in words', async () => {
    const { studyUid } = await givenStableStudy(database);
    const refused = (ask: object) => study(studyUid, ask).then(String, (failure: Error) => failure.message);
    expect(await refused({ rule: { when: { Modalty: 'CT' }, send: ['pacs'] } })).toMatch(
      /did you mean Modality/,
    );
    expect(await refused({ rule: { send: ['nowhere'] } })).toMatch(/nowhere is no destination/);
    expect(await refused({ rule: { send: ['pacs'] }, replaces: 'gone' })).toMatch(/no rule gone/);
    expect(await refused({ replaces: 'gone' })).toMatch(/replaces needs a rule/);
    await expect(study('1.2.3', {})).rejects.toMatchObject({ kind: 'not-found' });
    await expect(days({})).rejects.toMatchObject({ kind: 'invalid' });
    await expect(days({ rule: { send: ['pacs'] }, cursor: 'x' })).rejects.toMatchObject({ kind: 'invalid' });
    expect(() => tryOut.parse({ days: 0 })).toThrow(/days/);
  });

  test('of a study that is held says so', async () => {
    const { studyUid } = await givenStableStudy(database);
    await database.query(`update study set held = 'a conflict'`);
    expect(await study(studyUid, { rule: { send: ['pacs'] } })).toMatchObject({
      held: true,
      more: [{ destination: 'pacs', instances: 2 }],
    });
  });

  test('writes nothing', async () => {
    const { studyUid } = await givenStableStudy(database);
    await study(studyUid, { rule: { send: ['pacs'] } });
    await days({ rule: { send: ['pacs'] } });
    const { rows } = await database.query(
      `select (select count(*) from delivery) + (select count(*) from decision) + (select count(*) from rule_version) as n`,
    );
    expect(rows).toEqual([{ n: 0 }]);
  });
});

describe('the last days', () => {
  test('come page by page, newest first, none twice and none left out', async () => {
    await rule('mr', { when: { Modality: 'MR' }, send: ['pacs'] });
    const made: string[] = [];
    for (let n = 0; n < 5; n++)
      made.push((await givenStableStudy(database, { modality: n % 2 === 0 ? 'CT' : 'MR' })).studyUid);
    const old = await givenStableStudy(database);
    await database.query(
      `update study set last_received_at = now() - interval '8 days' where study_uid = $1`,
      [old.studyUid],
    );
    const seen: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await days({ rule: { send: ['pacs'] }, limit: 2, cursor });
      expect(page.of).toBe(5);
      for (const one of page.studies) {
        expect(one.decisions).toMatchObject([{ draft: true, matched: true }]);
        expect(one.more).toEqual([{ destination: 'pacs', instances: 2 }]);
        seen.push(one.study);
      }
      expect(page.more).toEqual(
        page.studies.length === 0
          ? []
          : [{ destination: 'pacs', instances: 2 * page.studies.length, studies: page.studies.length }],
      );
      // What arrives meanwhile is not among what was asked for.
      if (pages === 0) await givenStableStudy(database);
      cursor = page.next;
      pages++;
      if (cursor === undefined) expect(page.looked).toBe(5);
    } while (cursor !== undefined);
    expect(pages).toBe(3);
    expect(seen, 'only where the draft makes a difference').toEqual([made[4], made[2], made[0]]);
  });

  test('go on where the time was up', async () => {
    tryOut = createTryOut({ database, table, reader, log, budgetMs: 0 });
    for (let n = 0; n < 3; n++) await givenStableStudy(database);
    const first = await days({ rule: { send: ['pacs'] } });
    expect(first).toMatchObject({ looked: 1, of: 3, next: expect.any(String) });
    const second = await days({ rule: { send: ['pacs'] }, cursor: first.next });
    expect(second).toMatchObject({ looked: 2, of: 3 });
    expect(second.studies[0]!.study).not.toBe(first.studies[0]!.study);
  });

  test('are asked for by two at a time', async () => {
    const ask = () => days({ rule: { send: ['pacs'] } });
    const answers = await Promise.allSettled([ask(), ask(), ask()]);
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect((await ask()).looked).toBe(0);
  });
});

test('the examples of the description are try-outs', () => {
  for (const { value } of Object.values(TRY_EXAMPLES)) expect(() => tryOut.parse(value)).not.toThrow();
});

test('an uploaded header is a study of its own, sent by whom one says', async () => {
  await rule('ct1', { when: { CallingAETitle: 'CT1' }, send: ['pacs'] });
  const uploaded = {
    sopUid: '1.2.3',
    seriesUid: '1.2',
    header: dicom({ Modality: 'CT', StudyDate: '20240131', RequestedContrastAgent: 'x' }),
  };
  const draft = {
    rule: {
      when: { ModalitiesInStudy: 'CT', NumberOfStudyRelatedInstances: 1, RequestedContrastAgent: 'x' },
      send: ['pacs', 'cloud'],
    },
  };
  expect(
    await tryOut.header(tryOut.parse({ ...draft, association: { CallingAETitle: 'CT1' } }), uploaded),
  ).toMatchObject({
    instances: 1,
    more: [{ destination: 'cloud', instances: 1 }],
  });
  const fromThere = await tryOut.header(
    tryOut.parse({ ...draft, association: { CallingAETitle: 'PACS' } }),
    uploaded,
  );
  expect(fromThere.goes).toEqual([{ destination: 'cloud', instances: 1 }]);
});
