/** How fast, when, and in which transfer syntaxes a destination is sent to. Moments come from Postgres, not from luck. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EXPLICIT_LE, IMPLICIT_LE, JPEG_2000_LOSSLESS } from '../../src/dicom/transfer-syntax.ts';
import { planAssociations, waysOut } from '../../src/forwarding/ways-out.ts';
import { takePace } from '../../src/routing/send-pace.ts';
import { CT_IMAGE, givenStableStudy, MR_IMAGE } from '../routing/given-study.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { type Script, type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

const MPEG_2 = '1.2.840.10008.1.2.4.100';

let door: DoorOverHttp;
let pacs: ScriptedPacs;
let script: Script;

beforeEach(async () => {
  script = {};
  door = await openDoorOverHttp();
  pacs = await startScriptedPacs({
    answer: (request, nth) => script.answer?.(request, nth) ?? 0,
    negotiate: (context) => script.negotiate?.(context) ?? context.transferSyntaxes[0]!,
  });
});
afterEach(async () => {
  await door.close();
  await pacs.stop();
});

const dimse = (more: object = {}) => ({
  ...{ kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' },
  ...more,
});
const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });

describe('a send rate', () => {
  test('is one for all associations: stretches of time follow each other', async () => {
    await door.destination('pacs', dimse());
    const take = (costMs: number) => takePace(door.database, 'pacs', 'instances', costMs);
    expect(await take(60_000), 'the first at once').toBe(0);
    const waits = await Promise.all([take(10_000), take(10_000), take(10_000)]);
    const sorted = waits.map((ms) => Math.round(ms / 1000)).sort((a, b) => a - b);
    // A second's worth is saved up.
    expect(sorted).toEqual([59, 69, 79]);
    await door.destination('pacs', dimse({ maxAssociations: 2 }));
    expect(await take(10), 'new settings begin anew').toBe(0);
  });

  test('in instances a minute: the association is not left idle, and everything arrives', async () => {
    await door.destination('pacs', dimse({ rate: { instancesPerMinute: 300 }, maxAssociations: 4 }));
    await door.rule('all', { send: ['pacs'] });
    const began = performance.now();
    for (let n = 0; n < 4; n++) await given({ instances: 4 });
    await door.settled('delivered');
    // 16 at 200 ms, less what may be saved up: never faster than that; how much slower is nobody's promise.
    expect(performance.now() - began).toBeGreaterThan((16 - 1) * 200 - 1000 - 4 * 250);
    expect(pacs.asked).toHaveLength(16);
  });

  test('in bytes a second holds also within an object', async () => {
    await door.destination('pacs', dimse({ rate: { bytesPerSecond: 500_000 } }));
    await door.rule('all', { send: ['pacs'] });
    const began = performance.now();
    const { sopUids, dataSets } = await given({ instances: 1, pixelBytes: 1_500_000 });
    await door.settled('delivered');
    expect(performance.now() - began).toBeGreaterThan(3000 - 1000 - 500);
    expect(pacs.kept.get(sopUids[0]!)!.equals(dataSets.get(sopUids[0]!)!)).toBe(true);
  });

  test('that names nothing is refused', async () => {
    const { json } = await door.call('PUT', '/destinations/bad', dimse({ rate: {} }));
    expect(json.message).toMatch(/name instancesPerMinute, bytesPerSecond or both/);
  });
});

test('what is urgent does not wait for the end of a long delivery', async () => {
  await door.destination('pacs', dimse({ rate: { instancesPerMinute: 1500 } }));
  await door.rule('all', { when: { Modality: 'CT' }, send: ['pacs'] });
  await door.rule('stat', { when: { Modality: 'MR' }, send: ['pacs'], priority: 10 });
  const long = await given({ instances: 250 });
  await expect.poll(() => pacs.asked.length, { timeout: 20_000, interval: 10 }).toBeGreaterThan(0);
  const urgent = await given({ instances: 2, modality: 'MR' });
  expect(await door.settled('delivered')).toMatchObject([{ attempts: 1 }, { attempts: 2, lastError: null }]);
  const order = pacs.asked.map((one) => one.affectedSopInstanceUid);
  expect(order.indexOf(urgent.sopUids[1]!)).toBeLessThan(order.indexOf(long.sopUids[249]!));
  expect(order, 'and nothing is sent twice').toHaveLength(252);
});

describe('windows', () => {
  const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
  /** Of the weekday so many days from now. */
  const window = (days: number) => ({
    days: [DAYS[(new Date().getUTCDay() + days) % 7]],
    from: '00:00',
    to: '24:00',
    zone: 'UTC',
  });
  test('outside them nothing begins, and the API says until when', async () => {
    await door.destination('pacs', dimse({ windows: [window(2)] }));
    await door.destination('other', dimse());
    await door.rule('all', { send: ['pacs', 'other'] });
    await given({ instances: 2 });
    const due = new Date(new Date().setUTCHours(48, 0, 0, 0)).toISOString();
    await door.settled('owed', 'delivered');
    await expect
      .poll(async () => (await door.call('GET', '/deliveries?destination=pacs')).json, { timeout: 20_000 })
      .toMatchObject([{ state: 'owed', attempts: 0, nextAttempt: due, lastError: null }]);
    await expect
      .poll(async () => (await door.call('GET', '/deliveries?destination=other')).json, { timeout: 20_000 })
      .toMatchObject([{ state: 'delivered' }]);
    expect((await door.call('GET', '/destinations/pacs')).json).toMatchObject({
      window: { open: false, until: due },
      health: { state: 'up' },
    });
    expect(pacs.asked).toHaveLength(2);

    await door.destination('pacs', dimse({ windows: [window(2), window(0)] }));
    await door.settled('delivered');
    expect((await door.call('GET', '/destinations/pacs')).json).toMatchObject({ window: { open: true } });
  });

  test('when one ends under a delivery, it is given back, and nothing is sent twice', async () => {
    let claims = 0;
    const { ledger } = door.routing;
    const claim = ledger.claim.bind(ledger);
    Object.assign(ledger, {
      claim: async (delivery?: number) => {
        const claimed = await claim(delivery);
        return claimed && claims++ === 0 ? { ...claimed, closesInMs: 0 } : claimed;
      },
    });
    await door.destination('pacs', dimse());
    await door.rule('all', { send: ['pacs'] });
    await given({ instances: 8 });
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 8, attempts: 2, lastError: null }]);
    expect(pacs.asked).toHaveLength(8);
  });

  test.each([
    [[{ from: '20:00', to: '06:00', zone: 'Mars/Olympus' }], /windows\.0\.zone: expected an IANA time zone/],
    [[{ from: '20:00', to: '20:00', zone: 'UTC' }], /windows\.0: from and to are the same/],
    [[{ from: '20:00', to: '21:00' }], /windows\.0\.zone is missing/],
    [[], /windows/],
  ])('%j are refused in words', async (windows, expected) => {
    const { status, json } = await door.call('PUT', '/destinations/bad', dimse({ windows }));
    expect(status).toBe(400);
    expect(json.message).toMatch(expected);
  });
});

