/** A receiver thread that dies in the middle of an object: what it acknowledged is indexed, what it held is given back. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSlotMemory } from '../../src/scp/association-slots.ts';
import type { FromReceiver, ReceiverData } from '../../src/scp/receiver-thread.ts';
import { connectRaw, pdata, pdv, storeCommand } from '../dimse/raw-peer.ts';
import { anObject, aSeries, CT } from '../support/an-object.ts';
import { eventually, type House, openHouse } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse({ RECEIVERS: '1' });
});
afterAll(() => house?.close());

it('loses nothing and leaves nothing behind', async () => {
  const { archive } = house.isocenter;
  const held = async (): Promise<number> => archive.journal().heldBytes;
  const before = await held();
  const seat = archive.seat('receiver-of-the-test');
  const data: ReceiverData = {
    host: '127.0.0.1',
    port: 0,
    shared: false,
    tls: undefined,
    policy: {
      aeTitle: 'ISOCENTER',
      strangers: 'accept',
      knownAes: [],
      maxAssociations: 10,
      maxAssociationsPerAe: 10,
      privateSopClasses: 'accept',
    },
    limits: { maxPduLength: 131_072, maxRequestLength: 262_144, artimMs: 30_000, idleMs: 60_000 },
    maxWaiting: 10,
    intake: seat.intake,
    settlerPort: seat.settlerPort,
    slots: createSlotMemory(10),
    thread: 0,
    logLevel: 'silent',
  };
  const thread = new Worker(new URL('../../src/scp/receiver-thread.ts', import.meta.url), {
    workerData: data,
    transferList: [seat.settlerPort],
  });
  const port = await new Promise<number>((resolve, reject) => {
    thread.on('message', (message: FromReceiver) => message.type === 'listening' && resolve(message.port!));
    thread.on('error', reject);
  });
  const peer = await connectRaw(port);
  await peer.associate();
  const objects = aSeries(20);
  for (const [n, object] of objects.entries()) {
    peer.send(pdata(pdv(1, 3, storeCommand(n, object.sop, CT))), pdata(pdv(1, 2, object.dataSet)));
    expect((await peer.response()).status).toBe(0);
  }
  // Larger than a segment: it has a file of its own, and claims room for it step by step.
  const cut = anObject({ pixelBytes: 40 * 1024 * 1024 });
  peer.send(
    pdata(pdv(1, 3, storeCommand(99, cut.sop, CT))),
    ...Array.from({ length: 350 }, (_, n) =>
      pdata(pdv(1, 0, cut.dataSet.subarray(n * 100_000, (n + 1) * 100_000))),
    ),
  );
  const journalFolder = path.join(house.dataFolder, 'journal');
  const spills = (): string[] =>
    readdirSync(journalFolder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.obj'));
  await eventually(async () => (spills().length === 1 ? true : undefined), 'the file of the large object');
  await thread.terminate();
  await eventually(async () => {
    const { rows } = await house.db.database.query(
      "select stored, outcome from reception where closed_at is not null and outcome = 'lost'",
    );
    return rows[0]?.stored === 20 ? true : undefined;
  }, 'the lost reception');
  const { rows } = await house.db.database.query('select sop_uid from object');
  expect(rows.map((row) => row.sop_uid).sort()).toEqual(objects.map(({ sop }) => sop).sort());
  await eventually(async () => ((await held()) === before ? true : undefined), 'the room');
  expect(spills()).toEqual([]);
  // The study is not kept waiting by an association that cannot end any more.
  await eventually(async () => {
    const { rowCount } = await house.db.database.query('select 1 from study where stable_version = version');
    return rowCount === 1 ? true : undefined;
  }, 'stability');
});
