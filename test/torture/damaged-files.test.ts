/**
 * Every damaged file of the corpus through both doors of the program as it is installed, in a process of its own:
 * what others can read is accepted and is there byte for byte, after a restart too; the rest is refused with a reason
 * that is listed. Each is answered, the process lives, and its memory and descriptors stay where they were.
 * Then each in an archive of its own, where nothing came before it: some in the short form, all in the long one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DamagedFile, damagedFiles } from '../conformance/damaged-files.ts';
import { element } from '../dicom/elements.ts';
import { anObject } from '../support/an-object.ts';
import { corpusFolder } from '../support/corpus.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { eventually, openHouse } from '../support/house.ts';
import { fileOf, originalDataSet, type SentObject, sendObjects } from '../support/modality.ts';
import { type Program, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { limitMs, times } from './scale.ts';

/** The issue says 5 s; the short form runs beside other suites, and there the bound only tells an answer from a hang. */
const ANSWER_MS = times(20_000, 5000);
const GROWTH = 500 * 1024 * 1024;

const REFUSED = new Set([0xa900, 0xc000]);

/** Its status over DIMSE, within the limit. */
async function send(
  to: { dicomPort: number },
  object: SentObject,
): Promise<{ status: number; comment: string }> {
  const late = AbortSignal.timeout(ANSWER_MS);
  const { promise, reject } = Promise.withResolvers<never>();
  late.addEventListener('abort', () => reject(new Error(`no answer over DIMSE within ${ANSWER_MS} ms`)));
  const [answer] = await Promise.race([sendObjects(to, 'DAMAGED', [object]), promise]);
  return answer!;
}

