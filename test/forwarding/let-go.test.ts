/** What may show text waits until a person has looked: one object or all, on record, once and for all in that form. */
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { studyTimeline } from '../../src/admin/timeline.ts';
import { timelineSchema } from '../../src/admin/timeline-schema.ts';
import { givenStableStudy } from '../routing/given-study.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { type DoorOverHttp, openDoorOverHttp } from './door-over-http.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const ULTRASOUND = '1.2.840.10008.5.1.4.1.1.6.1';
const KEY = 'a key of the test, which is long enough';
const WHY = { why: 'no text in these pictures' };

let door: DoorOverHttp;
let root: TempFolder;
beforeEach(async () => {
  root = await tempFolder('let-go');
  door = await openDoorOverHttp({ folderRoot: root.path, deidentifyKey: KEY });
  await door.destination('a', { kind: 'folder', path: 'a' });
});
afterEach(async () => {
  await door.close();
  await root.remove();
});

/** One CT slice and, behind it, ultrasound. */
const given = (instances: number | readonly [number, number], studyUid?: string) =>
  givenStableStudy(door.database, {
    store: door.store,
    instances,
    sopClassOf: (index) => (index === 1 ? CT : ULTRASOUND),
    ...(studyUid !== undefined && { studyUid }),
  });
const sentTo = (folder: string): number =>
  readdirSync(`${root.path}/${folder}`, { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  ).length;
const rule = (send: string[], more: object = {}) =>
  door.rule('research', { send, transform: [{ deidentify: { ...more } }] });

test('one object goes, the others wait; the same again is no fault; all the others go', async () => {
  await rule(['a']);
  const { sopUids } = await given(4);
  const [delivery] = await door.settled('parked');
  expect(delivery).toMatchObject({ delivered: 1, failed: 3, toLook: 3 });
  const id = delivery!.id;
  const listed = async (): Promise<unknown[]> =>
    (await door.call('GET', '/deliveries?toLook=true')).json as unknown as unknown[];
  expect(await listed()).toHaveLength(1);

  const one = `/deliveries/${id}/instances/${sopUids[2]}/release`;
  expect(await door.call('POST', one, WHY)).toMatchObject({ status: 200, json: { instances: 1 } });
  expect(await door.settled('parked')).toMatchObject([{ delivered: 2, failed: 2, toLook: 2 }]);
  expect(await door.call('POST', one, WHY)).toMatchObject({ status: 200, json: { instances: 0 } });
  expect(await door.settled('parked')).toMatchObject([{ delivered: 2, failed: 2, toLook: 2 }]);
  expect(sentTo('a')).toBe(2);

  const all = `/deliveries/${id}/instances/release`;
  expect(await door.call('POST', all, WHY)).toMatchObject({ status: 200, json: { instances: 2 } });
  expect(await door.settled('delivered')).toMatchObject([{ delivered: 4, failed: 0, toLook: 0 }]);
  expect(sentTo('a')).toBe(4);
  expect(await listed()).toEqual([]);

  const { instances } = (await door.call('GET', `/deliveries/${id}`)).json as {
    instances: { toLook: boolean; lookedAt: object | null }[];
  };
  expect(instances.map(({ lookedAt }) => lookedAt)).toEqual([
    null,
    ...new Array(3).fill({ at: expect.any(String), by: 'anonymous', ...WHY }),
  ]);
  expect(instances.some(({ toLook }) => toLook)).toBe(false);
});

test('it holds for the object when it is sent again, and for every destination in the same form, not in another', async () => {
  await door.destination('b', { kind: 'folder', path: 'b' });
  await rule(['a', 'b']);
  const { studyUid } = await given(3);
  const [first] = await door.settled('parked');
  await door.call('POST', `/deliveries/${first!.id}/instances/release`, WHY);
  await door.settled('delivered');
  expect([sentTo('a'), sentTo('b')]).toEqual([3, 3]);

  await door.routing.orders.resend(studyUid, undefined, 'test');
  await door.settled('delivered');

  await door.destination('c', { kind: 'folder', path: 'c' });
  await door.rule('other', { send: ['c'], transform: [{ deidentify: { retain: ['device'] } }] });
  await given([4, 4], studyUid);
  const now = await door.settled('delivered', 'parked');
  // The late image waits, in both forms; what was let go in the one waits in the other.
  expect(now.map(({ rule, failed, delivered }) => ({ rule, failed, delivered }))).toEqual(
    expect.arrayContaining([
      { rule: 'research, (resent by test)', failed: 1, delivered: 3 },
      { rule: 'other', failed: 3, delivered: 1 },
    ]),
  );
});

test('it is on record in the timeline, and refused without a reason or where nothing waits', async () => {
  await rule(['a']);
  const { studyUid, sopUids } = await given(2);
  const { id } = (await door.settled('parked'))[0]!;
  const all = `/deliveries/${id}/instances/release`;
  expect(await door.call('POST', all, { why: ' ' })).toMatchObject({ status: 400 });
  expect(await door.call('POST', `/deliveries/${id}/instances/${sopUids[0]}/release`, WHY)).toMatchObject({
    status: 409,
    json: { message: expect.stringContaining('does not wait for a person to look at it') },
  });
  expect(await door.call('POST', '/deliveries/999/instances/release', WHY)).toMatchObject({ status: 404 });
  await door.call('POST', all, WHY);
  await door.settled('delivered');
  const timeline = await studyTimeline(door.database, studyUid, { limit: 100, offset: 0 });
  expect(timelineSchema.safeParse(JSON.parse(JSON.stringify(timeline))).error).toBeUndefined();
  const { steps } = timeline;
  expect(steps.find(({ step }) => step === 'instances-let-go')).toMatchObject({
    by: 'anonymous',
    instances: 1,
    ...WHY,
  });
});

test('of a cancelled delivery nothing is let go; other faults are not looked away', async () => {
  await rule(['a']);
  await given(2);
  const { id } = (await door.settled('parked'))[0]!;
  await door.routing.orders.cancel(id, 'test');
  const all = `/deliveries/${id}/instances/release`;
  expect(await door.call('POST', all, WHY)).toMatchObject({ status: 409 });
  expect(sentTo('a')).toBe(1);
  await door.routing.orders.retry(id);
  await door.settled('parked');
  expect(await door.call('POST', all, WHY)).toMatchObject({ status: 200, json: { instances: 1 } });
  await door.settled('delivered');
});
