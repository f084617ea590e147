/** Groups with failover: which member a delivery goes through, and what makes it go through another. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';
import { type Script, type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

let door: DoorOverHttp;
let one: ScriptedPacs;
let two: ScriptedPacs;
let script: Script;

beforeEach(async () => {
  script = {};
  door = await openDoorOverHttp({ backoff: { firstMs: 60_000, capMs: 60_000, horizonMs: 1e9 } });
  one = await startScriptedPacs({
    aeTitle: 'ONE',
    answer: (request, nth) => script.answer?.(request, nth) ?? 0,
    reject: () => script.reject?.(),
  });
  two = await startScriptedPacs({ aeTitle: 'TWO' });
});
afterEach(async () => {
  await door.close();
  await one.stop();
  await two.stop();
});

const to = (pacs: ScriptedPacs, aeTitle: string, more: object = {}) => ({
  ...{ kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle },
  ...more,
});
async function group(first: object = {}, second: object = {}): Promise<void> {
  await door.destination('one', to(one, 'ONE', first));
  await door.destination('two', to(two, 'TWO', second));
  await door.destination('pair', { kind: 'group', members: ['one', 'two'] });
  await door.rule('all', { send: ['pair'] });
}
const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });
const shown = async (name: string) => (await door.call('GET', `/destinations/${name}`)).json;
const vias = async () =>
  (
    await door.database.query<{ via: string; state: string }>(
      'select via, state from delivery_instance order by id',
    )
  ).rows;

describe('a delivery to a group', () => {
  test('goes through the first member, and the ledger says so for each instance', async () => {
    await group();
    const { studyUid } = await given({ instances: 3 });
    expect(await door.settled('delivered')).toMatchObject([
      { destination: 'pair', via: 'one', delivered: 3 },
    ]);
    expect([one.asked.length, two.asked.length]).toEqual([3, 0]);
    const [{ id } = { id: 0 }] = await door.deliveries();
    expect((await door.call('GET', `/deliveries/${id}`)).json.instances).toMatchObject(
      Array(3).fill({ via: 'one', state: 'delivered' }),
    );
    expect(await shown('pair')).toMatchObject({
      members: ['one', 'two'],
      health: { state: 'up', current: 'one' },
    });
    expect(studyUid).toBeTruthy();
  });

  test('falls over at once when the first cannot be reached, and returns when it is up again', async () => {
    const port = await freePort();
    await group({ port });
    await given({ instances: 2 });
    expect(await door.settled('delivered')).toMatchObject([{ via: 'two', attempts: 2, delivered: 2 }]);
    expect(await shown('one')).toMatchObject({ health: { state: 'down', breaker: 'open', faults: 1 } });
    expect(await shown('two')).toMatchObject({ health: { state: 'up', breaker: 'closed' } });
    expect(await shown('pair')).toMatchObject({ health: { state: 'up', current: 'two' } });
    await given({ instances: 1 });
    expect(
      (await door.settled('delivered'))[0],
      'the first is left alone while its breaker is open',
    ).toMatchObject({
      via: 'two',
      attempts: 1,
    });

    const back = await startScriptedPacs({ aeTitle: 'ONE', port });
    try {
      await door.database.query(`update destination set down_until = now() where name = 'one'`);
      expect(await shown('one')).toMatchObject({ health: { breaker: 'half-open' } });
      await given({ instances: 1 });
      expect((await door.settled('delivered'))[0]).toMatchObject({ via: 'one', attempts: 1 });
      expect(await shown('one')).toMatchObject({ health: { breaker: 'closed', faults: 0 } });
      expect(back.asked).toHaveLength(1);
    } finally {
      await back.stop();
    }
  });

  test('falls over when the first refuses the association, has no room, or hangs up amid the instances', async () => {
    await group();
    const ways: Script[] = [{ reject: () => 1 }, { answer: () => 0xa700 }, { answer: () => 'close' }];
    for (const way of ways) {
      script = way;
      await door.database.query(`update destination set faults = 0, down_until = null where name = 'one'`);
      const before = two.asked.length;
      await given({ instances: 4, pixelBytes: 300_000 });
      expect((await door.settled('delivered'))[0]).toMatchObject({ via: 'two', delivered: 4, failed: 0 });
      expect(two.asked.length - before).toBe(4);
    }
  });

  test('that the first took half of sends the other half through the second, and nothing twice', async () => {
    await group();
    let taken = 0;
    script = { answer: () => (++taken > 3 ? 'close' : 0), reject: () => (taken > 3 ? 2 : undefined) };
    await given({ instances: 6, pixelBytes: 300_000 });
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 6 }]);
    expect((await vias()).map(({ via }) => via)).toEqual(['one', 'one', 'one', 'two', 'two', 'two']);
    const { rows } = await door.database.query<{ study: string }>('select study_uid as study from delivery');
    expect(rows).toHaveLength(1);
  });

  test('does not fall over because an object is refused: that is parked, as everywhere', async () => {
    await group();
    script = { answer: () => 0xc000 };
    await given({ instances: 2 });
    expect(await door.settled('parked')).toMatchObject([{ via: 'one', failed: 2 }]);
    expect(await vias()).toEqual(Array(2).fill({ via: 'one', state: 'failed' }));
    expect(two.asked).toHaveLength(0);
  });

  test('waits while no member is up, and for the first of them', async () => {
    await group({ port: await freePort() }, { port: await freePort() });
    await given({ instances: 1 });
    await expect
      .poll(async () => (await shown('pair')).health, { timeout: 20_000 })
      .toEqual({
        state: 'down',
        current: null,
      });
    const [waiting] = await door.settled('owed');
    expect(waiting).toMatchObject({ lastError: expect.stringContaining('TWO at'), attempts: 2 });
    const { rows } = await door.database.query<{ until: Date }>(
      'select min(down_until) as until from destination',
    );
    expect(waiting!.nextAttempt!.getTime()).toBe(rows[0]!.until.getTime());
    await door.destination('two', to(two, 'TWO'));
    expect(await door.settled('delivered')).toMatchObject([{ via: 'two' }]);
  });

  test('is tried at once when a person says so, however long its members rest', async () => {
    const port = await freePort();
    await group({ port: await freePort() }, { port });
    await given({ instances: 1 });
    await expect
      .poll(async () => (await shown('pair')).health, { timeout: 20_000 })
      .toMatchObject({
        current: null,
      });
    const back = await startScriptedPacs({ aeTitle: 'TWO', port });
    try {
      expect((await door.call('POST', '/destinations/pair/retry')).json).toMatchObject({
        destination: 'pair',
      });
      expect(await door.settled('delivered')).toMatchObject([{ via: 'two' }]);
    } finally {
      await back.stop();
    }
  });

  test('passes a member that is switched off, or outside its windows', async () => {
    const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
    const closed = {
      days: [days[(new Date().getUTCDay() + 3) % 7]],
      from: '00:00',
      to: '24:00',
      zone: 'UTC',
    };
    await group({ windows: [closed] });
    await given({ instances: 1 });
    expect((await door.settled('delivered'))[0]).toMatchObject({ via: 'two' });
    expect(await shown('pair')).toMatchObject({ health: { current: 'two' } });
    await door.destination('one', to(one, 'ONE', { enabled: false }));
    await given({ instances: 1 });
    expect((await door.settled('delivered'))[0]).toMatchObject({ via: 'two' });
    await door.destination('one', to(one, 'ONE'));
    await given({ instances: 1 });
    expect((await door.settled('delivered'))[0]).toMatchObject({ via: 'one' });
  });

  test('shares the associations of a member with what is owed to that itself', async () => {
    await group({ maxAssociations: 2 });
    await door.rule('direct', { send: ['one'] });
    for (let n = 0; n < 6; n++) await given({ instances: 2 });
    await door.settled('delivered');
    expect(one.mostOpen()).toBeLessThanOrEqual(2);
    expect(two.asked, 'a busy member is waited for').toHaveLength(0);
    expect(one.asked).toHaveLength(24);
  });

  test('owes nothing that one of its members sent to us', async () => {
    await group();
    await given({ instances: 2, from: { kind: 'dimse', callingAe: 'TWO' } });
    await given({ instances: 1 });
    expect(await door.settled('delivered')).toMatchObject([{ total: 1 }]);
    const { rows } = await door.database.query<{ reason: string }>(
      `select reason from decision where reason like '%sent it to us%'`,
    );
    expect(rows).toMatchObject([
      { reason: expect.stringContaining('nothing for pair, which sent it to us') },
    ]);
  });
});

describe('a group', () => {
  test('is refused in words when it makes no sense', async () => {
    await group();
    const put = async (body: object) => (await door.call('PUT', '/destinations/bad', body)).json.message;
    expect(await put({ kind: 'group', members: ['one', 'nobody'] })).toMatch(
      /members\.1: nobody is no destination/,
    );
    expect(await put({ kind: 'group', members: ['pair'] })).toMatch(/pair is a group; groups are not nested/);
    expect(await put({ kind: 'group', members: ['bad'] })).toMatch(/bad is no destination/);
    expect(await put({ kind: 'group', members: ['one', 'one'] })).toMatch(/named twice/);
    expect(await put({ kind: 'group', members: [] })).toMatch(/members/);
    expect(await door.call('PUT', '/destinations/one', { kind: 'group', members: ['two'] })).toMatchObject({
      status: 409,
      json: { message: expect.stringContaining('one is a member of pair') },
    });
    expect(await door.call('DELETE', '/destinations/two?force')).toMatchObject({
      status: 409,
      json: { message: expect.stringContaining('two is a member of pair') },
    });
  });

  test('is tested member by member', async () => {
    await group({ port: await freePort() });
    expect((await door.call('POST', '/destinations/pair/test')).json).toMatchObject({
      ok: true,
      message: '1 of 2 members answered',
      members: [
        { member: 'one', ok: false, message: expect.stringContaining('nothing listens') },
        { member: 'two', ok: true },
      ],
    });
  });

  test('tells its numbers', async () => {
    await group({ port: await freePort() });
    await given({ instances: 1 });
    await door.settled('delivered');
    expect(await door.routing.numbers()).toMatchObject({
      destinations: [
        { destination: 'one', up: false, breaker: 'open', faults: 1 },
        { destination: 'two', up: true, breaker: 'closed', faults: 0 },
      ],
      groups: [
        { group: 'pair', member: 'one', current: false },
        { group: 'pair', member: 'two', current: true },
      ],
    });
  });
});