/** Its FailureReason over STOW, 0 when stored, and the UID it was stored under. */
async function post(to: { url: string }, file: Buffer): Promise<{ status: number; sop?: string }> {
  const response = await fetch(`${to.url}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'content-type': 'application/dicom' },
    body: new Uint8Array(file),
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  const answer = (await response.json()) as Record<string, { Value?: Record<string, { Value: never[] }>[] }>;
  const stored = answer['00081199']?.Value?.[0];
  if (stored) return { status: 0, sop: stored['00081155']!.Value[0]! };
  const failed = answer['00081198']?.Value?.[0] ?? answer['0008119A']?.Value?.[0];
  return { status: failed?.['00081197']?.Value[0] ?? response.status };
}

/** Resident bytes now and at their highest; open descriptors. */
function footprint(pid: number): { now: number; peak: number; descriptors: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)![1]);
  return {
    now: kilobytes('VmRSS') * 1024,
    peak: kilobytes('VmHWM') * 1024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  };
}

/** A data set whose sequences stand in each other so deep, with UIDs and lengths that make sense. */
function nested(depth: number, form: 'defined' | 'undefined'): SentObject & { name: string } {
  const tag = (name: string, length: number): Buffer => {
    const header = Buffer.alloc(8);
    header.writeUInt16LE(Number.parseInt(name.slice(0, 4), 16), 0);
    header.writeUInt16LE(Number.parseInt(name.slice(4), 16), 2);
    header.writeUInt32LE(length, 4);
    return header;
  };
  const heads: Buffer[] = [];
  const tails: Buffer[] = [];
  // From the innermost outwards, so that each knows what it holds.
  for (let level = 0, held = 0; level < depth; level++, held += 20) {
    const length = form === 'undefined' ? 0xffffffff : held;
    heads.push(
      tag('FFFEE000', length),
      element('00081140', 'SQ', '', { length: form === 'undefined' ? length : held + 8 }),
    );
    if (form === 'undefined') tails.push(tag('FFFEE00D', 0), tag('FFFEE0DD', 0));
  }
  const { declared, dataSet } = anObject();
  const at = dataSet.indexOf(Buffer.from([0x10, 0, 0x10, 0]));
  const parts = [dataSet.subarray(0, at), ...heads.reverse(), ...tails, dataSet.subarray(at)];
  return { name: `${depth} levels of ${form} length`, declared, dataSet: Buffer.concat(parts) };
}

describe.skipIf(!corpusFolder)('damaged files (../shared/corpus) and the whole program', () => {
  const files = damagedFiles();
  let temp: TempFolder;
  let db: TestDatabase;
  let program: Program;
  const start = async (): Promise<void> => {
    program = await startProgram({ dataFolder: `${temp.path}/data`, env: { DATABASE_URL: db.url } });
  };
  beforeAll(async () => {
    temp = await tempFolder('damaged');
    db = await testDatabase();
    await start();
  });
  afterAll(async () => {
    await program?.child.stop(20_000);
    await db?.drop();
    await temp?.remove();
  });
  const reasons = async (what: string): Promise<{ n: number; words: string }> => {
    const { rows } = await db.database.query<{ times: number; reason: string; cause: string | null }>(
      'select times, reason, cause from refusal where what = $1',
      [what],
    );
    return {
      n: rows.reduce((sum, row) => sum + row.times, 0),
      words: rows.map(({ reason, cause }) => `${reason} ${cause ?? ''}`).join('\n'),
    };
  };
  const first = new Map<string, Buffer>();

  it(
    'accepts what others can read, refuses the rest in words, and lives',
    async () => {
      const control = anObject();
      expect((await send(program, control)).status).toBe(0);
      // STOW's intake starts with the first STOW.
      expect((await post(program, fileOf(anObject()))).status).toBe(0);
      const before = footprint(program.child.pid);
      let refusedObjects = 0;
      let refusedParts = 0;
      for (const damaged of files) {
        if (damaged.dataSet.length > 0) {
          const { status, comment } = await send(program, damaged);
          if (damaged.sound) expect(status, `${damaged.name} over DIMSE: ${comment}`).toBe(0);
          if (status !== 0) {
            expect(REFUSED, damaged.name).toContain(status);
            expect(comment, damaged.name).toMatch(/.{10}/);
            refusedObjects++;
          } else if (!first.has(damaged.declared.sopInstanceUid))
            first.set(damaged.declared.sopInstanceUid, damaged.dataSet);
        }
        const { status, sop } = await post(program, damaged.file);
        if (damaged.soundFile) expect(status, `${damaged.name} over STOW`).toBe(0);
        if (status !== 0) {
          expect(REFUSED, damaged.name).toContain(status);
          refusedParts++;
        } else expect(sop, damaged.name).toMatch(/^[\d.]+$/);
      }
      const after = footprint(program.child.pid);
      process.stdout.write(
        `damaged files: ${files.length}, of which sound ${files.filter(({ sound }) => sound).length}; refused over DIMSE ` +
          `${refusedObjects}, over STOW ${refusedParts}; memory ${mega(before.now)} → at most ${mega(after.peak)} MB\n`,
      );
      expect(files.length).toBeGreaterThan(150);
      expect(refusedObjects).toBeGreaterThan(10);
      expect(after.peak - before.now).toBeLessThan(GROWTH);
      await eventually(async () => {
        const listed = [await reasons('object'), await reasons('part')];
        return listed[0]!.n === refusedObjects && listed[1]!.n === refusedParts ? listed : undefined;
      }, 'a reason for each refusal');
      const words = (await reasons('object')).words + (await reasons('part')).words;
      for (const value of new Set(files.flatMap(({ patient }) => patient)))
        expect(words).not.toContain(value);
      const next = anObject();
      expect((await send(program, next)).status).toBe(0);
      await eventually(
        async () => (footprint(program.child.pid).descriptors <= before.descriptors + 10 ? true : undefined),
        'the descriptors that were opened',
      );
    },
    limitMs(240_000, 600_000),
  );

  it('has what it accepted, byte for byte, also after a restart', async () => {
    for (const round of ['before', 'after']) {
      if (round === 'after') {
        expect(await program.child.stop(30_000)).toBeUndefined();
        await start();
      }
      for (const [sop, dataSet] of first)
        expect((await originalDataSet(program, sop)).equals(dataSet), `${sop} ${round}`).toBe(true);
    }
    expect(first.size).toBeGreaterThan(20);
  }, 180_000);

  it('reads nests to their bottom or refuses them in words, and shows what it took', async () => {
    const before = footprint(program.child.pid);
    for (const form of ['defined', 'undefined'] as const)
      for (const depth of [10, 250, 300, 1000, 20_000, 100_000]) {
        const nest = nested(depth, form);
        const { status, comment } = await send(program, nest);
        const posted = await post(program, fileOf({ ...nested(depth, form) }));
        expect(posted.status, nest.name).toBe(status);
        if (depth <= 250) expect(status, `${nest.name}: ${comment}`).toBe(0);
        if (status !== 0) expect(comment, nest.name).toMatch(/nested deeper than 256/);
        else {
          const sop = nest.declared.sopInstanceUid;
          const { rows } = await db.database.query<{ study: string; series: string }>(
            `select s.study_uid as study, e.series_uid as series from instance i join series e on e.id = i.series
             join study s on s.id = e.study where i.sop_uid = $1`,
            [sop],
          );
          const { study, series } = rows[0]!;
          const answer = await fetch(
            `${program.url}/dicom-web/studies/${study}/series/${series}/instances/${sop}/metadata`,
            { signal: AbortSignal.timeout(ANSWER_MS) },
          );
          await answer.arrayBuffer();
          expect([200, 406, 501], nest.name).toContain(answer.status);
        }
      }
    expect((await send(program, anObject())).status).toBe(0);
    expect(footprint(program.child.pid).peak - before.now).toBeLessThan(GROWTH);
  }, 180_000);
});

describe.skipIf(!corpusFolder)('each damaged file (../shared/corpus) in an archive of its own', () => {
  const all = damagedFiles().filter(({ dataSet }) => dataSet.length > 0);
  /** What the notes call legal, and a few of the others, all along the list. */
  const some = all.filter(({ sound, name }, n) =>
    /^\d\d-/.test(name) && sound ? n % 4 === 0 : n % 30 === 0,
  );
  it.each(times(0, 1) === 1 ? all : some)('$name', async (damaged: DamagedFile) => {
    const before = process.memoryUsage.rss();
    for (const door of ['DIMSE', 'STOW'] as const) {
      const house = await openHouse({ RECEIVERS: '1', DRAIN_S: '1' });
      try {
        const over = door === 'DIMSE' ? await send(house, damaged) : await post(house, damaged.file);
        if (door === 'DIMSE' ? damaged.sound : damaged.soundFile) expect(over.status, door).toBe(0);
        if (over.status === 0) {
          const sop = 'sop' in over ? over.sop! : damaged.declared.sopInstanceUid;
          expect((await originalDataSet(house, sop)).equals(damaged.dataSet), door).toBe(true);
        } else expect(REFUSED, door).toContain(over.status);
        const sound = anObject();
        expect((await send(house, sound)).status).toBe(0);
        const counted = await house.db.database.query('select count(*) as n from instance');
        expect(counted.rows[0]!.n, door).toBe(over.status === 0 ? 2 : 1);
      } finally {
        await house.close();
      }
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(GROWTH);
  });
});

const mega = (bytes: number): number => Math.round(bytes / 2 ** 20);
