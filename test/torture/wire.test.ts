/**
 * What a hostile or broken peer can do to the DICOM port, to the program as it is installed: 2,000 changed PDUs,
 * half-open sockets, slow senders, 500 connections that say nothing; and beside each an honest sender in a process of
 * its own, all of whose objects are stored. Its time beside them over its time alone is printed; the long form holds
 * it to a factor of two. Afterwards memory, descriptors and receptions are where they were.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  associateRequest,
  connectRaw,
  pdata,
  pdv,
  type RawPeer,
  type ReadPdu,
  readCommand,
  releaseRequest,
  storeCommand,
} from '../dimse/raw-peer.ts';
import { type AnObject, anObject, CT } from '../support/an-object.ts';
import { startChild } from '../support/child.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { eventually } from '../support/house.ts';
import { originalDataSet } from '../support/modality.ts';
import { type Program, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { chance } from './chance.ts';
import { conversation, type Fault, faults, otherForm } from './mutate.ts';
import { limitMs, times } from './scale.ts';

const random = chance();
const CHANGED = 2000;
const SILENT = 500;
/** The series of the honest sender: MR-sized objects. */
const SERIES = times(300, 1500);
const OBJECT_BYTES = 131_072;
/** How much slower it may be beside the others, in the long form, in the best of so many runs. */
const FACTOR = 2;
const ATTEMPTS = times(0, 3);
/** Peers at a time that change PDUs (some 150 associations a second), of half-open and of slow associations. */
const AT_ONCE = 2;
const HALF_OPEN = 30;
const SLOW = 20;
/** The longest that a connection which ended its own side may be kept. */
const HELD_MS = times(30_000, 10_000);
const GROWTH = 500 * 1024 * 1024;

let temp: TempFolder;
let db: TestDatabase;
let program: Program;
let before: { memory: number; descriptors: number };

beforeAll(async () => {
  temp = await tempFolder('wire');
  db = await testDatabase();
  const env = {
    DATABASE_URL: db.url,
    DICOM_ARTIM_S: '5',
    DICOM_IDLE_S: '5',
    DRAIN_S: '2',
    LOG_LEVEL: 'error',
  };
  program = await startProgram({ dataFolder: join(temp.path, 'data'), env });
  // What is made once, before anything is measured: journals, connections, compiled code.
  await honest('WARM', 50);
  before = { memory: resident('VmRSS'), descriptors: descriptors() };
});
afterAll(async () => {
  await program?.child.stop(20_000);
  await db?.drop();
  await temp?.remove();
});

const resident = (name: string): number =>
  1024 *
  Number(
    new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(
      readFileSync(`/proc/${program.child.pid}/status`, 'utf8'),
    )![1],
  );
const descriptors = (): number => readdirSync(`/proc/${program.child.pid}/fd`).length;
const count = async (sql: string, values: unknown[] = []): Promise<number> =>
  Number((await db.database.query<{ n: number }>(`select count(*) as n from ${sql}`, values)).rows[0]!.n);

/** One association of the honest sender; every object of it must be answered Success and be in the index. */
async function honest(aeTitle: string, objects = SERIES): Promise<{ ms: number }> {
  const script = join(import.meta.dirname, 'timed-sender.ts');
  const child = await startChild({
    command: process.execPath,
    args: [script, String(program.dicomPort), aeTitle, String(objects), String(OBJECT_BYTES)],
    ready: () => true,
  });
  expect(await child.exited, child.output().slice(-2000)).toBe(0);
  // Of a long list only the end is kept.
  const { ms, answers } = JSON.parse(
    child
      .output()
      .trimEnd()
      .split('\n')
      .at(-1)!
      .replace(/"stored":\[[^\]]*\]/, '"stored":[]'),
  ) as { ms: number; answers: number[] };
  expect(answers, `answers to ${aeTitle}`).toEqual([]);
  return { ms };
}

/**
 * Runs the honest sender while `harm` goes on, which is told when it may end. Its time is compared with its time alone
 * just before and just after; what else this machine does in between is no verdict, so a slow run is looked at again.
 */
async function beside(name: string, harm: (over: AbortSignal) => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const aeTitle = `${name.slice(0, 9).toUpperCase().replaceAll(' ', '_')}_${attempt}`;
    const first = await honest(`${aeTitle}_A`);
    const over = new AbortController();
    const harming = harm(over.signal);
    let meanwhile: { ms: number };
    try {
      [meanwhile] = await Promise.all([honest(`${aeTitle}_B`).finally(() => over.abort()), harming]);
    } finally {
      over.abort();
      await harming.catch(() => undefined);
    }
    const last = await honest(`${aeTitle}_C`);
    const aloneMs = (first.ms + last.ms) / 2;
    const factor = meanwhile.ms / aloneMs;
    process.stdout.write(
      `beside ${name}: ${SERIES} objects in ${Math.round(meanwhile.ms)} ms, alone ${Math.round(aloneMs)} ms: ${factor.toFixed(2)} ×\n`,
    );
    for (const part of ['A', 'B', 'C']) {
      const from = 'object o join reception r on r.id = o.reception where r.calling_ae = $1';
      expect(await count(from, [`${aeTitle}_${part}`]), `${aeTitle}_${part}`).toBe(SERIES);
    }
    if (factor < FACTOR || ATTEMPTS === 0) return;
    expect(attempt, `${factor.toFixed(2)} × slower beside ${name}, again and again`).toBeLessThan(ATTEMPTS);
  }
}

