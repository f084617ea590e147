/**
 * Two processes of the program on one Postgres and one S3: a modality stores at one and asks the other to commit, a PACS
 * that got its images from one reports to the other, one is killed, one is suspended for longer than its leases last.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readCommitmentReport } from '../../src/dimse/storage-commitment.ts';
import { type CommitmentPeer, createCommitmentPeer } from '../forwarding/commitment-peer.ts';
import { type ScriptedPacs, startScriptedPacs } from '../forwarding/scripted-pacs.ts';
import { callingModality, type ListeningModality, listeningModality } from '../scp/committing-modality.ts';
import { type AnObject, anObject, CT, uid } from '../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { eventually } from '../support/house.ts';
import { sendObjects } from '../support/modality.ts';
import { peer } from '../support/peers.ts';
import { type Program, startProgram } from '../support/program.ts';
import { sharedS3 } from '../support/shared-peers.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

describe.skipIf(!peer('s3'))('two processes on Postgres and S3 (needs s3)', () => {
  let db: TestDatabase;
  let folder: string;
  let wayToS3: TcpProxy;
  let env: Record<string, string>;
  let first: Program;
  let second: Program;
  let pacs: ScriptedPacs | undefined;
  let modality: ListeningModality | undefined;

  const start = (name: string, more: Record<string, string> = {}): Promise<Program> =>
    startProgram({ dataFolder: path.join(folder, name), env: { ...env, ...more } });

  beforeAll(async () => {
    const s3 = await sharedS3();
    const { hostname, port } = new URL(s3.endpoint);
    wayToS3 = await startTcpProxy({ host: hostname, port: Number(port) });
    db = await testDatabase();
    folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-two-'));
    env = {
      DATABASE_URL: db.url,
      S3_ENDPOINT: s3.endpoint,
      S3_BUCKET: `two-${randomUUID()}`,
      S3_ACCESS_KEY: s3.accessKey,
      S3_SECRET_KEY: s3.secretKey,
      S3_REGION: s3.region,
      SECRETS_KEY: 'the key that both processes have, long enough',
      KNOWN_AES: 'CT1,PACS',
      STABLE_AGE_S: '1',
    };
    // The first one's way to S3 can be cut; the second one's stays.
    first = await start('first', { S3_ENDPOINT: `http://127.0.0.1:${wayToS3.port}` });
    second = await start('second');
  });
  afterAll(async () => {
    await Promise.all([first?.child.stop(), second?.child.stop()]);
    await wayToS3?.stop();
    await db?.drop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    modality?.close();
    await pacs?.stop();
    pacs = undefined;
  });

  const call = async <T>({ url }: Program, where: string, body?: object): Promise<T> => {
    const response = await fetch(`${url}/api${where}`, {
      method: body ? 'PUT' : 'GET',
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${where}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const referenceTo = ({ sop }: AnObject) => ({ sopClassUid: CT, sopInstanceUid: sop });
  const requestOf = (transaction: string, state: string) =>
    eventually(
      async () =>
        (await call<{ transaction: string; state: string }[]>(second, '/commitments')).find(
          (one) => one.transaction === transaction && one.state === state,
        ),
      `the request, ${state}`,
      30_000,
    );
  const studyOf = (instances: number): AnObject[] => {
    const study = uid();
    return Array.from({ length: instances }, (_, number) =>
      anObject({ study, series: `${study}.1`, number: number + 1, pixels: number }),
    );
  };
  const deliveryOf = (objects: readonly AnObject[], state: string) =>
    eventually(
      async () => {
        const [found] = await call<{ id: number; state: string; total: number }[]>(
          second,
          `/deliveries?study=${objects[0]!.study}`,
        );
        return found?.state === state ? found : undefined;
      },
      `the delivery, ${state}`,
      40_000,
    );

  it('commits to what the other received, once it lies in S3 and no sooner', async () => {
    await wayToS3.cut();
    const object = anObject({ pixels: 1 });
    await sendObjects(first, 'CT1', [object]);
    const { association, ask, report, heard } = await callingModality(second.dicomPort, 'CT1');
    const { transactionUid } = await ask([referenceTo(object)]);
    // Longer than what is nowhere is waited for.
    await new Promise((resolve) => setTimeout(resolve, 11_500));
    expect(heard, 'it is in the journal of the other').toEqual([]);
    await wayToS3.mend();
    expect(await report(transactionUid)).toMatchObject({ committed: [referenceTo(object)], failed: [] });
    const { rows } = await db.database.query('select location from object where sop_uid = $1', [object.sop]);
    expect(rows).toEqual([{ location: 'store' }]);
    await association.release();
  });

  it('does not commit to what is gone from S3', async () => {
    const [kept, lost] = studyOf(2) as [AnObject, AnObject];
    await sendObjects(second, 'CT1', [kept, lost]);
    await eventually(async () => {
      const { rowCount } = await db.database.query(
        `select 1 from object where location = 'store' and sop_uid = any($1)`,
        [[kept.sop, lost.sop]],
      );
      return rowCount === 2 ? true : undefined;
    }, 'both in S3');
    // As if another hand had taken it away: its row points where nothing lies.
    await db.database.query(`update object set key = key || '.gone' where sop_uid = $1`, [lost.sop]);
    const { association, ask, report } = await callingModality(first.dicomPort, 'CT1');
    const { transactionUid } = await ask([referenceTo(kept), referenceTo(lost)]);
    expect(await report(transactionUid)).toMatchObject({
      committed: [referenceTo(kept)],
      failed: [{ ...referenceTo(lost), reason: 0x0110 }],
    });
    await association.release();
  });

  it('hears from a PACS at one what the other asked it for', async () => {
    const asked: CommitmentPeer = createCommitmentPeer({
      where: () => 'never',
      to: () => ({ port: second.dicomPort, aeTitle: 'ISOCENTER' }),
    });
    pacs = await startScriptedPacs({ operate: asked.operate });
    await call(first, '/destinations/pacs', {
      ...{ kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' },
      commitment: { waitS: 60 },
    });
    await call(first, '/rules/all', { when: {}, send: ['pacs'] });
    const objects = studyOf(3);
    await sendObjects(first, 'CT1', objects);
    await deliveryOf(objects, 'committing');
    // The studies from before this rule are owed, too.
    const { transactionUid, instances } = asked.requests.find((one) => one.instances.length === 3)!;
    expect(instances).toEqual(expect.arrayContaining(objects.map(referenceTo)));
    expect(await asked.report({ transactionUid, committed: instances, failed: [] })).toEqual({ status: 0 });
    expect(await deliveryOf(objects, 'delivered')).toMatchObject({ total: 3, committed: 3 });
    const sent = pacs.asked.map((one) => one.affectedSopInstanceUid);
    expect(
      sent.filter((sop) => objects.some((one) => one.sop === sop)),
      'by one of them alone',
    ).toHaveLength(3);
  });

  it('reports for the other when that was killed after it took the request', async () => {
    const object = anObject({ pixels: 2 });
    await sendObjects(second, 'CT1', [object]);
    const unknown = { sopClassUid: CT, sopInstanceUid: uid() };
    modality = await listeningModality('CT1');
    await call(second, '/aes/ct1', { aeTitle: 'CT1', host: '127.0.0.1', port: modality.port });
    const { ask, association } = await callingModality(first.dicomPort, 'CT1');
    // What nobody knows is waited for, so that the request is not decided yet.
    const { transactionUid, outcome } = await ask([referenceTo(object), unknown]);
    expect(outcome).toEqual({ status: 0 });
    first.child.signal('SIGKILL');
    await first.child.exited;
    association.abort();
    // The leases that it held run out.
    await db.database.query('update commitment_request set lease_until = now()');
    await requestOf(transactionUid, 'reported');
    expect(readCommitmentReport(modality.heard[0]!.operation)).toMatchObject({
      transactionUid,
      committed: [referenceTo(object)],
      failed: [{ ...unknown, reason: 0x0112 }],
    });
    first = await start('first', { S3_ENDPOINT: `http://127.0.0.1:${wayToS3.port}` });
  });

  it('takes up what the other was sending when that is suspended, which leaves it when it wakes', async () => {
    pacs = await startScriptedPacs();
    await call(first, '/destinations/pacs', {
      ...{ kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' },
      rate: { instancesPerMinute: 600 },
    });
    await call(first, '/rules/all', { when: {}, send: ['pacs'] });
    const objects = studyOf(60);
    const sops = objects.map(({ sop }) => sop);
    await sendObjects(second, 'CT1', objects);
    const sending = await eventually(async () => {
      const { rows } = await db.database.query<{ owner: string; token: number }>(
        `select lease_owner as owner, lease_token as token from delivery where state = 'sending' and study_uid = $1`,
        [objects[0]!.study],
      );
      return sops.filter((sop) => pacs!.kept.has(sop)).length > 10 ? rows[0] : undefined;
    }, 'the middle of the delivery');
    const isFirst = (await nodeName('first')) === sending.owner;
    const sleeper = isFirst ? first : second;
    const awake = isFirst ? second : first;
    sleeper.child.signal('SIGSTOP');
    try {
      await db.database.query(`update delivery set lease_until = now() where state = 'sending'`);
      // An outcome that was on its way may extend the lease once more; then it runs out by itself.
      await eventually(
        async () => {
          const { rowCount } = await db.database.query(
            `select 1 from delivery where state = 'sending' and lease_owner <> $1`,
            [sending.owner],
          );
          return rowCount > 0 ? true : undefined;
        },
        'the other at work',
        80_000,
      );
    } finally {
      sleeper.child.signal('SIGCONT');
    }
    const [found] = await call<{ id: number }[]>(awake, `/deliveries?study=${objects[0]!.study}`);
    const done = await eventually(
      async () => {
        const now = await call<{ state: string }>(awake, `/deliveries/${found!.id}`);
        return now.state === 'delivered' ? now : undefined;
      },
      'the delivery',
      40_000,
    );
    expect(done).toMatchObject({ total: 60, delivered: 60, failed: 0 });
    expect([...pacs.kept.keys()].filter((sop) => sops.includes(sop)).sort()).toEqual([...sops].sort());
    const repeats = pacs.asked.length - new Set(pacs.asked.map((one) => one.affectedSopInstanceUid)).size;
    expect(repeats, 'no more than had no written outcome').toBeLessThanOrEqual(8);
  }, 150_000);

  /** As leases name it. */
  async function nodeName(name: string): Promise<string> {
    return (await readFile(path.join(folder, name, 'node'), 'utf8')).trim();
  }
});
