/**
 * The order of a power cut's promises, by the system calls of the running program (strace): over DIMSE and STOW each
 * Success begins to be sent after the sync of its bytes has returned, and the journal's bytes are given up only after
 * their copies in the store are synced. A kill cannot show this: the kernel keeps what was not synced.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AnObject, anObject, aSeries } from '../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { fileOf, multipart, sendObjects, stow } from '../support/modality.ts';
import { peer } from '../support/peers.ts';
import { type Program, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { beforeReuse, beforeSuccess, journalEntries } from './durable-order.ts';
import { type Deeds, readTrace, traced } from './system-calls.ts';

const strace = peer('strace')?.strace;

/** The SOP instance that a C-STORE-RSP answers Success for (PS3.7 9.3.1.2); undefined for anything else. */
function successFor(bytes: Buffer): string | undefined {
  if (bytes[0] !== 4) return undefined;
  const elements = new Map<number, Buffer>();
  // P-DATA-TF header 6, PDV length 4, context and control 2; a command set is Implicit VR Little Endian.
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4);
    elements.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  const isStoreResponse = elements.get(0x0100)?.readUInt16LE() === 0x8001;
  if (!isStoreResponse || elements.get(0x0900)?.readUInt16LE() !== 0) return undefined;
  return elements.get(0x1000)?.toString('latin1').replace(/\0$/, '');
}

describe.skipIf(!strace)('what is synced before it is promised (strace)', () => {
  let temp: TempFolder;
  let db: TestDatabase;
  let deeds: Deeds;
  const acknowledged: string[] = [];
  const stowed: AnObject[][] = [];

  beforeAll(async () => {
    temp = await tempFolder('strace');
    db = await testDatabase();
    // Folders that are not there yet: their names have to last as well.
    const dataFolder = join(temp.path, 'a/data');
    const trace = join(temp.path, 'trace');
    const program = await startProgram({
      dataFolder,
      env: { DATABASE_URL: db.url },
      prefix: traced(strace!, trace),
    });
    try {
      await sendAll(program);
    } finally {
      // strace passes signals on to nobody: the program itself is told.
      const { pid } = program.child;
      const [traced] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
      process.kill(Number(traced), 'SIGTERM');
      await program.child.exited;
    }
    deeds = readTrace(readFileSync(trace, 'utf8'), (path) => path.startsWith(temp.path));
  }, 120_000);
  afterAll(async () => {
    await db?.drop();
    await temp?.remove();
  });

  async function sendAll(program: Program): Promise<void> {
    const send = async (ae: string, objects: AnObject[]): Promise<void> => {
      for (const [n, { status }] of (await sendObjects(program, ae, objects)).entries())
        if (status === 0) acknowledged.push(objects[n]!.sop);
    };
    // Four at once, more than two segments hold, small ones between; one object outgrows a segment.
    const series = Array.from({ length: 4 }, () => [
      ...aSeries(8, { pixelBytes: 2_400_000 }),
      ...aSeries(20, { pixelBytes: 3000 }),
    ]);
    series[3]!.push(anObject({ pixelBytes: 33 * 1024 * 1024 }));
    await Promise.all(series.map((objects, n) => send(`CT${n}`, objects)));
    await send('AGAIN', series[0]!.slice(0, 10));
    for (let n = 0; n < 4; n++) {
      const objects = aSeries(3, { pixelBytes: 200_000 });
      const response = await stow(program, multipart(objects.map(fileOf)));
      expect(response.status).toBe(200);
      stowed.push(objects);
    }
    // A second round, over segments that were given back.
    await send('LATER', aSeries(30, { pixelBytes: 1_500_000 }));
  }

  const successes = () =>
    deeds.sent.flatMap(({ bytes, begin }) => {
      const sop = successFor(bytes);
      return sop === undefined ? [] : [{ sop, begin }];
    });
  const stowAnswers = () =>
    deeds.sent.filter(({ bytes }) => bytes.includes('HTTP/1.1 200') && bytes.includes('00081199'));

  it('each C-STORE Success: its record, its file of its own, and their names', () => {
    const answers = successes();
    expect(answers.map(({ sop }) => sop).sort()).toEqual([...acknowledged].sort());
    expect(acknowledged.length).toBeGreaterThan(140);
    expect(journalEntries(deeds).filter(({ meta }) => meta.external !== undefined)).toHaveLength(1);
    expect(answers.flatMap(({ sop, begin }) => beforeSuccess(deeds, sop, begin))).toEqual([]);
  });

  it('each STOW 200: every object it names', () => {
    const answers = stowAnswers();
    expect(answers).toHaveLength(stowed.length);
    const findings = answers.flatMap(({ begin }, n) =>
      stowed[n]!.flatMap(({ sop }) => beforeSuccess(deeds, sop, begin)),
    );
    expect(findings).toEqual([]);
  });

  it('a segment is given up, and a file of its own removed, after what it held is synced in the store', () => {
    const { ends, findings } = beforeReuse(deeds);
    expect(ends).toBeGreaterThan(3);
    expect(findings).toEqual([]);
  });

  it('would be seen to be missing, each of them', () => {
    const without = (ending: RegExp): Deeds => ({
      ...deeds,
      syncs: deeds.syncs.filter(({ path }) => !ending.test(path)),
    });
    const early = (crippled: Deeds) =>
      successes().filter(({ sop, begin }) => beforeSuccess(crippled, sop, begin).length > 0).length;
    expect(early(without(/\.seg$/))).toBe(acknowledged.length);
    expect(early(without(/\.obj$/))).toBe(1);
    expect(early(without(/\/journal\/[^/]+$/))).toBe(acknowledged.length);
    expect(early(without(/\/data$/))).toBe(acknowledged.length);
    expect(beforeReuse(without(/\.dcm$/)).findings.length).toBeGreaterThan(100);
    expect(beforeReuse(without(/\/objects\/..$/)).findings.length).toBeGreaterThan(100);
    expect(beforeReuse(without(/\.seg$/)).findings.length).toBeGreaterThan(0);
  });
});
