import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { STORAGE_COMMITMENT } from '../../src/dicom/sop-class.ts';
import { deliveryDetailSchema, deliverySchema, testedSchema } from '../../src/routing/delivery-schema.ts';
import { ruleVersionSchema, shownRuleSchema } from '../../src/routing/rule-answers.ts';
import { RULE_EXAMPLES } from '../../src/routing/rule-examples.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';
import { startStowReceiver } from './stow-receiver.ts';

let door: DoorOverHttp;
let pacs: ScriptedPacs;
let refusing = true;
let committing = true;

beforeAll(async () => {
  door = await openDoorOverHttp();
  pacs = await startScriptedPacs({
    answer: () => (refusing ? 0xc000 : 0),
    negotiate: ({ abstractSyntax, transferSyntaxes }) =>
      abstractSyntax === STORAGE_COMMITMENT && !committing ? 'refuse-abstract-syntax' : transferSyntaxes[0]!,
  });
});
afterAll(async () => {
  await door.close();
  await pacs.stop();
});

const call: DoorOverHttp['call'] = (...order) => door.call(...order);
const dimse = () => ({ kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' });

describe('destinations', () => {
  test('are put, shown, put again without a change, and removed', async () => {
    expect(await call('PUT', '/destinations/first', dimse())).toMatchObject({
      status: 201,
      json: { name: 'first', ...dimse(), maxAssociations: 1, enabled: true, health: { state: 'up' } },
    });
    const before = await call('GET', '/destinations/first');
    const again = await call('PUT', '/destinations/first', dimse());
    expect(again).toMatchObject({ status: 200, json: { changedAt: before.json.changedAt } });
    expect((await call('PUT', '/destinations/first', { ...dimse(), port: 4242 })).json).toMatchObject({
      port: 4242,
    });
    expect((await call('GET', '/destinations')).json).toMatchObject([{ name: 'first', port: 4242 }]);
    expect(await call('DELETE', '/destinations/first')).toMatchObject({
      status: 200,
      json: { cancelled: 0 },
    });
    expect((await call('GET', '/destinations/first')).status).toBe(404);
    expect((await call('DELETE', '/destinations/first')).status).toBe(404);
  });

  test('do not show credentials, and keep them when they come back hidden', async () => {
    const body = {
      kind: 'stow',
      url: 'http://127.0.0.1:1/dicom-web/',
      headers: { Authorization: 'Bearer s3cret' },
    };
    const put = await call('PUT', '/destinations/cloud', body);
    expect(JSON.stringify(put.json)).not.toContain('s3cret');
    const { name, changedAt, changedBy, health, ...shown } = put.json;
    expect([name, changedBy, (health as { faults: number }).faults]).toEqual(['cloud', 'anonymous', 0]);
    const again = await call('PUT', '/destinations/cloud', shown);
    expect(again).toMatchObject({ status: 200, json: { changedAt } });
    expect((await door.routing.table.destination('cloud'))?.settings).toMatchObject({
      url: 'http://127.0.0.1:1/dicom-web',
      headers: { Authorization: 'Bearer s3cret' },
    });
  });

  test.each([
    ['no kind', {}, /kind: expected one of dimse, stow, folder, group/],
    [
      'a bad port and AE title at once',
      { kind: 'dimse', host: 'h', port: 99_999, aeTitle: 'A'.repeat(17) },
      /2 faults.*port.*aeTitle/,
    ],
    [
      'an unknown field',
      { ...{ kind: 'dimse', host: 'h', port: 1, aeTitle: 'A' }, colour: 'red' },
      /colour is not known here/,
    ],
    ['a URL with a user', { kind: 'stow', url: 'http://u:p@h/' }, /without user, query/],
    ['a URL with a query', { kind: 'stow', url: 'http://h/?a=b' }, /without user, query/],
    [
      'the URL of its studies',
      { kind: 'stow', url: 'http://h/dicom-web/studies/' },
      /without .studies at its end/,
    ],
    ['a URL of another scheme', { kind: 'stow', url: 'ftp://h/' }, /http or https/],
    [
      "a header of the client's own",
      { kind: 'stow', url: 'http://h/', headers: { Host: 'x' } },
      /written by the client/,
    ],
    [
      'nothing to be kept',
      { kind: 'stow', url: 'http://h/', headers: { 'X-Key': '(kept)' } },
      /no value to be kept/,
    ],
    ['no JSON', '{"kind"', /not valid JSON/],
  ])('with %s are refused in words', async (_name, body, expected) => {
    const { status, json } = await call('PUT', '/destinations/bad', body);
    expect(status).toBe(400);
    expect(json.message).toMatch(expected);
  });

  test('with a name that does not fit a URL are refused', async () => {
    expect((await call('PUT', `/destinations/${encodeURIComponent('a b/c')}`, dimse())).status).toBe(400);
    expect((await call('PUT', '/destinations/..%2F..%2Fetc', dimse())).status).toBe(400);
  });

  test('are tested: C-ECHO and DICOMweb, with the fault in words', async () => {
    await call('PUT', '/destinations/echo', dimse());
    expect(await call('POST', '/destinations/echo/test')).toMatchObject({
      status: 200,
      json: { ok: true, message: expect.stringContaining('Success') },
    });
    await call('PUT', '/destinations/echo', { ...dimse(), commitment: {} });
    expect((await call('POST', '/destinations/echo/test')).json).toMatchObject({
      ok: true,
      message: 'C-ECHO was answered with Success; storage commitment is offered',
    });
    committing = false;
    expect((await call('POST', '/destinations/echo/test')).json).toMatchObject({
      ok: false,
      message: expect.stringMatching(
        /Success; PACS does not take Storage Commitment Push Model in .*: abstract syntax not supported/,
      ),
    });
    await call('PUT', '/destinations/echo', { ...dimse(), aeTitle: 'WRONG' });
    const wrong = await call('POST', '/destinations/echo/test');
    expect(wrong.json).toMatchObject({ ok: false });
    expect(wrong.json.message).toMatch(/WRONG at 127\.0\.0\.1/);
    const port = await freePort();
    await call('PUT', '/destinations/echo', { ...dimse(), port });
    expect((await call('POST', '/destinations/echo/test')).json).toMatchObject({
      ok: false,
      message: expect.stringContaining('cannot be reached'),
    });
    const web = await startStowReceiver((request) =>
      request.path.includes('/studies?') ? { status: 200, body: [] } : { status: 401 },
    );
    try {
      await call('PUT', '/destinations/echo', { kind: 'stow', url: web.url });
      expect((await call('POST', '/destinations/echo/test')).json).toMatchObject({ ok: true });
    } finally {
      await web.stop();
    }
    expect((await call('POST', '/destinations/echo/test')).json).toMatchObject({
      ok: false,
      message: expect.stringContaining('did not answer'),
    });
    expect((await call('POST', '/destinations/nobody/test')).status).toBe(404);
    await call('DELETE', '/destinations/echo');
  });
});

describe('rules', () => {
  test('are versioned: who changed what, and the same again is no version', async () => {
    await call('PUT', '/destinations/pacs', dimse());
    const body = { when: { Modality: 'CT' }, at: 'study-stable', send: ['pacs'] };
    expect(await call('PUT', '/rules/ct-to-pacs', body)).toMatchObject({
      status: 201,
      json: { version: 1, ...body },
    });
    expect(await call('PUT', '/rules/ct-to-pacs', body)).toMatchObject({ status: 200, json: { version: 1 } });
    expect(await call('PUT', '/rules/ct-to-pacs', { ...body, priority: 3 })).toMatchObject({
      status: 200,
      json: { version: 2 },
    });
    expect((await call('DELETE', '/rules/ct-to-pacs')).status).toBe(204);
    expect((await call('GET', '/rules/ct-to-pacs')).status).toBe(404);
    const { json: versions } = await call('GET', '/rules/ct-to-pacs/versions');
    expect(z.array(ruleVersionSchema).safeParse(versions).error).toBeUndefined();
    expect(versions).toMatchObject([
      { version: 3, body: null, changedBy: 'anonymous' },
      { version: 2, body: { priority: 3 } },
      { version: 1, body: { priority: 0 } },
    ]);
    expect((await call('PUT', '/rules/ct-to-pacs', body)).json).toMatchObject({ version: 4 });
    await call('DELETE', '/rules/ct-to-pacs');
  });

  test('are answered as they are described, whatever they say', async () => {
    await call('PUT', '/destinations/pacs', dimse());
    const bodies = [
      ...Object.values(RULE_EXAMPLES).map(({ value }) => ({ ...value, send: ['pacs'] })),
      { when: {}, send: ['pacs'], hold: true, transform: [{ set: { InstitutionName: 'A' } }] },
    ];
    const put = await Promise.all(bodies.map((body, index) => call('PUT', `/rules/said-${index}`, body)));
    const made = put.filter(({ status }) => status === 201).map(({ json }) => json);
    expect(made.length).toBeGreaterThan(3);
    const restored = await call('POST', '/rules/said-0/restore', { version: 1 });
    expect(z.array(shownRuleSchema).safeParse([...made, restored.json]).error).toBeUndefined();
    const { json: list } = await call('GET', '/rules');
    expect(z.array(shownRuleSchema).safeParse(list).error).toBeUndefined();
    const { json: one } = await call('GET', '/rules/said-0');
    for (const key of Object.keys(one)) {
      const { [key]: _, ...less } = one;
      expect(shownRuleSchema.safeParse(less).success, key).toBe(['hold', 'transform'].includes(key));
    }
    for (const wrong of [{ when: null }, { when: { Modality: null } }, { transform: [{ sett: {} }] }])
      expect(shownRuleSchema.safeParse({ ...one, ...wrong }).success).toBe(false);
    for (const index of bodies.keys()) await call('DELETE', `/rules/said-${index}`);
  });

  test('put by many at once are all kept, one version each', async () => {
    await call('PUT', '/destinations/pacs', dimse());
    const put = (priority: number) => call('PUT', '/rules/crowd', { when: {}, send: ['pacs'], priority });
    const answers = await Promise.all([1, 2, 3, 4, 5].map(put));
    expect(answers.every(({ status }) => status === 200 || status === 201)).toBe(true);
    expect((await call('GET', '/rules/crowd/versions')).json).toHaveLength(5);
    await call('DELETE', '/rules/crowd');
  });

  test('that name no destination, or an unknown keyword, are refused in words', async () => {
    expect(await call('PUT', '/rules/x', { when: {}, send: ['nowhere'] })).toMatchObject({
      status: 400,
      json: { error: 'invalid', message: expect.stringContaining('nowhere is no destination') },
    });
    expect(await call('PUT', '/rules/x', { when: { Modalty: 'CT' }, send: ['pacs'] })).toMatchObject({
      status: 400,
      json: { message: expect.stringContaining('Modalty is no attribute keyword') },
    });
    expect((await call('PUT', '/rules/schema', { when: {}, send: ['pacs'] })).status).toBe(400);
  });

  test('have a published schema', async () => {
    const response = await fetch(`${door.url}/api/rules/schema`);
    expect(response.headers.get('content-type')).toContain('application/schema+json');
    expect(await response.json()).toMatchObject({ type: 'object', required: ['send'] });
  });

  test('hold their destination', async () => {
    await call('PUT', '/destinations/held', dimse());
    await call('PUT', '/rules/holding', { when: {}, send: ['held'], enabled: false });
    expect(await call('DELETE', '/destinations/held?force')).toMatchObject({
      status: 409,
      json: { message: expect.stringContaining('Rules send to held: holding') },
    });
    await call('DELETE', '/rules/holding');
    expect((await call('DELETE', '/destinations/held')).status).toBe(200);
  });
});

describe('deliveries', () => {
  test('are listed with exactly the fields of the design and the rule, looked into, retried and cancelled', async () => {
    await call('PUT', '/destinations/pacs', dimse());
    await call('PUT', '/rules/ct', { when: { Modality: 'CT' }, send: ['pacs'] });
    const { studyUid, sopUids } = await givenStableStudy(door.database, { store: door.store, instances: 3 });
    await door.settled('parked');
    const { json: list } = await call('GET', `/deliveries?study=${studyUid}`);
    expect(list).toEqual([
      {
        id: expect.any(Number),
        study: studyUid,
        destination: 'pacs',
        via: null,
        rule: 'ct',
        state: 'parked',
        toLook: 0,
        total: 3,
        delivered: 0,
        committed: 0,
        failed: 3,
        attempts: 1,
        waits: false,
        waitsFor: null,
        nextAttempt: null,
        lastError: '3 of 3 instances were refused: 0xC000 Error: Cannot Understand',
      },
    ]);
    const { id } = (list as unknown as { id: number }[])[0]!;
    expect(z.array(deliverySchema).safeParse(list).error).toBeUndefined();
    const tested = await call('POST', '/destinations/pacs/test');
    expect(testedSchema.safeParse(tested.json).error).toBeUndefined();
    const { json: whole } = await call('GET', `/deliveries/${id}`);
    expect(deliveryDetailSchema.safeParse(whole).error).toBeUndefined();
    expect((await call('GET', `/deliveries/${id}?limit=1&offset=1`)).json).toMatchObject({
      id,
      instances: [
        { sop: sopUids[1], state: 'failed', status: 0xc000, comment: '0xC000 Error: Cannot Understand' },
      ],
    });

    expect(await call('DELETE', '/destinations/pacs')).toMatchObject({ status: 409 });
    await call('DELETE', '/rules/ct');
    expect((await call('DELETE', '/destinations/pacs')).json.message).toMatch(
      /pacs is still owed 1 delivery/,
    );

    refusing = false;
    expect(await call('POST', `/deliveries/${id}/retry`)).toMatchObject({
      status: 200,
      json: { failed: 0, attempts: 1 },
    });
    await door.settled('delivered');
    expect(
      deliveryDetailSchema.safeParse((await call('GET', `/deliveries/${id}`)).json).error,
    ).toBeUndefined();
    expect((await call('POST', `/deliveries/${id}/retry`)).json.message).toMatch(/nothing to try again/);
    expect((await call('POST', `/deliveries/${id}/cancel`)).json.message).toMatch(/delivered already/);
    refusing = true;
  });

  test('still owed to a destination that is deleted by force are cancelled, in words', async () => {
    await call('PUT', '/destinations/away', { ...dimse(), enabled: false });
    await call('PUT', '/rules/to-away', { when: {}, send: ['away'] });
    await givenStableStudy(door.database, { store: door.store });
    const ask = async () =>
      (await call('GET', '/deliveries?destination=away')).json as unknown as {
        id: number;
        state: string;
        lastError: string;
      }[];
    for (const until = Date.now() + 20_000; (await ask()).length === 0 && Date.now() < until; )
      await new Promise((resolve) => setTimeout(resolve, 50));
    await call('DELETE', '/rules/to-away');
    expect((await call('DELETE', '/destinations/away?force')).json).toMatchObject({
      cancelled: 1,
      message: expect.stringContaining('1 delivery to it was cancelled'),
    });
    const [cancelled] = await ask();
    expect(cancelled).toMatchObject({
      state: 'cancelled',
      lastError: 'cancelled when anonymous deleted the destination away',
    });
    expect((await call('POST', `/deliveries/${cancelled!.id}/retry`)).json.message).toMatch(
      /away is no destination any more/,
    );
  });

  test.each([
    ['/deliveries?study=hello', 400],
    ['/deliveries?state=lost', 400],
    ['/deliveries?limit=0', 400],
    ['/deliveries?limit=1001', 400],
    ['/deliveries?limit=many', 400],
    ['/deliveries?offset=-1', 400],
    ['/deliveries?patient=x', 400],
    ['/deliveries?study=1.2&study=1.3', 400],
    ['/deliveries/abc', 400],
    ['/deliveries/-1', 400],
    ['/deliveries/999999', 404],
  ])('GET %s is %i, in words', async (path, expected) => {
    const { status, json } = await call('GET', path);
    expect(status).toBe(expected);
    expect(String(json.message).length).toBeGreaterThan(10);
  });
});