interface Conversation {
  received: ReadPdu[];
  /** Statuses of C-STORE responses. */
  answers: number[];
}

/** Sends these bytes, ends its own side, and waits until the other is closed too. */
async function hold(bytes: readonly Buffer[]): Promise<Conversation> {
  const peer = await connectRaw(program.dicomPort);
  const received: ReadPdu[] = [];
  const reading = (async () => {
    for (let pdu = await peer.next(); pdu; pdu = await peer.next()) received.push(pdu);
  })();
  for (const piece of bytes) {
    peer.send(piece);
    if (random.happens(0.2)) await sleep(1);
  }
  // A modality that has said what it had to say; what is answered is still read.
  if (random.happens(0.5)) await Promise.race([peer.closed, sleep(20)]);
  peer.socket.end();
  const closed = await Promise.race([peer.closed.then(() => true), sleep(HELD_MS, false, { ref: false })]);
  peer.socket.destroy();
  expect(closed, `kept open for ${HELD_MS} ms (seed ${random.seed})`).toBe(true);
  await reading;
  return { received, answers: received.flatMap(statusesIn) };
}

function statusesIn({ type, body }: ReadPdu): number[] {
  if (type !== 4) return [];
  const command = readCommand(body.subarray(6));
  return command[0x0900] ? [command[0x0900].readUInt16LE(0)] : [];
}

async function changedPdu(fault: Fault): Promise<void> {
  const object = anObject({ pixelBytes: random.whole(0, 2000) * 2 });
  const pdus = fault.apply(conversation(object, 'CHANGED', random), random);
  const { received, answers } = await hold(pdus);
  const what = `${fault.name} (seed ${random.seed})`;
  // Accept, reject, a response, the end of the association or an abort: nothing else is ever said.
  for (const { type } of received) expect([2, 3, 4, 6, 7], what).toContain(type);
  if (fault.keepsTheObject && answers.includes(0)) {
    const stored = await eventually(
      () => originalDataSet(program, object.sop).catch(() => undefined),
      `${object.sop}, which was answered Success after ${what}`,
    );
    const sent = fault.mayEndSooner ? object.dataSet.subarray(0, stored.length) : object.dataSet;
    expect(stored.equals(sent), what).toBe(true);
  }
}

