import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Database } from '../../src/archive/database/database.ts';
import { findStudy } from '../../src/archive/study.ts';
import { createLog } from '../../src/log.ts';
import { beginEvaluation, evaluateUnit } from '../../src/routing/evaluate.ts';
import { createRoutingTable, type RoutingTable } from '../../src/routing/routing-table.ts';
import { RULE_UNITS, type RuleUnit } from '../../src/routing/rule.ts';
import { TRY_EXAMPLES } from '../../src/routing/rule-examples.ts';
import { createTryOut, type TriedDays, type TriedStudy, type TryOut } from '../../src/routing/try-rule.ts';
import type { Going } from '../../src/routing/try-unit.ts';
import type { UnitScope } from '../../src/routing/unit-facts.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { dicom, givenStableStudy, givenStudy, noBytes } from './given-study.ts';
import { conditionOf, random } from './random-conditions.ts';

const log = createLog('silent', 'test');

let db: TestDatabase;
let database: Database;
let table: RoutingTable;
let tryOut: TryOut;

beforeEach(async () => {
  db = await testDatabase();
  database = db.database;
  table = createRoutingTable({ database, log });
  tryOut = createTryOut({ database, table, reader: noBytes, log });
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

  await routeAll(studyUid);
  const owed = await owedNow();
  expect(new Set(owed.keys())).toEqual(new Set(['cloud ', 'either ', 'pacs ', 'spare ']));
  expect(goes).toEqual(told(owed));
});

/** As the feed would have it: instances first, then series, then the study; each is sent before the next is asked. */
async function routeAll(studyUid: string): Promise<void> {
  const parts = { table, reader: noBytes, log };
  const unit = (at: RuleUnit, scopes: readonly UnitScope[]) =>
    database.transaction(async (tx) => {
      const evaluation = await beginEvaluation(parts, tx);
      const record = (await findStudy(tx, studyUid))!;
      for (const scope of scopes) await evaluateUnit(parts, tx, evaluation, at, record, scope);
      await tx.query(
        `update delivery_instance i set state = 'delivered' from delivery d where d.id = i.delivery and not d.held`,
      );
      await tx.query(`update delivery set state = 'delivered' where not held`);
    });
  await unit('instance', [{}]);
  const { rows } = await database.query<{ seriesUid: string }>(
    'select series_uid as "seriesUid" from series',
  );
  await unit('series-stable', rows);
  await unit('study-stable', [{}]);
}

/** Instances by destination and form. */
type Owed = ReadonlyMap<string, { waits: boolean; sops: readonly string[] }>;
async function owedNow(): Promise<Owed> {
  const { rows } = await database.query<{ key: string; waits: boolean; sops: string[] }>(
    `select d.destination || ' ' || d.form as key, d.waits, array_agg(i.sop_uid) as sops
     from delivery d join delivery_instance i on i.delivery = d.id group by d.id`,
  );
  return new Map(rows.map(({ key, ...rest }) => [key, rest]));
}

/** As a try-out tells it. */
function told(owed: Owed, without: Owed = new Map()): Going[] {
  return [...owed]
    .map(([key, { waits, sops }]) => {
      const known = without.get(key)?.sops ?? [];
      return { key, waits, instances: sops.filter((sop) => !known.includes(sop)).length };
    })
    .filter(({ instances }) => instances > 0)
    .map(({ key, waits, instances }) => {
      const [destination = '', form = ''] = key.split(' ');
      return {
        destination,
        instances,
        ...(form !== '' && { changed: true as const }),
        ...(waits && { waits: true as const }),
      };
    })
    .sort(inOrder);
}
const inOrder = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

