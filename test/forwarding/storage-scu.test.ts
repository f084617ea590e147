import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { CT_IMAGE, givenStableStudy, MR_IMAGE } from '../routing/given-study.ts';
import { freePort } from '../support/free-port.ts';
import { startStoreScp } from '../support/pacs.ts';
import { peer } from '../support/peers.ts';
import { type BackDoor, openBackDoor } from './back-door.ts';
import { type Script, type ScriptedPacs, startScriptedPacs } from './scripted-pacs.ts';

let door: BackDoor;
let pacs: ScriptedPacs | undefined;

beforeEach(async () => {
  door = await openBackDoor();
  await door.database.query('select 1');
});
afterEach(async () => {
  await pacs?.stop();
  pacs = undefined;
  await door.close();
});

async function scripted(script: Script = {}): Promise<ScriptedPacs> {
  pacs = await startScriptedPacs(script);
  await door.destination('pacs', { kind: 'dimse', host: '127.0.0.1', port: pacs.port, aeTitle: 'PACS' });
  await door.rule('all', { when: {}, send: ['pacs'] });
  return pacs;
}

const given = (more: Parameters<typeof givenStableStudy>[1] = {}) =>
  givenStableStudy(door.database, { store: door.store, ...more });
const nthOf = (sopUid: string): number => Number(sopUid.split('.').at(-1));

test('each instance of several pages is disclosed once, and its page before its first byte leaves', async () => {
  const disclosed = async (): Promise<number> => {
    const { rows } = await door.database.query<{ sum: number | null }>(
      'select sum(instances) from disclosure',
    );
    return rows[0]?.sum ?? 0;
  };
  const asked: Promise<{ nth: number; disclosed: number }>[] = [];
  const { associations, kept } = await scripted({
    answer: ({ affectedSopInstanceUid }) => {
      const nth = nthOf(affectedSopInstanceUid);
      asked.push(disclosed().then((sum) => ({ nth, disclosed: sum })));
      return 0x0000;
    },
  });
  await given({ instances: 80 });
  expect(await door.settled('delivered')).toMatchObject([{ delivered: 80, attempts: 1 }]);
  expect([kept.size, associations(), await disclosed()]).toEqual([80, 1, 80]);
  for (const [index, { nth, disclosed: sum }] of (await Promise.all(asked)).entries())
    expect(sum, `when instance ${nth} came`).toBeGreaterThan(index);
});

