/**
 * Storage commitment of what was delivered (PS3.4 Annex J, as SCU), with a PACS that reports as a test tells it; its
 * reports on other associations come to a listener of another process, as far as the ledger can tell.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { STORAGE_COMMITMENT } from '../../src/dicom/sop-class.ts';
import { createUid } from '../../src/dicom/uid.ts';
import { createInboundAssociation } from '../../src/dimse/inbound-association.ts';
import { createLog } from '../../src/log.ts';
import type { DeliveryView } from '../../src/routing/delivery-list.ts';
import { hearReport } from '../../src/routing/hear-report.ts';
import { until } from '../contracts/clock.contract.ts';
import { CT_IMAGE, givenStableStudy } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { type BackDoor, openBackDoor } from './back-door.ts';
import { type CommitmentPeer, type CommitmentScript, createCommitmentPeer } from './commitment-peer.ts';
import { type Script, type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

let door: BackDoor;
let pacs: ScriptedPacs;
let peer: CommitmentPeer;
let ear: { port: number; close(): void };
const children: ChildProcess[] = [];

/** The DICOM listener of some process of ours. */
async function listenForReports(): Promise<typeof ear> {
  const other = door.another();
  const log = createLog('silent', 'test');
  const server = net.createServer((socket) =>
    createInboundAssociation(socket, {
      admit: () => ({ accept: true }),
      negotiate: ({ transferSyntaxes }) => transferSyntaxes[0]!,
      store: { open: () => ({ status: 0x0122 }) },
      operate: (operation) => hearReport(other.routing.commitments, operation, 'PACS', log),
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as net.AddressInfo).port, close: () => server.close() };
}

beforeEach(async () => {
  door = await openBackDoor({ deidentifyKey: 'a key of the test, which is long enough' });
  ear = await listenForReports();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  ear.close();
  await pacs?.stop();
  await door.close();
});

async function scripted(
  commitments: CommitmentScript,
  settings: object = { waitS: 30 },
  script: Script = {},
): Promise<void> {
  peer = createCommitmentPeer({ to: () => ({ port: ear.port, aeTitle: 'ISOCENTER' }), ...commitments });
  pacs = await startScriptedPacs({ operate: peer.operate, ...script });
  await put(settings);
  await door.rule('all', { when: {}, send: ['pacs'] });
}

const put = (commitment: object | undefined): Promise<void> =>
  door.destination('pacs', {
    kind: 'dimse',
    host: '127.0.0.1',
    port: pacs.port,
    aeTitle: 'PACS',
    ...(commitment && { commitment }),
  });

const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });
const nthOf = (sopUid: string): number => Number(sopUid.split('.').at(-1));
const commitments = async (): Promise<(string | null)[]> => {
  const { rows } = await door.database.query<{ commitment: string | null }>(
    'select commitment from delivery_instance order by id',
  );
  return rows.map(({ commitment }) => commitment);
};
const inState = async (state: DeliveryView['state']): Promise<DeliveryView> =>
  (await door.settled(state))[0]!;
/** What was asked for in a request, as a report that commits to all of it. */
const allOf = (nth: number) => ({
  transactionUid: peer.requests[nth]!.transactionUid,
  committed: peer.requests[nth]!.instances,
  failed: [],
});

