/** What people order of the ledger over HTTP, against a PACS that does as it is told; and what a change must not cost. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DeliveryView } from '../../src/routing/delivery-list.ts';
import { cancelledAllSchema, resentSchema, retriedAllSchema } from '../../src/routing/delivery-schema.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { type Script, type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

let door: DoorOverHttp;
let pacs: ScriptedPacs;
let script: Script = {};

beforeAll(async () => {
  pacs = await startScriptedPacs({ answer: (request, nth) => script.answer?.(request, nth) ?? 0 });
});
afterAll(() => pacs.stop());
beforeEach(async () => {
  script = {};
  door = await openDoorOverHttp();
});
afterEach(() => door.close());

const dimse = (more: object = {}) => ({
  ...{ kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' },
  ...more,
});
const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });
const timesAsked = (sopUid: string): number =>
  pacs.asked.filter((one) => one.affectedSopInstanceUid === sopUid).length;

describe('a study is sent again', () => {
  test('to where it was, whole, whatever became of it before', async () => {
    await door.destination('pacs', dimse());
    await door.rule('all', { send: ['pacs'] });
    const { studyUid, sopUids } = await given({ instances: 3 });
    await door.settled('delivered');
    expect(sopUids.map(timesAsked)).toEqual([1, 1, 1]);
    expect(await door.call('POST', `/studies/${studyUid}/resend`)).toMatchObject({
      status: 200,
      json: { study: studyUid, resent: [{ destination: 'pacs', instances: 3, message: '3 owed to pacs' }] },
    });
    await door.settled('delivered');
    expect(sopUids.map(timesAsked)).toEqual([2, 2, 2]);
    expect(await door.deliveries()).toMatchObject([{ rule: 'all, (resent by anonymous)', attempts: 2 }]);
  });

  test('to a destination that no rule names', async () => {
    await door.destination('pacs', dimse());
    await door.destination('other', dimse());
    const { studyUid, sopUids } = await given({ instances: 2 });
    expect(await door.call('POST', `/studies/${studyUid}/resend`)).toMatchObject({
      status: 409,
      json: { message: expect.stringContaining('name some in "destinations"') },
    });
    const order = { destinations: ['other', 'other'] };
    const { json } = await door.call('POST', `/studies/${studyUid}/resend`, order);
    expect(resentSchema.safeParse(json).error).toBeUndefined();
    expect(json.resent).toHaveLength(1);
    expect(await door.settled('delivered')).toMatchObject([{ destination: 'other', total: 2 }]);
    expect(sopUids.map(timesAsked)).toEqual([1, 1]);
  });

  test('also what was cancelled, but never to who sent it', async () => {
    await door.destination('pacs', dimse({ port: await freePort() }));
    await door.destination('ct1', dimse({ aeTitle: 'CT1' }));
    await door.rule('all', { send: ['pacs'] });
    const { studyUid } = await given({ instances: 2 });
    const { id } = await door.failing();
    await door.call('POST', `/deliveries/${id}/cancel`);
    await door.destination('pacs', dimse());
    const order = { destinations: ['ct1', 'pacs'] };
    expect((await door.call('POST', `/studies/${studyUid}/resend`, order)).json.resent).toEqual([
      { destination: 'ct1', instances: 0, message: 'nothing for ct1, which sent it to us' },
      { destination: 'pacs', instances: 2, message: '2 owed to pacs' },
    ]);
    expect(await door.settled('delivered')).toHaveLength(1);
  });

  test('is refused in words', async () => {
    await door.destination('pacs', dimse());
    const { studyUid } = await given();
    const resend = (study: string, body?: unknown) => door.call('POST', `/studies/${study}/resend`, body);
    expect((await resend('hello')).status).toBe(400);
    expect((await resend('1.2.3')).status).toBe(404);
    expect(await resend(studyUid, { destinations: ['nowhere'] })).toMatchObject({
      status: 400,
      json: { message: expect.stringContaining('nowhere is no destination') },
    });
    expect((await resend(studyUid, { to: ['pacs'] })).json.message).toMatch(/to is not known here/);
    await door.database.query(`update study set held = 'a conflict'`);
    expect(await resend(studyUid, { destinations: ['pacs'] })).toMatchObject({
      status: 409,
      json: { message: expect.stringContaining('held until a person decides') },
    });
  });
});

test('all that is parked at a destination is retried by one order, and all is cancelled by another', async () => {
  let refusing = true;
  script = { answer: () => (refusing ? 0xc000 : 0) };
  await door.destination('pacs', dimse());
  await door.rule('all', { send: ['pacs'] });
  await given({ instances: 1 });
  await given({ instances: 2 });
  await door.settled('parked');
  refusing = false;
  const retried = await door.call('POST', '/destinations/pacs/retry');
  expect(retried).toMatchObject({ status: 200, json: { destination: 'pacs', retried: 2 } });
  expect(retriedAllSchema.safeParse(retried.json).error).toBeUndefined();
  await door.settled('delivered');
  await door.destination('pacs', dimse({ enabled: false }));
  await given({ instances: 1 });
  await door.settled('delivered', 'owed');
  const { json: cancelled } = await door.call('POST', '/destinations/pacs/cancel');
  expect(cancelled).toEqual({ destination: 'pacs', cancelled: 1 });
  expect(cancelledAllSchema.safeParse(cancelled).error).toBeUndefined();
  expect((await door.call('POST', '/destinations/nobody/retry')).status).toBe(404);
  expect((await door.call('POST', '/destinations/nobody/cancel')).status).toBe(404);
});

test('what came from an AE is not sent to it either when the destination became that AE after it was owed', async () => {
  await door.destination('pacs', dimse({ enabled: false }));
  await door.rule('all', { send: ['pacs'] });
  await given({ instances: 2, from: { kind: 'dimse', callingAe: 'OTHER' } });
  await door.settled('owed');
  await door.destination('pacs', dimse({ aeTitle: 'OTHER' }));
  expect(await door.settled('parked')).toMatchObject([
    { failed: 2, lastError: '2 of 2 instances were refused: it came from there, and is not sent back' },
  ]);
});

describe('what is owed outlives', () => {
  const states = async (): Promise<DeliveryView['state'][]> =>
    (await door.deliveries()).map(({ state }) => state);

  test('a rule that is changed or deleted', async () => {
    await door.destination('pacs', dimse({ enabled: false }));
    await door.destination('other', dimse());
    await door.rule('all', { send: ['pacs'] });
    const { sopUids } = await given({ instances: 2 });
    await door.settled('owed');
    await door.rule('all', { when: { Modality: 'MR' }, send: ['other'] });
    await door.call('DELETE', '/rules/all');
    expect(await states()).toEqual(['owed']);
    await door.destination('pacs', dimse());
    expect(await door.settled('delivered')).toMatchObject([
      { destination: 'pacs', delivered: 2, rule: 'all' },
    ]);
    expect(sopUids.map(timesAsked)).toEqual([1, 1]);
  });

  test('a destination that moves, also in the middle', async () => {
    const dead = await freePort();
    await door.destination('pacs', dimse({ port: dead }));
    await door.rule('all', { send: ['pacs'] });
    const { sopUids } = await given({ instances: 3 });
    await door.failing();
    // New settings are tried at once.
    await door.destination('pacs', dimse({ retry: { firstS: 3600 } }));
    expect(await door.settled('delivered')).toMatchObject([{ total: 3, delivered: 3 }]);
    expect(sopUids.map(timesAsked)).toEqual([1, 1, 1]);
  });

  test('a destination that is switched off amid a long delivery, which stops there', async () => {
    const before = pacs.asked.length;
    let off: Promise<void> | undefined;
    script = {
      answer: () => {
        off ??= door.destination('pacs', dimse({ enabled: false }));
        return 0;
      },
    };
    await door.destination('pacs', dimse());
    await door.rule('all', { send: ['pacs'] });
    await given({ instances: 200 });
    await expect.poll(() => off !== undefined, { timeout: 20_000 }).toBe(true);
    await off;
    await expect.poll(states, { timeout: 20_000 }).toEqual(['owed']);
    expect(pacs.asked.length - before).toBeLessThan(100);
    await door.destination('pacs', dimse());
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 200 }]);
    expect(pacs.asked.length - before, 'and nothing twice').toBe(200);
  });
});
