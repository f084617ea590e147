/**
 * The power is cut while modalities send: what the disk holds at that instant is all that the next start finds, for the
 * objects, the journal and the embedded Postgres alike. Every acknowledged object must be there. First the disk itself
 * is tried: it has to forget what was not synced, or it would prove nothing.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { peer } from '../support/peers.ts';
import { type Program, postgresOf, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { chance } from './chance.ts';
import { createPowerCutDisk, type PowerCutDisk, type WriteCache } from './power-cut-disk.ts';
import { limitMs, times } from './scale.ts';
import { type Owed, openBook, startSenders } from './senders.ts';
import { halfWritten, isReplayed, liveSegments, lostOrChanged } from './what-is-there.ts';

const CUTS = times(6, 50);
const ASSOCIATIONS = 4;
const MB = 1024 ** 2;

const tools = peer('loop-mount');

describe.skipIf(!tools)('the power is cut (loop-mount)', () => {
  let temp: TempFolder;
  let disk: PowerCutDisk | undefined;
  let running: Program | undefined;

  beforeEach(async () => {
    temp = await tempFolder('power');
  });
  afterEach(async () => {
    if (running && disk) kill(everyProcess(running, join(disk.path, 'data')), 'SIGKILL');
    running = undefined;
    await disk?.remove();
    disk = undefined;
    await temp.remove();
  });
  afterAll(() => {
    // Said by name: a mount that stays behind would keep its disk space for ever.
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
    expect(mounts.filter((line) => line.includes(temp.path))).toEqual([]);
  });

  describe.each<WriteCache>(['lost', 'saved'])('a disk whose write cache is %s', (cache) => {
    it('keeps what was synced and forgets what was not', async () => {
      disk = createPowerCutDisk(tools!, temp.path, 64 * MB);
      const at = (name: string): string => join(disk!.path, name);
      const write = (name: string, text: string, sync: boolean): void => {
        const fd = openSync(at(name), existsSync(at(name)) ? 'r+' : 'w');
        writeSync(fd, text);
        if (sync) fsyncSync(fd);
        closeSync(fd);
      };
      write('synced', 'synced', true);
      write('overwritten', 'old', true);
      writeFileSync(at('direct'), Buffer.alloc(4096, '-'), { flush: true });
      const folder = openSync(disk.path, 'r');
      fsyncSync(folder);
      closeSync(folder);
      write('unsynced', 'unsynced', false);
      write('overwritten', 'new', false);
      // Past the kernel's cache and into the drive's, with nobody asking the drive to flush.
      writeFileSync(join(temp.path, 'block'), Buffer.alloc(4096, '+'));
      const direct = ['oflag=direct', 'conv=notrunc', 'bs=4096', 'status=none'];
      execFileSync('dd', [`if=${join(temp.path, 'block')}`, `of=${at('direct')}`, ...direct]);

      await disk.cut(cache, () => {});

      const read = (name: string): string | undefined =>
        existsSync(at(name)) ? readFileSync(at(name), 'latin1') : undefined;
      expect(read('synced')).toBe('synced');
      expect(read('overwritten')).toBe('old');
      expect(read('unsynced') ?? '').toBe('');
      expect(read('direct')).toBe((cache === 'lost' ? '-' : '+').repeat(4096));
    });
  });

  it(
    `${CUTS} times while ${ASSOCIATIONS} associations and a STOW client send: everything acknowledged is there`,
    async () => {
      const random = chance();
      process.stdout.write(`power cut: TORTURE_SEED=${random.seed}\n`);
      disk = createPowerCutDisk(tools!, temp.path, times(1536, 6144) * MB);
      const data = join(disk.path, 'data');
      const book = openBook();
      const cuts = { lost: 0, saved: 0 };
      let replayed = 0;
      let fresh: Owed[] = [];
      const startAndLook = async (): Promise<Program> => {
        const before = liveSegments(join(data, 'journal'));
        const program = await startProgram({ dataFolder: data });
        running = program;
        await isReplayed(program);
        expect(await halfWritten(data, book, before)).toEqual([]);
        expect(await lostOrChanged(program, fresh)).toEqual([]);
        replayed += before.size;
        return program;
      };

      for (let turn = 0; turn < CUTS; turn++) {
        const cache: WriteCache = turn % 2 === 0 ? 'lost' : 'saved';
        try {
          const program = await startAndLook();
          const known = new Set(book.owed.keys());
          const before = book.acknowledgements;
          const largeFirst = random.happens(0.3);
          const sending = { associations: ASSOCIATIONS, ...program, book, chance: random, largeFirst };
          const senders = startSenders(sending);
          try {
            for (const until = Date.now() + 30_000; book.acknowledgements === before; await sleep(2))
              if (Date.now() > until) throw new Error(`nothing is acknowledged:\n${program.child.output()}`);
            await sleep(random.whole(0, 2000));
            const processes = everyProcess(program, data);
            // Stopped first, or running on until the disk under it stands still, in the middle of its flushes: no
            // sync returns after that, so in either case whatever the senders still read was promised before.
            if (random.happens(0.5)) kill(processes, 'SIGSTOP');
            await disk.cut(cache, () => kill(processes, 'SIGKILL'));
            running = undefined;
          } finally {
            await senders.stop();
          }
          fresh = [...book.owed.values()].filter(({ sop }) => !known.has(sop));
          cuts[cache]++;
        } catch (cause) {
          throw new Error(`cut ${turn + 1}, cache ${cache}, TORTURE_SEED=${random.seed}`, { cause });
        }
      }
      const program = await startAndLook();
      expect(await lostOrChanged(program, book.owed.values())).toEqual([]);
      expect(book.refusals).toEqual([]);
      expect(book.owed.size).toBeGreaterThan(CUTS);
      process.stdout.write(
        `power cut: ${CUTS} cuts (${cuts.lost} with the drive's write cache lost, ${cuts.saved} with it saved), ` +
          `${replayed} segments replayed; ${book.acknowledgements} Successes for ${book.owed.size} objects, ` +
          `${book.large} of them larger than a segment; all found, with their bytes\n`,
      );
      program.child.signal('SIGTERM');
      expect(await program.child.exited).toBe(0);
      running = undefined;
    },
    limitMs(300_000, 3_600_000),
  );
});

/** The program, its Postgres and all children of that. */
function everyProcess({ child }: Program, dataFolder: string): number[] {
  const found = [child.pid, ...postgresOf(dataFolder)];
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      // The name in parentheses may hold anything; the parent is the second field behind it.
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch (thrown) {
      if (!isGone(thrown)) throw thrown;
    }
  }
  for (const pid of found)
    for (const [known, parent] of parents) if (parent === pid && !found.includes(known)) found.push(known);
  return found;
}

function kill(processes: number[], signal: NodeJS.Signals): void {
  for (const pid of processes)
    try {
      process.kill(pid, signal);
    } catch (thrown) {
      if (!isGone(thrown)) throw thrown;
    }
}

function isGone(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && ['ESRCH', 'ENOENT'].includes(String(thrown.code));
}