describe('proposed transfer syntaxes', () => {
  test('ways out: as stored first, then what can be converted', () => {
    expect(waysOut(EXPLICIT_LE)).toEqual([EXPLICIT_LE, IMPLICIT_LE]);
    expect(waysOut(IMPLICIT_LE)).toEqual([IMPLICIT_LE, EXPLICIT_LE]);
    expect(waysOut(IMPLICIT_LE, { allowed: [EXPLICIT_LE, IMPLICIT_LE] })).toEqual([IMPLICIT_LE, EXPLICIT_LE]);
    expect(waysOut(IMPLICIT_LE, { allowed: [EXPLICIT_LE] })).toEqual([EXPLICIT_LE]);
    expect(waysOut(JPEG_2000_LOSSLESS)).toEqual([JPEG_2000_LOSSLESS, EXPLICIT_LE, IMPLICIT_LE]);
    expect(waysOut(JPEG_2000_LOSSLESS, { allowed: [EXPLICIT_LE] })).toEqual([EXPLICIT_LE]);
    expect(waysOut(EXPLICIT_LE, { allowed: [JPEG_2000_LOSSLESS, IMPLICIT_LE] })).toEqual([
      JPEG_2000_LOSSLESS,
      IMPLICIT_LE,
    ]);
    expect(waysOut(MPEG_2, { allowed: [EXPLICIT_LE] })).toEqual([]);
  });

  test('all ways of one kind stand on one association, each pair once', () => {
    const kinds = Array.from({ length: 100 }, (_, n) => ({
      sopClassUid: `1.2.${n}`,
      transferSyntaxUid: IMPLICIT_LE,
    }));
    const plan = planAssociations([...kinds, { sopClassUid: '1.2.0', transferSyntaxUid: EXPLICIT_LE }]);
    expect(plan.map(({ contexts, kinds: of }) => [contexts.length, of.size])).toEqual([
      [128, 64],
      [74, 37],
    ]);
    const [first] = planAssociations(
      [
        { sopClassUid: CT_IMAGE, transferSyntaxUid: IMPLICIT_LE },
        { sopClassUid: CT_IMAGE, transferSyntaxUid: EXPLICIT_LE },
        { sopClassUid: MR_IMAGE, transferSyntaxUid: MPEG_2 },
      ],
      { allowed: [EXPLICIT_LE] },
    );
    expect(first).toEqual({
      contexts: [{ abstractSyntax: CT_IMAGE, transferSyntaxes: [EXPLICIT_LE] }],
      kinds: new Set([`${CT_IMAGE} ${IMPLICIT_LE}`, `${CT_IMAGE} ${EXPLICIT_LE}`]),
    });
  });

  test('what is stored otherwise is converted, and what cannot be is refused in words', async () => {
    const proposed: string[] = [];
    script = {
      negotiate: (context) => {
        proposed.push(...context.transferSyntaxes);
        return context.transferSyntaxes[0]!;
      },
    };
    await door.destination('pacs', dimse({ transferSyntaxes: [EXPLICIT_LE] }));
    await door.rule('all', { send: ['pacs'] });
    await given({ instances: 2, transferSyntax: IMPLICIT_LE });
    await given({ instances: 1, transferSyntax: MPEG_2 });
    const list = await door.settled('delivered', 'parked');
    expect(list.map(({ state }) => state).sort()).toEqual(['delivered', 'parked']);
    expect(list.find(({ state }) => state === 'parked')!.lastError).toMatch(
      /1 of 1 instances were refused: it is stored in MPEG2.*, which is not among the transferSyntaxes of pacs/,
    );
    expect(proposed).toEqual([EXPLICIT_LE]);
    expect(pacs.asked.map((one) => one.transferSyntaxUid)).toEqual([EXPLICIT_LE, EXPLICIT_LE]);
  });

  test('that nobody knows are refused', async () => {
    const { json } = await door.call('PUT', '/destinations/bad', dimse({ transferSyntaxes: ['1.2.3'] }));
    expect(json.message).toMatch(/transferSyntaxes\.0: expected the UID of a transfer syntax/);
  });
});
