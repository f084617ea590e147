/**
 * Postgres dies or hangs, and disks fill up or turn read-only, while a modality sends: what was acknowledged is there
 * byte for byte and indexed once when it is over, and what was not was told to come again.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type AnObject, anObject, aSeries } from '../support/an-object.ts';
import { eventually } from '../support/house.ts';
import { type LoopMount, loopMount } from '../support/loop-mount.ts';
import { fileOf, multipart, originalDataSet, stow } from '../support/modality.ts';
import { peer } from '../support/peers.ts';
import { openEmbedded, type Program, postgresOf, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { type Diary, isTransient, openDiary, sendHonestly } from './honest-sender.ts';
import { limitMs, times } from './scale.ts';

const MB = 1024 * 1024;

interface Asked {
  status: number;
  text: string;
  ms: number;
}

async function ask({ url }: Program, path: string): Promise<Asked> {
  const before = Date.now();
  const answer = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(60_000) });
  return { status: answer.status, text: await answer.text(), ms: Date.now() - before };
}

const isReady = async (program: Program): Promise<true | undefined> =>
  (await ask(program, '/health/ready')).status === 200 ? true : undefined;

const settled = async (program: Program): Promise<true | undefined> => {
  const { status, text } = await ask(program, '/health/ready');
  return status === 200 &&
    (JSON.parse(text) as { journal: { heldObjects: number } }).journal.heldObjects === 0
    ? true
    : undefined;
};

/** Every object that was acknowledged, with its bytes, once; nothing else in the index, nothing in quarantine. */
async function expectAll(program: Program, dataFolder: string, objects: readonly AnObject[]): Promise<void> {
  await eventually(() => settled(program), 'the end of settling', 90_000);
  const db = await openEmbedded(dataFolder);
  try {
    // What ready says of the journal may be a second old.
    await eventually(async () => {
      const left = await db.query("select 1 from object where location <> 'store'");
      return left.rowCount === 0 ? true : undefined;
    }, 'the placing of all');
    const { rows } = await db.query<{ sop: string }>('select sop_uid as sop from instance');
    expect(rows.map(({ sop }) => sop).sort()).toEqual(objects.map(({ sop }) => sop).sort());
    const found = await db.query("select 1 from object where role <> 'current'");
    expect(found.rowCount).toBe(0);
    expect((await db.query('select 1 from quarantine')).rowCount).toBe(0);
  } finally {
    await db.end();
  }
  for (const object of objects)
    expect((await originalDataSet(program, object.sop)).equals(object.dataSet)).toBe(true);
}

const expectTransient = ({ refusals }: Diary): void =>
  expect(refusals.filter((refusal) => !isTransient(refusal))).toEqual([]);