describe('a report', () => {
  test('on the same association completes the delivery', async () => {
    await scripted({ where: () => 'same' });
    const { sopUids } = await given({ instances: 3 });
    expect(await inState('delivered')).toMatchObject({
      total: 3,
      delivered: 3,
      committed: 3,
      lastError: null,
    });
    expect(await commitments()).toEqual(Array(3).fill('committed'));
    expect(peer.requests).toHaveLength(1);
    expect(peer.requests[0]!.instances).toEqual(
      sopUids.map((sopInstanceUid) => ({ sopClassUid: CT_IMAGE, sopInstanceUid })),
    );
    await until(() => peer.answers.length === 1, 'our answer, before we release');
    expect(peer.answers).toEqual([{ status: 0 }]);
  });

  test('names the UIDs that were sent, where a rule gives others than those stored', async () => {
    await scripted({ where: () => 'same' });
    await door.rule('all', { send: ['pacs'], transform: [{ deidentify: {} }] });
    const { sopUids } = await given({ instances: 3 });
    expect(await inState('delivered')).toMatchObject({ total: 3, delivered: 3, committed: 3 });
    const asked = peer.requests[0]!.instances.map(({ sopInstanceUid }) => sopInstanceUid);
    expect(asked).toHaveLength(3);
    for (const uid of asked) expect(uid).toMatch(/^2\.25\./);
    expect(asked.some((uid) => sopUids.includes(uid))).toBe(false);
  });

  test('of a failure sends what a rule changed again, under the same UID', async () => {
    await scripted({ where: () => 'same', reason: (_, nth) => (nth === 1 ? 0x0112 : undefined) });
    await door.rule('all', { send: ['pacs'], transform: [{ deidentify: {} }] });
    await given({ instances: 1 });
    await until(() => peer.answers.length === 1, 'the first report');
    await door.database.query('update delivery set next_attempt_at = now()');
    await door.database.query(`select pg_notify('isocenter_due', '')`);
    expect(await inState('delivered')).toMatchObject({ committed: 1 });
    const [first, second] = peer.requests.map(({ instances }) => instances[0]!.sopInstanceUid);
    expect(second).toBe(first);
  });

  test('on another association, heard by another process, does too; until then it is committing', async () => {
    await scripted({ where: () => 'never' });
    await given({ instances: 2 });
    expect(await inState('committing')).toMatchObject({ delivered: 2, committed: 0, lastError: null });
    expect(await commitments()).toEqual(['asked', 'asked']);
    const { openCounts } = door.routing.deliveries;
    expect(await openCounts()).toEqual([{ destination: 'pacs', state: 'committing', count: 1 }]);
    expect(await peer.report(allOf(0))).toEqual({ status: 0 });
    expect(await inState('delivered')).toMatchObject({ committed: 2, attempts: 1 });
  });

  test('that comes twice counts once, and is answered twice', async () => {
    await scripted({ where: () => 'both' });
    await given({ instances: 2 });
    expect(await inState('delivered')).toMatchObject({ committed: 2 });
    await until(() => peer.answers.length === 2, 'both answers');
    expect(peer.answers).toEqual([{ status: 0 }, { status: 0 }]);
    expect(peer.requests).toHaveLength(1);
  });

  test('that never comes is asked for again, then parked in words; hours later it still counts', async () => {
    await scripted({ where: () => 'never' }, { waitS: 1, tries: 2 });
    await given({ instances: 2 });
    const parked = await inState('parked');
    expect(parked).toMatchObject({ delivered: 2, committed: 0, failed: 0 });
    expect(parked.lastError).toMatch(
      /^2 instances were sent, and no storage commitment came for them from PACS at 127\.0\.0\.1:\d+: asked 2 times, 1 s each\. To report it must reach AE ISOCENTER/,
    );
    expect(new Set(peer.requests.map(({ transactionUid }) => transactionUid)).size).toBe(2);
    expect(pacs.asked, 'nothing is sent again').toHaveLength(2);
    expect(await peer.report(allOf(0)), 'of the first request').toEqual({ status: 0 });
    expect(await inState('delivered')).toMatchObject({ committed: 2, lastError: null });
  });

  test("that never came is asked for anew at a person's retry, and nothing is sent again", async () => {
    let where: 'never' | 'same' = 'never';
    await scripted({ where: () => where }, { waitS: 1, tries: 1 });
    await given({ instances: 2 });
    const { id } = await inState('parked');
    where = 'same';
    await door.routing.orders.retry(id);
    expect(await inState('delivered')).toMatchObject({ committed: 2 });
    expect(pacs.asked).toHaveLength(2);
  });

  test('on a transaction that is none of ours is answered 0x0115 and changes nothing', async () => {
    await scripted({ where: () => 'never' });
    const { sopUids } = await given({ instances: 1 });
    await inState('committing');
    const committed = [{ sopClassUid: CT_IMAGE, sopInstanceUid: sopUids[0]! }];
    const outcome = await peer.report({ transactionUid: createUid(), committed, failed: [] });
    expect(outcome).toEqual({ status: 0x0115, errorComment: 'TransactionUID is none of ours' });
    expect(await commitments()).toEqual(['asked']);
  });

  test('on instances that were not in its request changes none of them', async () => {
    await scripted({ where: () => 'never' });
    await given({ instances: 1 });
    await inState('committing');
    const committed = [{ sopClassUid: CT_IMAGE, sopInstanceUid: createUid() }];
    await peer.report({ ...allOf(0), committed });
    expect(await commitments()).toEqual(['asked']);
    await peer.report(allOf(0));
    await inState('delivered');
  });
});

test('what a report names as committed and as failed is not taken for proved', async () => {
  await scripted({ where: () => 'never' });
  await given({ instances: 2 });
  await inState('committing');
  const [first] = allOf(0).committed;
  await peer.report({ ...allOf(0), failed: [{ ...first!, reason: 0x0110 }] });
  expect(await inState('parked')).toMatchObject({ committed: 1, failed: 1 });
  expect(await commitments()).toEqual(['refused', 'committed']);
});

