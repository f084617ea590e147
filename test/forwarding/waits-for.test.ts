/** Why a study has not gone yet: what each owed delivery waits for, in the ledger's list and in the timeline. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { studyTimeline } from '../../src/admin/timeline.ts';
import { timelineSchema } from '../../src/admin/timeline-schema.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';

let door: DoorOverHttp;
let port: number;
beforeEach(async () => {
  door = await openDoorOverHttp();
  port = await freePort();
});
afterEach(() => door.close());

const dimse = (more: object = {}) => ({ kind: 'dimse', host: '127.0.0.1', port, aeTitle: 'PACS', ...more });

/** What the newest study waits for at a destination, as the timeline says it, too. */
async function waitsFor(study: string, destination: string): Promise<{ why: unknown; next: unknown }> {
  const { json } = await door.call('GET', `/deliveries?study=${study}&destination=${destination}`);
  const [delivery] = json as unknown as { waitsFor: unknown; nextAttempt: unknown }[];
  const timeline = await studyTimeline(door.database, study, { limit: 100, offset: 0 });
  expect(timelineSchema.safeParse(JSON.parse(JSON.stringify(timeline))).error).toBeUndefined();
  const { steps } = timeline;
  const owed = steps.find((each) => each.step === 'delivery-owed' && each.destination === destination);
  expect(owed?.waitsFor ?? null).toBe(delivery?.waitsFor ?? null);
  return { why: delivery?.waitsFor, next: delivery?.nextAttempt };
}

const given = async () =>
  (await givenStableStudy(door.database, { store: door.store, instances: 1 })).studyUid;

test('a window, a switch and a person are named, and whom nobody but a person can let go has no next attempt', async () => {
  const day = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][(new Date().getUTCDay() + 2) % 7];
  await door.destination(
    'night',
    dimse({ windows: [{ days: [day], from: '00:00', to: '24:00', zone: 'UTC' }] }),
  );
  await door.destination('off', dimse({ enabled: false }));
  await door.destination('looked', dimse({ enabled: false }));
  await door.destination('members', { kind: 'group', members: ['off'] });
  await door.rule('all', { send: ['night', 'off', 'members'] });
  await door.rule('held', { send: ['looked'], hold: true });
  const study = await given();
  await expect
    .poll(() => waitsFor(study, 'night'), { timeout: 20_000 })
    .toEqual({ why: 'the next window of night', next: expect.any(String) });
  expect(await waitsFor(study, 'off')).toEqual({
    why: 'off: it, or each member of it, is switched off',
    next: null,
  });
  expect(await waitsFor(study, 'members')).toMatchObject({
    why: expect.stringMatching(/^members: /),
    next: null,
  });
  expect(await waitsFor(study, 'looked')).toEqual({
    why: expect.stringMatching(/^a person: a rule holds it until POST .api.deliveries.[0-9]+.release$/),
    next: null,
  });
  await door.database.query("update study set held = 'two patients' where study_uid = $1", [study]);
  expect((await waitsFor(study, 'off')).why).toMatch(/^a person: the study has a conflict/);
});

test('a study behind one that found the PACS down says that it is down, and why, untried itself', async () => {
  await door.destination('pacs', dimse({ retry: { firstS: 3600 } }));
  await door.rule('all', { send: ['pacs'] });
  const first = await given();
  await expect
    .poll(async () => (await waitsFor(first, 'pacs')).why, { timeout: 20_000 })
    .toMatch(/^pacs to be back: PACS at 127\.0\.0\.1:\d+ cannot be reached: nothing listens/);
  const second = await given();
  await expect
    .poll(() => waitsFor(second, 'pacs'), { timeout: 20_000 })
    .toEqual({ why: expect.stringMatching(/^pacs to be back: PACS at/), next: expect.any(String) });
});
