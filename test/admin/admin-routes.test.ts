import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { disclosureSchema } from '../../src/admin/reconcile-lists.ts';
import { createAdminRoutes } from '../../src/admin/routes.ts';
import { timelineSchema } from '../../src/admin/timeline-schema.ts';
import type { Database } from '../../src/archive/database/database.ts';
import { recordDisclosure } from '../../src/archive/disclosure.ts';
import { writeRefusals } from '../../src/archive/refusal.ts';
import { declareStable } from '../../src/archive/stable-study.ts';
import { claimDue, markDue, settle } from '../../src/fhir/link-ledger.ts';
import { createLog } from '../../src/log.ts';
import { createRoutingTable } from '../../src/routing/routing-table.ts';
import { createTryOut } from '../../src/routing/try-rule.ts';
import { bareArchive } from '../archive/bare-archive.ts';
import { type OpenDoor, openDoor } from '../fhir/door.ts';
import { givenStudy } from '../fhir/study-of.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let given: TestDatabase;
let database: Database;
let door: OpenDoor;

beforeEach(async () => {
  given = await testDatabase();
  database = given.database;
  const archive = bareArchive(database);
  const log = createLog('silent', 'test');
  const tryOut = createTryOut({ ...archive, table: createRoutingTable({ database, log }), log });
  door = await openDoor(createAdminRoutes({ archive, tryOut, version: '0.1.0', routers: [] }));
});
afterEach(async () => {
  await door.close();
  await given.drop();
});

/** Whatever is asked here for a timeline or for disclosures is answered as it is described. */
const ask = async (path: string, method = 'GET') => {
  const { body } = await door.ask(path, { method });
  if (body.error) return body;
  if (path.includes('/timeline')) expect(timelineSchema.safeParse(body).error).toBeUndefined();
  if (path.startsWith('/api/disclosures'))
    expect(z.array(disclosureSchema).safeParse(body).error).toBeUndefined();
  return body;
};

/** A study that went all the way; a second after each other by Postgres' clock, so that the order is its own. */
async function walkedStudy(): Promise<string> {
  const study = await givenStudy(database, { patientId: 'SECRET-ID', series: [3, 2] });
  await database.query(`update reception set closed_at = now(), outcome = 'released'`);
  await declareStable(database, 0);
  await database.query(
    `insert into decision (study_uid, study_version, rule, rule_version, rule_at, matched, reason)
     values ($1, 1, 'ct-to-pacs', 2, 'study-stable', true, 'an instance has (0008,0060) Modality CT')`,
    [study],
  );
  await database.query(
    `with made as (
       insert into delivery (study_uid, destination, rules, state, attempts, claimed_at, delivered_at)
       values ($1, 'pacs', '{ct-to-pacs}', 'delivered', 2, now(), now()) returning id)
     insert into delivery_instance (delivery, sop_uid, content_hash, object, state, status, at)
     select made.id, o.sop_uid, o.content_hash, o.id, 'delivered', 0, now() from object o, made`,
    [study],
  );
  await database.query(
    `insert into delivery (study_uid, destination, state, attempts, last_error, claimed_at)
     values ($1, 'cloud', 'owed', 1, 'cloud does not answer', now())`,
    [study],
  );
  await markDue(database, [study]);
  const [claim] = await claimDue(database, 'w', 1, 60_000);
  await settle(database, claim!, 'http://ehr/fhir', {
    state: 'linked',
    studyVersion: 1,
    resourceId: 'r-1',
    versionId: '1',
    contentHash: Buffer.from('h'),
  });
  const disclosure = { channel: 'wado', recipient: 'ada', studyUid: study, instances: 1 } as const;
  for (let i = 0; i < 3; i++) await recordDisclosure(database, disclosure);
  return study;
}