test('says of random studies, rules and drafts what routing then does', { timeout: 240_000 }, async () => {
  const next = random(20_261_122);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
  const names = ['pacs', 'spare', 'cloud', 'either'];
  const forms = [[{ set: { StationName: 'A' } }], [{ remove: ['StationName'] }]];
  const ruleOf = (): object => ({
    // Of what given studies have; the others are absent.
    when:
      next() < 0.2
        ? { [pick(['CallingAETitle', 'SourceAddress'])]: pick(['CT1', 'PACS', '10.9.8.7']) }
        : conditionOf(next, 2),
    at: pick(RULE_UNITS),
    send: names.filter(() => next() < 0.4).concat(pick(names)),
    hold: next() < 0.2,
    ...(next() < 0.3 && { transform: pick(forms) }),
  });
  const from = [
    { kind: 'dimse', callingAe: 'CT1' },
    { kind: 'dimse', callingAe: 'pacs' },
    { kind: 'dimse', callingAe: 'SPARE' },
    { kind: 'stow', address: '10.9.8.7' },
  ] as const;
  let differences = 0;
  for (let round = 0; round < 40; round++) {
    await database.query('truncate decision, delivery cascade');
    await database.query('truncate study, object cascade');
    await database.query('delete from rule');
    const { studyUid } = await givenStudy(database, { instances: 1 });
    for (let series = 2; series < 5; series++)
      await givenStudy(database, {
        studyUid,
        series,
        modality: pick(['CT', 'MR', 'SR']),
        instances: 1 + Math.floor(next() * 3),
        from: pick(from),
        more: { Rows: Math.floor(next() * 4), BodyPartExamined: pick(['HEAD', 'CHEST']) },
      });
    const rules = Array.from({ length: 1 + Math.floor(next() * 4) }, ruleOf);
    for (const [n, body] of rules.entries()) await rule(`r${n}`, body);
    const draft = ruleOf();
    const replaces = next() < 0.5 ? 'r0' : undefined;
    const [today, tried] = [await study(studyUid, {}), await study(studyUid, { rule: draft, replaces })];

    await routeAll(studyUid);
    const now = await owedNow();
    await database.query('truncate decision, delivery cascade');
    await rule(replaces ?? 'draft', draft);
    await routeAll(studyUid);
    const then = await owedNow();
    const which = JSON.stringify({ rules, draft, replaces });
    const plain = (going: readonly Going[]) => going.map(({ waits: _, ...rest }) => rest).sort(inOrder);
    expect([...today.goes].sort(inOrder), which).toEqual(told(now));
    expect([...tried.goes].sort(inOrder), which).toEqual(told(then));
    expect(plain(tried.more), which).toEqual(plain(told(then, now)));
    expect(plain(tried.less), which).toEqual(plain(told(now, then)));
    if (tried.more.length + tried.less.length > 0) differences++;
    const { rows } = await database.query<{ rule: string; matched: boolean }>(
      'select rule, bool_or(matched) as matched from decision group by rule order by rule',
    );
    const decided = new Map<string, boolean>();
    for (const { rule: name, draft: isDraft, matched } of tried.decisions)
      if (isDraft || name !== replaces) decided.set(name, matched || (decided.get(name) ?? false));
    expect(Object.fromEntries(decided), which).toEqual(
      Object.fromEntries(rows.map((row) => [row.rule, row.matched])),
    );
  }
  expect(differences, 'drafts mostly change something').toBeGreaterThan(20);
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

  test("asks the clock as it stood: of 'instance' when each came, of a study when it was stable", async () => {
    const { studyUid } = await givenStableStudy(database);
    await database.query(`update object set received_at = '2024-02-07T10:00Z'`);
    await database.query(`update study set stable_at = '2024-02-07T23:00Z'`);
    const asked = async (at: RuleUnit, from: string, to: string) => {
      const draft = { when: { Clock: { from, to, zone: 'UTC' } }, at, send: ['pacs'] };
      return (await study(studyUid, { rule: draft })).more.length > 0;
    };
    expect(await asked('instance', '09:30', '10:30')).toBe(true);
    expect(await asked('instance', '22:30', '23:30')).toBe(false);
    expect(await asked('study-stable', '09:30', '10:30')).toBe(false);
    expect(await asked('study-stable', '22:30', '23:30')).toBe(true);
  });

  test('tells of rules that are switched off, unless it takes their place', async () => {
    const { studyUid } = await givenStableStudy(database);
    await rule('off', { send: ['pacs'], enabled: false });
    const draft = { send: ['cloud'] };
    const names = (tried: TriedStudy) =>
      tried.decisions.map(({ rule: name, reason }) => `${name}: ${reason}`);
    expect(names(await study(studyUid, { rule: draft }))).toEqual([
      'draft: the rule has no condition',
      'off: the rule is switched off',
    ]);
    expect(names(await study(studyUid, { rule: draft, replaces: 'off' }))).toEqual([
      'off: the rule has no condition',
    ]);
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
    tryOut = createTryOut({ database, table, reader: noBytes, log, budgetMs: 0 });
    for (let n = 0; n < 3; n++) await givenStableStudy(database);
    const first = await days({ rule: { send: ['pacs'] } });
    expect(first).toMatchObject({ looked: 1, of: 3, next: expect.any(String) });
    const second = await days({ rule: { send: ['pacs'] }, cursor: first.next });
    expect(second).toMatchObject({ looked: 2, of: 3 });
    expect(second.studies[0]!.study).not.toBe(first.studies[0]!.study);
  });

  test('are looked at no further when who asked has left', async () => {
    for (let n = 0; n < 3; n++) await givenStableStudy(database);
    const ask = tryOut.parse({ days: 7, rule: { send: ['pacs'] } });
    expect(await tryOut.days(ask, 7, AbortSignal.abort())).toMatchObject({ looked: 1, of: 3 });
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