describe('an instance that the peer does not commit to', () => {
  test('for it is not there (0x0112) is sent again and asked for again', async () => {
    await scripted({ reason: (sop, nth) => (nthOf(sop) === 2 && nth === 1 ? 0x0112 : undefined) });
    await given({ instances: 3 });
    expect(await inState('delivered')).toMatchObject({ committed: 3, attempts: 2 });
    expect(pacs.asked.map((one) => nthOf(one.affectedSopInstanceUid))).toEqual([1, 2, 3, 2]);
    expect(peer.requests.map(({ instances }) => instances.length)).toEqual([3, 1]);
  });

  test('and is never there is sent again so often, and parked in words', async () => {
    await scripted({ reason: () => 0x0112, where: () => 'other' }, { waitS: 1, tries: 2 });
    await given({ instances: 1 });
    expect(await inState('parked')).toMatchObject({
      failed: 1,
      lastError:
        '1 of 1 instances were refused: storage commitment was refused: 0x0112 No such object instance',
    });
    expect(pacs.asked).toHaveLength(3);
  });

  test.each([
    [0x0110, '0x0110 Processing failure'],
    [0x0119, '0x0119 Class / Instance conflict'],
    [0x0122, '0x0122 Referenced SOP Class not supported'],
  ])('with reason %i is parked with the words, and the others are committed', async (reason, words) => {
    let healed = false;
    await scripted({ reason: (sop) => (nthOf(sop) === 1 && !healed ? reason : undefined) });
    await given({ instances: 3 });
    const parked = await inState('parked');
    expect(parked).toMatchObject({ delivered: 2, committed: 2, failed: 1 });
    expect(parked.lastError).toContain(words);
    expect(await commitments()).toEqual(['refused', 'committed', 'committed']);
    healed = true;
    await door.routing.orders.retry(parked.id);
    await inState('delivered');
    expect(pacs.asked, 'it alone is sent again').toHaveLength(4);
  });

  test('for want of resources (0x0213) is asked for again and not sent again', async () => {
    await scripted({ reason: (_, nth) => (nth === 1 ? 0x0213 : undefined) }, { waitS: 1 });
    await given({ instances: 2 });
    expect(await inState('delivered')).toMatchObject({ committed: 2 });
    expect(peer.requests).toHaveLength(2);
    expect(pacs.asked).toHaveLength(2);
  });
});

describe('a request', () => {
  test('names at most 500 instances', async () => {
    await scripted({});
    await given({ instances: 501 });
    expect(await inState('delivered')).toMatchObject({ committed: 501 });
    expect(peer.requests.map(({ instances }) => instances.length)).toEqual([500, 1]);
  });

  test.each([
    [0x0124, 'Not Authorized'],
    [0x0211, 'Unrecognized Operation'],
  ])('that is refused for good (%i) parks the delivery with the words', async (status, words) => {
    await scripted({ status: () => status });
    await given({ instances: 1 });
    expect((await inState('parked')).lastError).toMatch(
      new RegExp(`did not take the request for storage commitment: 0x0.* ${words}`),
    );
  });

  test('that is refused for now is made again', async () => {
    await scripted({ status: (_, nth) => (nth < 3 ? [0x0213, 0x0110][nth - 1]! : 0) });
    await given({ instances: 1 });
    expect(await inState('delivered')).toMatchObject({ committed: 1, attempts: 3 });
    expect(pacs.asked).toHaveLength(1);
  });

  test('to a peer that does not offer it is parked, and says so', async () => {
    const negotiate: Script['negotiate'] = ({ abstractSyntax, transferSyntaxes }) =>
      abstractSyntax === STORAGE_COMMITMENT ? 'refuse-abstract-syntax' : transferSyntaxes[0]!;
    await scripted({}, { waitS: 30 }, { negotiate });
    await given({ instances: 1 });
    expect((await inState('parked')).lastError).toMatch(
      /^storage commitment: .*does not take Storage Commitment Push Model/,
    );
    await put(undefined);
    await door.routing.orders.retry((await door.deliveries())[0]!.id);
    expect(await inState('delivered'), 'switched off').toMatchObject({ committed: 0, delivered: 1 });
  });

  test('goes to another system where one is named; its absence is no fault of the destination', async () => {
    const port = await freePort();
    await scripted({}, { host: '127.0.0.1', port, aeTitle: 'VAULT', waitS: 30 });
    await given({ instances: 1 });
    expect((await door.failing()).lastError).toMatch(
      /storage commitment: VAULT at 127\.0\.0\.1:\d+ cannot be reached/,
    );
    expect(await door.routing.table.destination('pacs')).toMatchObject({ faults: 0, downUntil: null });
    const vault = await startScriptedPacs({ port, aeTitle: 'VAULT', operate: peer.operate });
    try {
      expect(await inState('delivered')).toMatchObject({ committed: 1 });
      expect(pacs.asked).toHaveLength(1);
    } finally {
      await vault.stop();
    }
  });

  test('is not made where it is not switched on', async () => {
    await scripted({}, { enabled: false });
    await given({ instances: 1 });
    expect(await inState('delivered')).toMatchObject({ committed: 0 });
    expect(peer.requests).toHaveLength(0);
  });
});