describe('the timeline', () => {
  test('has every step from the association to the EHR link, in order, without patient data', async () => {
    const study = await walkedStudy();
    const timeline = await ask(`/api/studies/${study}/timeline`);
    const text = JSON.stringify(timeline);
    expect(text).not.toContain('SECRET-ID');
    expect(text).not.toContain('Thorax');
    expect(timeline.study).toBe(study);
    expect(timeline.next).toBeUndefined();
    const times = timeline.steps.map((step: { at: string }) => Date.parse(step.at));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    const steps = new Map<string, Record<string, unknown>>(
      timeline.steps.map((step: { step: string; destination?: string }) => [
        [step.step, step.destination].filter(Boolean).join(' '),
        step,
      ]),
    );
    expect([...steps.keys()].sort()).toEqual([
      'delivery-delivered pacs',
      'delivery-failed cloud',
      'delivery-owed cloud',
      'delivery-owed pacs',
      'delivery-tried cloud',
      'delivery-tried pacs',
      'disclosed',
      'ehr-link-owed',
      'ehr-linked',
      'instances-delivered pacs',
      'instances-stored',
      'reception-closed',
      'reception-opened',
      'rule-decided',
      'study-stable',
    ]);
    expect(steps.get('reception-opened')).toMatchObject({ kind: 'dimse', callingAe: 'CT1' });
    expect(steps.get('instances-stored')).toMatchObject({ instances: 5, series: 2 });
    expect(steps.get('reception-closed')).toMatchObject({ outcome: 'released', objects: 5, refused: 0 });
    expect(steps.get('rule-decided')).toMatchObject({
      rule: 'ct-to-pacs',
      matched: true,
      lookedAt: expect.any(Number),
    });
    expect(steps.get('instances-delivered pacs')).toMatchObject({ instances: 5, status: 0 });
    expect(steps.get('delivery-delivered pacs')).toMatchObject({ attempts: 2 });
    expect(steps.get('delivery-failed cloud')).toMatchObject({ reason: 'cloud does not answer' });
    expect(steps.get('ehr-linked')).toMatchObject({ resource: 'ImagingStudy/r-1', attempts: 1 });
    expect(steps.get('disclosed')).toMatchObject({ channel: 'wado', recipient: 'ada', times: 3 });
  });

  test('is given by pages that join without a gap', async () => {
    const study = await walkedStudy();
    const whole = await ask(`/api/studies/${study}/timeline`);
    const steps = [];
    for (let offset: number | undefined = 0; offset !== undefined; ) {
      const page: { steps: object[]; next?: number } = await ask(
        `/api/studies/${study}/timeline?limit=4&offset=${offset}`,
      );
      expect(page.steps.length).toBeLessThanOrEqual(4);
      steps.push(...page.steps);
      offset = page.next;
    }
    expect(steps).toEqual(whole.steps);
  });

  test('of a study with a conflict says who settled it', async () => {
    const study = await givenStudy(database);
    await givenStudy(database, { studyUid: study, patientId: 'OTHER', series: [4] });
    const [conflict] = await ask(`/api/conflicts?study=${study}`);
    expect(conflict).toMatchObject({ kind: 'patient', study, sourceAe: 'CT1', settledAt: null });
    expect(conflict.held).not.toBeNull();
    for (const open of await ask('/api/conflicts')) await ask(`/api/conflicts/${open.id}/release`, 'POST');
    const { steps } = await ask(`/api/studies/${study}/timeline`);
    expect(steps.map((step: { step: string }) => step.step)).toContain('study-released');
    expect(steps.find((step: { step: string }) => step.step === 'conflict-settled')).toMatchObject({
      by: 'anonymous',
    });
  });

  test.each([
    ['/api/studies/1.2.3/timeline', 'not-found'],
    ['/api/studies/nothing/timeline', 'invalid'],
    ['/api/studies/1.2.3/timeline?limit=1001', 'invalid'],
    ['/api/studies/1.2.3/timeline?offset=x', 'invalid'],
  ])('%s is refused', async (path, error) => {
    expect(await ask(path)).toMatchObject({ error });
  });
});