async function allChanged(over: AbortSignal): Promise<void> {
  let done = 0;
  const one = async (): Promise<void> => {
    while (done < CHANGED || !over.aborted) {
      const fault = faults[done++ % faults.length]!;
      await changedPdu(fault);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function opened(calling: string): Promise<RawPeer> {
  const peer = await connectRaw(program.dicomPort);
  await peer.associate({ calling });
  return peer;
}

describe('forms of a message that PS3.8 allows', () => {
  const object = anObject({ pixelBytes: 64 });

  it('cut at every boundary, several PDVs in a PDU, PDVs of nothing: always the same object', async () => {
    const peer = await opened('FORMS');
    let messageId = 0;
    for (let at = 0; at <= object.dataSet.length; at++) {
      peer.send(otherForm(++messageId, object, at, at));
      expect((await peer.response()).status, `cut at ${at}`).toBe(0);
    }
    peer.send(releaseRequest);
    expect((await peer.next())?.type).toBe(6);
    await isStoredOnce(object);
  }, 60_000);

  it(
    'one byte at a time, and in two pieces cut at any byte',
    async () => {
      const bytes = Buffer.concat(conversation(object, 'BYTES', random));
      for (let round = 0; round < times(2, 10); round++) {
        const pieces = [...bytes].map((byte) => Buffer.from([byte]));
        await saysAll(pieces, 0);
      }
      for (let n = 0; n < times(100, 1000); n++) {
        const at = random.whole(1, bytes.length - 1);
        await saysAll([bytes.subarray(0, at), bytes.subarray(at)], 1);
      }
      await isStoredOnce(object);
    },
    limitMs(60_000, 300_000),
  );

  /** Each piece in a segment of its own, as far as the kernel lets it. */
  async function saysAll(pieces: readonly Buffer[], pauseMs: number): Promise<void> {
    const peer = await connectRaw(program.dicomPort);
    for (const piece of pieces) {
      peer.send(piece);
      await (pauseMs > 0 ? sleep(pauseMs) : new Promise((resolve) => setImmediate(resolve)));
    }
    const types: number[] = [];
    for (let n = 0; n < 3; n++) types.push((await peer.next())?.type ?? 0);
    peer.socket.destroy();
    expect(types).toEqual([2, 4, 6]);
  }

  async function isStoredOnce({ sop, dataSet }: AnObject): Promise<void> {
    expect((await originalDataSet(program, sop)).equals(dataSet)).toBe(true);
    expect(await count('object where sop_uid = $1', [sop])).toBe(1);
    expect(await count('conflict where sop_uid = $1', [sop])).toBe(0);
  }
});

describe('an honest sender', () => {
  it('beside 2,000 changed PDUs', () => beside('changed PDUs', allChanged), limitMs(180_000, 600_000));

  it(
    'beside half-open sockets, before and within an association and within an object',
    async () => {
      const sockets: net.Socket[] = [];
      await beside('half-open sockets', async (over) => {
        for (const socket of sockets.splice(0)) socket.destroy();
        const object = anObject({ pixelBytes: 100_000 });
        for (let n = 0; n < HALF_OPEN; n++) {
          const begun = await connectRaw(program.dicomPort);
          begun.send(associateRequest({ calling: 'HALF' }).subarray(0, 5 + n * 4));
          const within = await opened('HALF');
          within.send(
            pdata(pdv(1, 3, storeCommand(1, object.sop, CT))),
            pdata(pdv(1, 0, object.dataSet.subarray(0, 10_000))).subarray(0, n % 3 === 0 ? 5000 : undefined),
          );
          // The other end is gone and nobody says so: nothing more is read, nothing more is sent.
          for (const { socket } of [begun, within]) {
            socket.pause();
            sockets.push(socket);
          }
          // The server ends the silent ones by itself; a place is needed for the next.
          if (over.aborted) break;
        }
      });
      await eventually(
        async () => ((await count("refusal where code = 'silent'")) > 0 ? true : undefined),
        'the refusal of the silent',
        30_000,
      );
      for (const socket of sockets) socket.destroy();
    },
    limitMs(120_000, 300_000),
  );

  it(
    'beside slow senders, whose objects come through too',
    async () => {
      const slow: AnObject[] = [];
      await beside('slow senders', async (over) => {
        await Promise.all(
          Array.from({ length: SLOW }, async () => {
            const peer = await opened('SLOW');
            const object = anObject({ pixelBytes: 40_000 });
            const bytes = Buffer.concat([
              pdata(pdv(1, 3, storeCommand(1, object.sop, CT))),
              pdata(
                pdv(1, 0, object.dataSet.subarray(0, 20_000)),
                pdv(1, 2, object.dataSet.subarray(20_000)),
              ),
            ]);
            for (let at = 0; at < bytes.length; at += 400) {
              peer.send(bytes.subarray(at, at + 400));
              // Slow as long as the honest one is there, and then to the end.
              await sleep(over.aborted ? 0 : 20);
            }
            expect((await peer.response()).status).toBe(0);
            peer.send(releaseRequest);
            expect((await peer.next())?.type).toBe(6);
            peer.socket.destroy();
            slow.push(object);
          }),
        );
      });
      expect(slow).toHaveLength(SLOW);
      for (const { sop, dataSet } of slow)
        expect((await originalDataSet(program, sop)).equals(dataSet)).toBe(true);
    },
    limitMs(120_000, 300_000),
  );

  it(
    'beside 500 connections that say nothing, which end within the time for a request',
    async () => {
      const silent: net.Socket[] = [];
      const closed: Promise<void>[] = [];
      const connect = async (): Promise<void> => {
        const { socket, closed: end } = await connectRaw(program.dicomPort);
        silent.push(socket);
        closed.push(end);
      };
      for (let n = 0; n < SILENT; n++) await connect();
      await beside('500 silent connections', async (over) => {
        // Those that had to make room come again, a hundred a second: more would be a flood, another story.
        while (!over.aborted) {
          if (silent.filter(({ destroyed }) => !destroyed).length < SILENT) await connect();
          await sleep(10);
        }
      });
      const all = Promise.all(closed).then(() => true);
      expect(await Promise.race([all, sleep(HELD_MS, false, { ref: false })])).toBe(true);
    },
    limitMs(120_000, 300_000),
  );
});

it('afterwards memory, descriptors and receptions are where they were, and what was refused is listed', async () => {
  await eventually(
    async () => (descriptors() <= before.descriptors + 10 ? true : undefined),
    `${before.descriptors} descriptors`,
    30_000,
  );
  await eventually(
    async () => ((await count('reception where closed_at is null')) === 0 ? true : undefined),
    'the end of all receptions',
    30_000,
  );
  const peak = resident('VmHWM');
  expect(peak - before.memory).toBeLessThan(GROWTH);
  const { rows } = await db.database.query<{ what: string; code: string; times: number; rows: number }>(
    `select what, code, sum(times)::bigint as times, count(*) as rows from refusal group by 1, 2 order by 1, 2`,
  );
  process.stdout.write(
    `memory ${mega(before.memory)} → at most ${mega(peak)} MB; refused: ` +
      `${rows.map((row) => `${row.what} ${row.code} ${row.times} in ${row.rows} rows`).join(', ')}\n`,
  );
  const codes = rows.map(({ what, code }) => `${what} ${code}`);
  for (const code of [
    'association malformed',
    'association unexpected',
    'association silent',
    'object unreadable',
  ])
    expect(codes).toContain(code);
  expect((await honest('AFTER', 50)).ms).toBeGreaterThan(0);
}, 120_000);

const mega = (bytes: number): number => Math.round(bytes / 2 ** 20);