describe.skipIf(!peer('dcmtk'))('to DCMTK storescp +B (needs dcmtk)', () => {
  test('data sets arrive byte for byte', async () => {
    const scp = await startStoreScp();
    try {
      await door.destination('pacs', { kind: 'dimse', host: scp.host, port: scp.port, aeTitle: scp.aeTitle });
      await door.rule('all', { when: { Modality: 'CT' }, send: ['pacs'] });
      const explicit = await given({ instances: 20, pixelBytes: 300_000 });
      const implicit = await given({ instances: 3, transferSyntax: IMPLICIT_LE });
      expect(await door.settled('delivered')).toMatchObject([
        { total: 3, delivered: 3, failed: 0, attempts: 1, lastError: null, nextAttempt: null, rule: 'all' },
        { total: 20, delivered: 20 },
      ]);
      const sent = new Map([...explicit.dataSets, ...implicit.dataSets]);
      const received = await scp.received();
      expect(received).toHaveLength(23);
      for (const file of received) {
        const bytes = readFileSync(file);
        const meta = readFileMeta(bytes);
        expect(bytes.subarray(meta.dataSetOffset).equals(sent.get(meta.sopInstanceUid ?? '')!), file).toBe(
          true,
        );
      }
      const { rows } = await door.database.query(
        `select recipient, sum(instances) as instances from disclosure where channel = 'dimse' group by 1`,
      );
      expect(rows).toEqual([{ recipient: `PACS@127.0.0.1:${scp.port}`, instances: 23 }]);
    } finally {
      await scp.stop();
    }
  });

  test('it is away, comes back, and everything arrives without a person', async () => {
    const port = await freePort();
    await door.destination('pacs', { kind: 'dimse', host: '127.0.0.1', port, aeTitle: 'PACS' });
    await door.rule('all', { when: {}, send: ['pacs'] });
    await given({ instances: 3 });
    await given({ instances: 2 });
    await door.failing();
    const waiting = await door.deliveries();
    expect(waiting.every((one) => one.state !== 'parked')).toBe(true);
    expect(
      waiting.some((one) => /PACS at 127\.0\.0\.1:\d+ cannot be reached/.test(one.lastError ?? '')),
    ).toBe(true);
    const scp = await startStoreScp({ port });
    try {
      const done = await door.settled('delivered');
      expect(done.map((one) => one.delivered).sort()).toEqual([2, 3]);
      expect(await scp.received()).toHaveLength(5);
    } finally {
      await scp.stop();
    }
  });

  test.each([['--refuse'], ['--abort-during'], ['--abort-after']])(
    'storescp %s loses nothing',
    async (fault) => {
      const port = await freePort();
      let scp = await startStoreScp({ port, extraArgs: [fault] });
      try {
        await door.destination('pacs', { kind: 'dimse', host: '127.0.0.1', port, aeTitle: 'PACS' });
        await door.rule('all', { when: {}, send: ['pacs'] });
        await given({ instances: 4, pixelBytes: 100_000 });
        await door.failing();
        expect((await door.deliveries())[0]).toMatchObject({ lastError: expect.stringContaining('PACS') });
        await scp.stop();
        scp = await startStoreScp({ port });
        await door.settled('delivered');
        expect(await door.instances()).toMatchObject(Array(4).fill({ state: 'delivered', status: 0 }));
      } finally {
        await scp.stop();
      }
    },
  );
});