describe('the lists', () => {
  test('conflicts: open ones, settled ones, all; a release says whether the study goes on', async () => {
    const study = await givenStudy(database);
    await givenStudy(database, { studyUid: study, patientId: 'OTHER', series: [4] });
    const open: { id: number }[] = await ask('/api/conflicts');
    expect(open.length).toBeGreaterThan(0);
    const answers = [];
    for (const { id } of open) answers.push(await ask(`/api/conflicts/${id}/release`, 'POST'));
    expect(answers.at(-1)).toMatchObject({
      id: open.at(-1)!.id,
      settlement: 'released',
      settledBy: 'anonymous',
      studyReleased: true,
    });
    expect(await ask('/api/conflicts')).toEqual([]);
    expect(await ask('/api/conflicts?settled=true')).toHaveLength(open.length);
    expect(await ask('/api/conflicts?settled=all&study=1.2')).toEqual([]);
    expect(await ask(`/api/conflicts/${open[0]!.id}/release`, 'POST')).toEqual(answers[0]);
    expect(await ask('/api/conflicts/999999/release', 'POST')).toMatchObject({ error: 'not-found' });
  });

  test('refusals, quarantine and disclosures come by pages, newest first', async () => {
    for (let i = 0; i < 5; i++) {
      const at = new Date(Date.UTC(2026, 0, 1, i)).toISOString();
      await writeRefusals(database, [
        {
          refusal: {
            what: 'object',
            code: 'mismatch',
            callingAe: `CT${i}`,
            address: '10.0.0.5',
            sopUid: `1.${i}`,
            sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
            status: 0xa900,
            reason: 'no',
          },
          times: 3,
          firstAt: at,
          lastAt: at,
        },
      ]);
      await recordDisclosure(database, {
        channel: 'qido',
        recipient: i % 2 ? 'bob' : 'ada',
        studyUid: `1.${i}`,
      });
      await database.query(`insert into quarantine (path, sop_uid, reason) values ($1, '1.2', 'damaged')`, [
        randomUUID(),
      ]);
    }
    for (const list of ['refusals', 'quarantine', 'disclosures']) {
      const all: { id: number }[] = await ask(`/api/${list}`);
      expect(all.map(({ id }) => id)).toEqual([5, 4, 3, 2, 1]);
      const first: { id: number }[] = await ask(`/api/${list}?limit=2`);
      const second: { id: number }[] = await ask(`/api/${list}?limit=2&before=${first.at(-1)!.id}`);
      expect([...first, ...second]).toEqual(all.slice(0, 4));
    }
    expect((await ask('/api/refusals?limit=1'))[0]).toMatchObject({
      what: 'object',
      code: 'mismatch',
      times: 3,
      callingAe: 'CT4',
      sop: '1.4',
      sopClassName: 'CT Image Storage',
      status: '0xA900',
      reason: 'no',
      lastAt: '2026-01-01T04:00:00.000Z',
    });
    for (const [filter, found] of [
      ['ae=CT2', 1],
      ['ae=CT9', 0],
      ['what=object', 5],
      ['what=part', 0],
      ['code=mismatch&address=10.0.0.5', 5],
      ['code=no-space', 0],
      ['since=2026-01-01T03:00:00Z', 2],
      ['since=2026-01-01T04:00:00%2B01:00', 2],
    ] as const)
      expect(await ask(`/api/refusals?${filter}`), filter).toHaveLength(found);
    expect(await ask('/api/disclosures?study=1.3')).toMatchObject([
      { study: '1.3', recipient: 'bob', channel: 'qido' },
    ]);
    expect(await ask('/api/disclosures?recipient=ada')).toHaveLength(3);
  });

  test.each([
    '/api/refusals?limit=0',
    '/api/refusals?limit=1001',
    '/api/refusals?what=everything',
    '/api/refusals?since=yesterday',
    '/api/quarantine?before=-1',
    '/api/disclosures?study=1&study=2',
    '/api/conflicts?settled=maybe',
    '/api/conflicts?limit=ten',
    '/api/disclosures?studdy=1.2',
  ])('%s is refused', async (path) => {
    expect(await ask(path)).toMatchObject({ error: 'invalid' });
  });

  test.each(['0', 'x', '99999999999999999999'])('the conflict %s cannot be released', async (id) => {
    expect((await ask(`/api/conflicts/${id}/release`, 'POST')).error).toMatch(/invalid|not-found/);
  });
});

test('the overview counts what is held and what is owed', async () => {
  expect(await ask('/api/overview')).toMatchObject({
    holds: { studies: 0, series: 0, instances: 0 },
    lastReceptions: [],
  });
  await walkedStudy();
  await givenStudy(database, { series: [1] });
  await database.query(`insert into follower (name) values ('routing')`);
  const { holds, backlog, attention, lastReceptions } = await ask('/api/overview');
  expect(holds).toEqual({ studies: 2, series: 3, instances: 6 });
  expect(backlog).toEqual({
    unstableStudies: 1,
    objectsInJournal: 0,
    openReceptions: 1,
    deliveries: { delivered: 1, owed: 1 },
    links: { linked: 1 },
    followers: { routing: 7 },
  });
  expect(attention).toEqual({
    heldStudies: 0,
    waitingDeliveries: 0,
    openConflicts: 0,
    quarantined: 0,
    refusedLastDay: 0,
  });
  expect(lastReceptions).toHaveLength(2);
  expect(lastReceptions[0]).toMatchObject({ callingAe: 'CT1', stored: 1, closedAt: null });
});