function postmaster(dataFolder: string): number {
  return Number(readFileSync(join(dataFolder, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0]);
}

describe('the embedded Postgres', () => {
  let temp: TempFolder;
  let data: string;
  let program: Program;
  const acknowledged: AnObject[] = [];
  beforeAll(async () => {
    temp = await tempFolder('stores');
    data = join(temp.path, 'data');
    program = await startProgram({ dataFolder: data });
  });
  afterAll(async () => {
    await program?.child.stop(20_000);
    for (const pid of postgresOf(data)) process.kill(pid, 'SIGKILL');
    await temp?.remove();
  });

  it(
    'killed in the middle of an association is started again, and nobody was refused',
    async () => {
      for (let round = 0; round < times(3, 50); round++) {
        const pid = postmaster(data);
        const diary = await sendHonestly({
          dicomPort: program.dicomPort,
          objects: [...aSeries(20, { pixelBytes: 30_000 }), anObject({ pixelBytes: 2 * MB })],
          during: { after: 1 + (round % 15), act: async () => process.kill(pid, 'SIGKILL') },
        });
        expect(diary).toMatchObject({ refusals: [], lost: 0 });
        acknowledged.push(...diary.acknowledged);
        await eventually(() => isReady(program), 'Postgres', 60_000);
        expect(postmaster(data)).not.toBe(pid);
      }
      await expectAll(program, data, acknowledged);
    },
    limitMs(120_000, 1_800_000),
  );

  it('that hangs keeps no modality waiting and no door longer than 5 s', async () => {
    const pids = [postmaster(data), ...childrenOf(postmaster(data))];
    const diary = await sendHonestly({
      dicomPort: program.dicomPort,
      objects: aSeries(20, { pixelBytes: 30_000 }),
      during: {
        after: 5,
        async act() {
          for (const pid of pids) signalIfThere(pid, 'SIGSTOP');
        },
      },
    });
    try {
      expect(diary).toMatchObject({ refusals: [], lost: 0 });
      const answers = await Promise.all(
        ['/dicom-web/studies', '/health/ready', '/metrics', '/api/overview'].map((path) =>
          ask(program, path),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual([503, 503, 200, 503]);
      // The promise is 5 s; the rest is for a busy machine.
      for (const { ms } of answers) expect(ms).toBeLessThan(8000);
      expect(answers[1]!.text).toMatch(/"database":\{"away":".+","since":"20.+"\}/);
      expect(answers[2]!.text).toMatch(/isocenter_journal_held_objects [1-9]/);
    } finally {
      for (const pid of pids) signalIfThere(pid, 'SIGCONT');
    }
    acknowledged.push(...diary.acknowledged);
    await expectAll(program, data, acknowledged);
  }, 120_000);

  it('that hangs does not hold up the end, and the next start has everything', async () => {
    const pids = [postmaster(data), ...childrenOf(postmaster(data))];
    for (const pid of pids) signalIfThere(pid, 'SIGSTOP');
    const diary = await sendHonestly({ dicomPort: program.dicomPort, objects: aSeries(5) });
    acknowledged.push(...diary.acknowledged);
    program.child.signal('SIGTERM');
    await sleep(8000);
    for (const pid of pids) signalIfThere(pid, 'SIGCONT');
    expect(await program.child.exited).toBe(0);
    program = await startProgram({ dataFolder: data });
    await expectAll(program, data, acknowledged);
  }, 120_000);
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(Number);
}

/** Of the Failed SOP Sequence, in order. */
function failureReasons(answer: unknown): unknown {
  const failed = (answer as Record<string, { Value?: Record<string, { Value: unknown[] }>[] }>)['00081198'];
  return failed?.Value?.map((item) => ({
    sop: item['00081155']?.Value[0],
    reason: item['00081197']?.Value[0],
  }));
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (thrown) {
    // A backend whose connection was given up has gone meanwhile.
    if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown;
  }
}

/** One disk for everything, one of its own for the objects, one for Postgres. */
describe.skipIf(!peer('loop-mount'))('a disk (loop-mount)', () => {
  let temp: TempFolder;
  let data: string;
  const disks: Record<'all' | 'objects' | 'postgres', LoopMount | undefined> = {
    all: undefined,
    objects: undefined,
    postgres: undefined,
  };
  let program: Program;
  const acknowledged: AnObject[] = [];
  // The images of the others lie on the first: it has room for them, the journal and the reserve.
  const env = { DISK_RESERVE: '200MB', JOURNAL_LIMIT: '128MB', RECEIVERS: '1' };
  beforeAll(async () => {
    temp = await tempFolder('disks');
    data = join(temp.path, 'data');
    disks.all = await loopMount(data, 1300);
    program = await startDisks();
  });
  const startDisks = async (): Promise<Program> => {
    disks.objects ??= await loopMount(join(data, 'objects'), 400);
    disks.postgres ??= await loopMount(join(data, 'postgres'), 250);
    return startProgram({ dataFolder: data, env });
  };
  // A test that failed leaves the next a disk that is well.
  afterEach(async () => {
    for (const disk of Object.values(disks)) await disk?.free().catch(() => undefined);
    await disks.objects?.readOnly(false);
  });
  afterAll(async () => {
    await program?.child.stop(20_000);
    for (const pid of postgresOf(data)) process.kill(pid, 'SIGKILL');
    await sleep(500);
    for (const name of ['postgres', 'objects', 'all'] as const) await disks[name]?.unmount();
    await temp?.remove();
  });

  /** Sends until `refusals` are heard, then makes it well: the sender must get everything in. */
  async function sendThrough(
    ill: () => Promise<unknown>,
    well: () => Promise<unknown>,
    objects: AnObject[],
    meanwhile: (diary: Asked) => void = () => undefined,
  ): Promise<Diary> {
    const diary = await sendHonestly({
      dicomPort: program.dicomPort,
      objects,
      during: {
        after: 3,
        act: ill,
        async beside() {
          await sleep(4000);
          meanwhile(await ask(program, '/health/ready'));
          await well();
        },
      },
    });
    acknowledged.push(...diary.acknowledged);
    expectTransient(diary);
    return diary;
  }

  it('that is full but for the reserve: 0xA700, Postgres lives, and the sender gets in when there is room', async () => {
    const { refusals } = await sendThrough(
      () => disks.all!.fill(190 * MB),
      async () => {
        // Refused, and everything else works.
        expect((await ask(program, '/dicom-web/studies')).status).toBeLessThan(300);
        await disks.all!.free();
      },
      aSeries(40, { pixelBytes: 2 * MB }),
      ({ text }) => expect(text).toContain('DISK_RESERVE'),
    );
    expect(refusals.length).toBeGreaterThan(0);
    expect(refusals[0]!.comment).toContain('DISK_RESERVE');
    await expectAll(program, data, acknowledged);
  }, 120_000);

  it('of the objects that is full: the journal takes them up to its limit, then 0xA700 and 507, and all is drained', async () => {
    const stowed = [anObject(), anObject()];
    const body = multipart(stowed.map(fileOf));
    let refused: { status: number; reasons: unknown } | undefined;
    const { refusals } = await sendThrough(
      () => disks.objects!.fill(0),
      async () => {
        const response = await stow(program, body);
        refused = { status: response.status, reasons: failureReasons(await response.json()) };
        await disks.objects!.free();
      },
      aSeries(20, { pixelBytes: 8 * MB }),
      ({ text }) => expect(text).toMatch(/no-space|full/),
    );
    expect(refusals.length).toBeGreaterThan(0);
    expect(refusals.filter(({ comment }) => !comment.includes('(JOURNAL_LIMIT)'))).toEqual([]);
    expect(refused).toEqual({ status: 507, reasons: stowed.map(({ sop }) => ({ sop, reason: 0xa700 })) });
    await eventually(async () => ((await stow(program, body)).status === 200 ? true : undefined), 'the STOW');
    acknowledged.push(...stowed);
    await expectAll(program, data, acknowledged);
  }, 120_000);

  it('of the objects that turns read-only: the same', async () => {
    const { refusals } = await sendThrough(
      () => disks.objects!.readOnly(true),
      () => disks.objects!.readOnly(false),
      aSeries(12, { pixelBytes: 300_000 }),
      ({ status, text }) => expect([status, text]).toEqual([503, expect.stringContaining('read-only')]),
    );
    expect(refusals).toEqual([]);
    await expectAll(program, data, acknowledged);
  }, 120_000);

  it("of Postgres' WAL that is full: objects are taken all the same, and Postgres comes back when there is room", async () => {
    await sendThrough(
      () => disks.postgres!.fill(0),
      () => disks.postgres!.free(),
      aSeries(12, { pixelBytes: 20_000 }),
    );
    await expectAll(program, data, acknowledged);
  }, 180_000);

  it('of everything that turns read-only under open files: refused or cut off, and all acknowledged is there after the repair', async () => {
    const objects = aSeries(30, { pixelBytes: 200_000 });
    const diary = openDiary();
    const sending = sendHonestly({
      dicomPort: program.dicomPort,
      objects,
      during: { after: 5, act: () => disks.all!.abort() },
      limitMs: 6000,
      diary,
    });
    // That nothing gets in any more is what a disk that is gone means.
    await expect(sending).rejects.toThrow('not all were taken');
    expectTransient(diary);
    expect(diary.refusals.length + diary.lost).toBeGreaterThan(0);
    expect(diary.acknowledged.length).toBeGreaterThanOrEqual(5);
    acknowledged.push(...diary.acknowledged);
    await program.child.stop(20_000);
    for (const pid of postgresOf(data)) process.kill(pid, 'SIGKILL');
    await sleep(500);
    for (const name of ['postgres', 'objects', 'all'] as const) await disks[name]!.detach();
    for (const name of ['all', 'objects', 'postgres'] as const) {
      await disks[name]!.attach();
      // That an earlier test gave its room back may not have reached the image before the fault.
      await disks[name]!.free();
    }
    program = await startDisks();
    await expectAll(program, data, acknowledged);
    // What was not taken is sent again.
    const left = objects.filter((object) => !diary.acknowledged.includes(object));
    acknowledged.push(...(await sendHonestly({ dicomPort: program.dicomPort, objects: left })).acknowledged);
    await expectAll(program, data, acknowledged);
  }, 180_000);
});
