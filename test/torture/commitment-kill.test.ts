/**
 * kill -9 while modalities ask for storage commitment: whoever was told that the request was taken hears of it, and
 * everything that was acknowledged before the kill is committed to, however soon after its C-STORE.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { STORAGE_COMMITMENT } from '../../src/dicom/sop-class.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { createUid } from '../../src/dicom/uid.ts';
import { createInboundAssociation } from '../../src/dimse/inbound-association.ts';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import {
  type CommitmentReport,
  commitmentRequest,
  readCommitmentReport,
} from '../../src/dimse/storage-commitment.ts';
import { anObject, CT } from '../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { eventually } from '../support/house.ts';
import { type Program, startProgram } from '../support/program.ts';
import { limitMs, times } from './scale.ts';

let db: TestDatabase;
let program: Program | undefined;
let server: net.Server | undefined;
let dataFolder: string;
afterEach(async () => {
  await program?.child.stop();
  server?.close();
  await db.drop();
  await rm(dataFolder, { recursive: true, force: true });
});

async function kill({ child }: Program): Promise<void> {
  child.signal('SIGKILL');
  await child.exited;
}

/** Stores on one association and asks on it at once. @returns transactions that were taken */
async function storeAndAsk(dicomPort: number): Promise<string> {
  const association = await openAssociation({
    host: '127.0.0.1',
    port: dicomPort,
    callingAeTitle: 'ASKS',
    calledAeTitle: 'ISOCENTER',
    contexts: [CT, STORAGE_COMMITMENT].map((abstractSyntax) => ({
      abstractSyntax,
      transferSyntaxes: [EXPLICIT_LE],
    })),
  });
  const objects = [anObject({ pixels: 1 }), anObject({ pixels: 2 }), anObject({ pixels: 3 })];
  for (const { declared, dataSet } of objects) {
    const { status } = await association.store(
      declared,
      (async function* () {
        yield dataSet;
      })(),
    );
    expect(status).toBe(0);
  }
  const transactionUid = createUid();
  const instances = objects.map(({ sop }) => ({ sopClassUid: CT, sopInstanceUid: sop }));
  const { status } = await association.request(commitmentRequest({ transactionUid, instances }));
  expect(status).toBe(0);
  return transactionUid;
}

it(
  'a request that was taken is reported, and all that was acknowledged is committed to',
  async () => {
    db = await testDatabase();
    dataFolder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-commitment-'));
    const heard = new Map<string, CommitmentReport>();
    const listening = net.createServer((socket) =>
      createInboundAssociation(socket, {
        admit: () => ({ accept: true }),
        negotiate: ({ transferSyntaxes }) => transferSyntaxes[0]!,
        store: { open: () => ({ status: 0x0122 }) },
        async operate(operation) {
          const report = readCommitmentReport(operation);
          heard.set(report.transactionUid, report);
          return { status: 0 };
        },
      }),
    );
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const { port } = listening.address() as net.AddressInfo;
    const env = { DATABASE_URL: db.url };
    const taken: string[] = [];
    const kills = times(3, 40);
    for (let nth = 0; nth < kills; nth++) {
      program = await startProgram({ dataFolder, env });
      if (nth === 0) {
        const put = await fetch(`${program.url}/api/aes/asks`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ aeTitle: 'ASKS', host: '127.0.0.1', port }),
        });
        expect(put.status).toBe(201);
      }
      taken.push(await storeAndAsk(program.dicomPort));
      await sleep((nth * 37) % 150);
      await kill(program);
    }
    program = await startProgram({ dataFolder, env });
    await eventually(
      async () => (taken.every((uid) => heard.has(uid)) ? true : undefined),
      `${kills} reports`,
      limitMs(60_000, 120_000),
    );
    for (const uid of taken) {
      expect(heard.get(uid)!.failed).toEqual([]);
      expect(heard.get(uid)!.committed).toHaveLength(3);
    }
  },
  limitMs(120_000, 900_000),
);