test('late images of a study that is committing are sent at once, and only they', async () => {
  await scripted({ where: () => 'never' }, { waitS: 600 });
  const { studyUid } = await given({ instances: 2 });
  await inState('committing');
  await given({ studyUid, instances: [3, 4] });
  await until(() => peer.requests.length === 2, 'the second request', 20_000);
  expect(pacs.asked.map((one) => nthOf(one.affectedSopInstanceUid))).toEqual([1, 2, 3, 4]);
  expect(peer.requests[1]!.instances).toHaveLength(2);
  await inState('committing');
  await peer.report(allOf(1));
  expect(await commitments()).toEqual(['asked', 'asked', 'committed', 'committed']);
  expect(await inState('committing')).toMatchObject({ committed: 2 });
  await peer.report(allOf(0));
  expect(await inState('delivered')).toMatchObject({ committed: 4 });
});

test('of a group the member that took an instance is asked, also when the group goes on with another', async () => {
  await scripted({ where: () => 'never' });
  const two = await startScriptedPacs({ aeTitle: 'TWO' });
  try {
    await door.destination('two', { kind: 'dimse', host: '127.0.0.1', port: two.port, aeTitle: 'TWO' });
    await door.destination('pair', { kind: 'group', members: ['pacs', 'two'] });
    await door.rule('all', { when: {}, send: ['pair'] });
    const { studyUid } = await given({ instances: 2 });
    await inState('committing');
    await pacs.stop();
    await given({ studyUid, instances: [3, 3] });
    await until(() => two.kept.size === 1, 'the late image at the other member');
    expect(await inState('committing'), 'what the first took is not forgotten').toMatchObject({
      delivered: 3,
    });
    expect(peer.requests).toHaveLength(1);
    expect(peer.requests[0]!.instances).toHaveLength(2);
    await peer.report(allOf(0));
    expect(await inState('delivered')).toMatchObject({ delivered: 3, committed: 2 });
  } finally {
    await two.stop();
  }
});

test('killed between any two steps, it ends committed to', async () => {
  await door.close();
  ear.close();
  door = await openBackDoor({ idle: true, leaseS: 2 });
  ear = await listenForReports();
  // Now and then the answer to the request is lost with the process, and the report comes to another one.
  await scripted(
    { where: (nth) => (['same', 'never', 'other'] as const)[nth % 3]! },
    { waitS: 1, tries: 20 },
  );
  for (let study = 0; study < 6; study++) await given({ instances: 3 });
  await door.settled('owed');
  const script = fileURLToPath(new URL('forwarding-process.ts', import.meta.url));
  const start = async (): Promise<ChildProcess> => {
    const options = { connection: door.db.connection, folder: door.folder, nodeName: 'same-node' };
    const child = spawn(process.execPath, [script, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout!.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the process ended with ${code}`)));
    });
    return child;
  };
  for (let kill = 0; kill < 8; kill++) {
    const [stored, requested] = [pacs.asked.length, peer.requests.length];
    const child = await start();
    await until(() => pacs.asked.length > stored || peer.requests.length > requested, 'a step', 4000).catch(
      () => undefined,
    );
    await new Promise((resolve) => setTimeout(resolve, 7 * kill));
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
  await start();
  const done = await door.settled('delivered');
  expect(done).toHaveLength(6);
  expect(done.every(({ committed, total }) => committed === total)).toBe(true);
  expect(await commitments()).toEqual(Array(18).fill('committed'));
  const repeats = pacs.asked.length - new Set(pacs.asked.map((one) => one.affectedSopInstanceUid)).size;
  expect(repeats, 'of those whose outcome was not written at a kill').toBeLessThanOrEqual(8 * 3);
  expect(new Set(peer.requests.map(({ transactionUid }) => transactionUid)).size).toBe(peer.requests.length);
});