describe('a scripted PACS', () => {
  test('that refuses one SOP class gets the others, and the reason is told', async () => {
    const peer = await scripted({
      negotiate: ({ abstractSyntax, transferSyntaxes }) =>
        abstractSyntax === MR_IMAGE ? 'refuse-abstract-syntax' : transferSyntaxes[0]!,
    });
    await given({ instances: 5, sopClassOf: (index) => (index === 2 ? MR_IMAGE : CT_IMAGE) });
    const [delivery] = await door.settled('parked');
    expect(delivery).toMatchObject({ total: 5, delivered: 4, failed: 1, attempts: 1 });
    expect(delivery!.lastError).toMatch(
      /^1 of 5 instances were refused: the peer does not take MR Image Storage in Explicit/,
    );
    expect(peer.kept.size).toBe(4);
  });

  test.each([
    [0xa900, 'Data Set does not match SOP Class'],
    [0xc000, 'Cannot Understand'],
    [0x0122, 'SOP Class Not Supported'],
    [0x0124, 'Not Authorized'],
  ])('that answers %i to one instance gets the others, and it is not tried again', async (status, words) => {
    const peer = await scripted({
      answer: ({ affectedSopInstanceUid }) => (nthOf(affectedSopInstanceUid) === 1 ? status : 0),
    });
    await given({ instances: 12 });
    const [delivery] = await door.settled('parked');
    expect(delivery).toMatchObject({
      delivered: 11,
      failed: 1,
      attempts: 1,
      lastError: expect.stringContaining(words),
    });
    expect(peer.asked).toHaveLength(12);
    expect((await door.instances())[0]).toMatchObject({ state: 'failed', status });
  });

  test("whose refusal was healed takes the rest at a person's retry, and only the rest", async () => {
    let healed = false;
    const peer = await scripted({
      answer: ({ affectedSopInstanceUid }) => (nthOf(affectedSopInstanceUid) === 3 && !healed ? 0xc123 : 0),
    });
    await given({ instances: 4 });
    const [parked] = await door.settled('parked');
    healed = true;
    await door.routing.orders.retry(parked!.id);
    await door.settled('delivered');
    expect(peer.asked).toHaveLength(5);
  });

  test('that answers with a warning has the instance, and the warning is kept', async () => {
    await scripted({ answer: () => ({ status: 0xb000, errorComment: 'coerced' }) });
    await given({ instances: 2 });
    await door.settled('delivered');
    expect(await door.instances()).toMatchObject(
      Array(2).fill({
        state: 'warning',
        status: 0xb000,
        comment: '0xB000 Coercion of Data Elements: coerced',
      }),
    );
  });

  test('that says it has the instance already is where we want it', async () => {
    await scripted({ answer: () => 0x0111 });
    await given({ instances: 1 });
    expect(await door.settled('delivered')).toMatchObject([{ delivered: 1 }]);
  });

  test('that is out of resources for a while is tried again, and gets nothing twice', async () => {
    let full = true;
    const peer = await scripted({
      answer: ({ affectedSopInstanceUid }) => (nthOf(affectedSopInstanceUid) > 2 && full ? 0xa700 : 0),
    });
    await given({ instances: 6 });
    await door.failing();
    expect((await door.deliveries())[0]).toMatchObject({
      lastError: '0xA700 Refused: Out of Resources',
      delivered: 2,
    });
    full = false;
    await door.settled('delivered');
    const successes = peer.asked.filter((one) => nthOf(one.affectedSopInstanceUid) <= 2);
    expect(successes, 'what was taken is not sent again').toHaveLength(2);
    expect(peer.kept.size).toBe(6);
  });

  test.each(['abort', 'close'] as const)(
    'that answers one instance with "%s" gets the others in the same attempt',
    async (deed) => {
      const peer = await scripted({
        answer: ({ affectedSopInstanceUid }, nth) =>
          nthOf(affectedSopInstanceUid) === 1 && nth < 3 ? deed : 0,
      });
      await given({ instances: 5, pixelBytes: 400_000 });
      await door.settled('delivered');
      expect(peer.kept.size).toBe(5);
      expect(
        peer.asked.filter((one) => nthOf(one.affectedSopInstanceUid) > 1),
        'the others went once',
      ).toHaveLength(4);
    },
  );

  test('that stops answering is left after the time limit, and tried again', async () => {
    await door.close();
    door = await openBackDoor({ timeouts: { connectMs: 1000, answerMs: 700 } });
    const peer = await scripted({ answer: (_request, nth) => (nth === 1 ? 'hang' : 0) });
    await given({ instances: 1, pixelBytes: 50_000 });
    expect(await door.settled('delivered')).toMatchObject([{ attempts: 2 }]);
    expect(peer.asked).toHaveLength(2);
  });

  test('that stops answering is left after the time that its destination has', async () => {
    const peer = await scripted({ answer: (_request, nth) => (nth === 1 ? 'hang' : 0) });
    await door.destination('pacs', {
      ...{ kind: 'dimse', host: '127.0.0.1', port: peer.port, aeTitle: 'PACS', answerS: 1 },
    });
    await given({ instances: 1, pixelBytes: 50_000 });
    expect((await door.failing()).lastError).toMatch(/within 1000 ms$/);
    await door.settled('delivered');
  });

  test.each([1, 2] as const)(
    'that rejects the association (%i) for a while gets everything later',
    async (result) => {
      let rejecting = true;
      await scripted({ reject: () => (rejecting ? result : undefined) });
      await given({ instances: 2 });
      await door.failing();
      expect((await door.routing.table.destination('pacs'))?.faults).toBeGreaterThan(0);
      rejecting = false;
      await door.settled('delivered');
      const healthy = await door.routing.table.destination('pacs');
      expect(healthy).toMatchObject({ faults: 0, downUntil: null, lastFault: null });
    },
  );

  test('that takes only Explicit VR Little Endian gets Implicit converted, value for value', async () => {
    const peer = await scripted({
      negotiate: ({ transferSyntaxes }) =>
        transferSyntaxes.includes(EXPLICIT_LE) ? EXPLICIT_LE : 'refuse-transfer-syntaxes',
    });
    const { studyUid, dataSets } = await given({ instances: 2, transferSyntax: IMPLICIT_LE });
    await door.settled('delivered');
    expect([...peer.kept.keys()].sort()).toEqual([...dataSets.keys()].sort());
    const [bytes] = [...peer.kept.values()];
    expect(bytes!.includes(Buffer.from(`UI`)) && bytes!.includes(Buffer.from(studyUid))).toBe(true);
    expect(bytes!.equals([...dataSets.values()][0]!)).toBe(false);
  });

  test('that does not take a compressed syntax is told apart from one that is away', async () => {
    await scripted({ negotiate: () => 'refuse-transfer-syntaxes' });
    await given({ instances: 2, transferSyntax: '1.2.840.10008.1.2.4.90' });
    const [delivery] = await door.settled('parked');
    expect(delivery!.lastError).toMatch(
      /2 of 2 instances were refused: the peer does not take CT Image Storage in JPEG 2000/,
    );
  });

  test('that accepts associations and has no room is asked ever more rarely', async () => {
    await door.close();
    door = await openBackDoor({ backoff: { firstMs: 100, capMs: 100_000, horizonMs: 1e9 } });
    const peer = await scripted({ answer: () => 0xa700 });
    await given({ instances: 10 });
    const until = Date.now() + 20_000;
    let faults = 0;
    while (faults < 4 && Date.now() < until) {
      faults = (await door.routing.table.destination('pacs'))?.faults ?? 0;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(faults, 'counts over several attempts').toBeGreaterThanOrEqual(4);
    expect(peer.asked.length, 'three instances an attempt').toBeLessThanOrEqual(3 * (faults + 1));
  });

  test('that quotes the patient does not get the name into our ledger', async () => {
    await scripted({ answer: () => ({ status: 0xc001, errorComment: 'no patient Doe^Jane, ID PAT-1' }) });
    await given({ instances: 1 });
    const [delivery] = await door.settled('parked');
    expect(delivery!.lastError).toContain('0xC001');
    expect(JSON.stringify([delivery, await door.instances()])).not.toMatch(/Doe|Jane|PAT-1/);
  });

  test('never has more associations than it takes, and one that is held up does not hold up another', async () => {
    const slow = await scripted({ answer: () => 'hang' });
    const quick = await startScriptedPacs({ aeTitle: 'QUICK' });
    try {
      await door.destination('quick', {
        kind: 'dimse',
        host: '127.0.0.1',
        port: quick.port,
        aeTitle: 'QUICK',
      });
      await door.rule('all', { when: {}, send: ['pacs', 'quick'] });
      for (let n = 0; n < 4; n++) await given({ instances: 2 });
      const until = Date.now() + 20_000;
      while (quick.kept.size < 8 && Date.now() < until)
        await new Promise((resolve) => setTimeout(resolve, 20));
      expect(quick.kept.size).toBe(8);
      expect(slow.mostOpen()).toBe(1);
      expect(quick.mostOpen()).toBe(1);
    } finally {
      await quick.stop();
    }
  });
});

describe('the object in the archive', () => {
  test('that has vanished from the store is parked with the reason, the others arrive', async () => {
    await scripted();
    await door.forwarding.stop(1000);
    const { sopUids } = await given({ instances: 3 });
    await door.settled('owed');
    const { rows } = await door.database.query<{ key: string }>('select key from object where sop_uid = $1', [
      sopUids[0],
    ]);
    await door.store.remove(rows[0]!.key);
    const other = door.another();
    await other.forwarding.start();
    try {
      const [delivery] = await door.settled('parked');
      expect(delivery).toMatchObject({ delivered: 2, failed: 1 });
      expect(delivery!.lastError).toMatch(/the stored object cannot be read/);
    } finally {
      await other.close();
    }
  });
});
