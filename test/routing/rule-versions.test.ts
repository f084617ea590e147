import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { createRoutingTable, type RoutingTable } from '../../src/routing/routing-table.ts';
import { parseRule } from '../../src/routing/rule.ts';
import { ruleChanges } from '../../src/routing/rule-changes.ts';
import { RULE_EXAMPLES } from '../../src/routing/rule-examples.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
let table: RoutingTable;

beforeAll(async () => {
  db = await testDatabase();
  table = createRoutingTable({ database: db.database, log: createLog('silent', 'test') });
  for (const name of ['pacs', 'cloud'])
    await table.putDestination(name, { kind: 'dimse', host: 'h', port: 104, aeTitle: 'P' }, 'me');
});
afterAll(() => db.drop());

test('a rule goes back to what it was as a new version, also after it was deleted', async () => {
  await table.putRule('r', { when: { Modality: 'CT' }, send: ['pacs'] }, 'ann');
  await table.putRule('r', { when: { Modality: 'MR' }, send: ['cloud'] }, 'ben');
  expect(await table.restoreRule('r', 1, 'cem')).toEqual({ version: 3, changed: true });
  expect(await table.rule('r')).toMatchObject({ version: 3, body: { send: ['pacs'] }, changedBy: 'cem' });
  expect(await table.restoreRule('r', 3, 'cem'), 'it is that already').toEqual({
    version: 3,
    changed: false,
  });
  await table.deleteRule('r', 'dan');
  expect(await table.restoreRule('r', 2, 'eve')).toEqual({ version: 5, changed: true });
  expect((await table.versions('r')).map(({ version, changedBy }) => [version, changedBy])).toEqual([
    [5, 'eve'],
    [4, 'dan'],
    [3, 'cem'],
    [2, 'ben'],
    [1, 'ann'],
  ]);
  await expect(table.restoreRule('r', 9, 'me')).rejects.toMatchObject({
    kind: 'not-found',
    message: 'The rule r never had a version 9',
  });
  await expect(table.restoreRule('r', 4, 'me')).rejects.toMatchObject({ kind: 'invalid' });
  await table.putRule('r', { when: {}, send: ['pacs'] }, 'me');
  await table.deleteDestination('cloud', 'me', true);
  await expect(table.restoreRule('r', 2, 'me')).rejects.toMatchObject({
    message: expect.stringContaining('cloud is no destination'),
  });
});

test('what a version changed stands in lines', () => {
  const body = (json: object) => parseRule(json).body;
  const before = body({ when: { Modality: 'CT', any: [{ Rows: 1 }] }, send: ['a', 'b'] });
  const after = body({
    when: { Modality: ['CT', 'MR'], any: [{ Rows: 2 }, {}] },
    send: ['b', 'c'],
    priority: 5,
  });
  expect(ruleChanges(before, after)).toEqual([
    'when.any[0].Rows: 1 became 2',
    'when.any[1] is new: {}',
    'when.Modality: "CT" became ["CT","MR"]',
    'send: "c" added',
    'send: "a" taken away',
    'priority: 0 became 5',
  ]);
  expect(ruleChanges(before, before)).toEqual([]);
  expect(ruleChanges(undefined, after)).toEqual(['the rule was made']);
  expect(ruleChanges(before, null)).toEqual(['the rule was deleted']);
  expect(ruleChanges(null, after)).toEqual(['the rule was made again']);
});

test('every example is a rule, and every kind of condition has one', () => {
  const texts = Object.values(RULE_EXAMPLES).map(({ value }) => JSON.stringify(parseRule(value).body.when));
  const all = texts.join(' ');
  for (const word of [
    '"all":[',
    '"all":{',
    '"any":',
    '"not":',
    '"present":',
    '"absent":',
    '"pattern":',
    '"from":',
    '*',
  ])
    expect(all).toContain(word);
  for (const word of [
    'CallingAETitle',
    'CalledAETitle',
    'SourceAddress',
    'StowUser',
    'StudyAge',
    'Clock',
    'Sequence.',
  ])
    expect(all).toContain(word);
});
