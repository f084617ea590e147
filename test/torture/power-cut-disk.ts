/**
 * A disk whose power can be cut at any moment: a folder on ext4, on a drive with a write cache.
 *
 *   folder: ext4 ── loop ── drive.img, whose page cache is the drive's write cache
 *                              in ext4 ── loop ── platters.img: what the drive has written
 *                                                    in ext4 ── loop ── machine.img
 *
 * A flush of the topmost file system is an fsync of drive.img, so only then must what it wrote reach platters.img.
 * Freezing the lowest file system stops every write to the platters at one instant, in the middle of a flush or not:
 * a copy of machine.img then is what a cut would leave, with the cache lost. Freezing the one above it first writes
 * out the cache: a drive that saves its cache. Either is mounted again as a machine would after the cut. Needs root.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export type WriteCache = 'lost' | 'saved';

export interface PowerCutDisk {
  /** The folder to write to; the same after every cut. */
  readonly path: string;
  /**
   * The folder then holds what was on the platters at this instant. `stopped` is called before anything can be written
   * again: whoever still writes to the disk has to be ended in it.
   */
  cut(cache: WriteCache, stopped: () => void): Promise<void>;
  remove(): Promise<void>;
}

/** From the platters up: where each is mounted, and the image in it that holds the next. */
const LAYERS = ['machine', 'platters', 'drive'] as const;
/** Commits only when asked, so that no timer does what the program under test should have. */
const OPTIONS = 'loop,commit=300,noinit_itable';

const OWN_TABLES = 32 * 1024 ** 2;

/** @param bytes of the topmost file system; the images are sparse */
export function createPowerCutDisk(
  programs: Record<string, string>,
  folder: string,
  bytes: number,
): PowerCutDisk {
  const run = (program: string, ...args: string[]): void => {
    execFileSync(programs[program] ?? program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 120_000,
    });
  };
  const tryRun = (program: string, ...args: string[]): boolean =>
    spawnSync(programs[program] ?? program, args, { stdio: 'ignore', timeout: 120_000 }).status === 0;
  const mountPoint = (layer: (typeof LAYERS)[number]): string => join(folder, layer);
  const imageOf = (n: number): string =>
    join(n === 0 ? folder : mountPoint(LAYERS[n - 1]!), `${LAYERS[n]}.img`);
  const mounted: string[] = [];

  const mountLayer = (n: number): void => {
    const at = mountPoint(LAYERS[n]!);
    mkdirSync(at, { recursive: true });
    run('mount', '-o', OPTIONS, imageOf(n), at);
    mounted.push(at);
  };
  /** @throws when one is still in use; it is out of sight then, and goes with its last user */
  const unmountAll = async (): Promise<void> => {
    const stuck: string[] = [];
    for (let at = mounted.pop(); at !== undefined; at = mounted.pop())
      if (!(await unmount(at))) stuck.push(at);
    if (stuck.length > 0) throw new Error(`still in use after 10 s: ${stuck.join(', ')}`);
  };
  /** Who was killed may hold it for a moment more. */
  const unmount = async (at: string): Promise<boolean> => {
    for (let turn = 0; turn < 100; turn++) {
      if (tryRun('umount', at)) return true;
      await sleep(100);
    }
    run('umount', '--lazy', at);
    return false;
  };

  const make = (): void => {
    for (const n of LAYERS.keys()) {
      // Each has room for the one above it and for its own tables.
      const size = Math.ceil(bytes * 1.1 ** (LAYERS.length - 1 - n)) + (LAYERS.length - 1 - n) * OWN_TABLES;
      writeFileSync(imageOf(n), '');
      if (n === 0) truncateSync(imageOf(n), size);
      else run('fallocate', '-l', String(size), imageOf(n));
      const few = n < LAYERS.length - 1 ? ['-N', '64'] : [];
      run('mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=1,nodiscard', ...few, imageOf(n));
      mountLayer(n);
    }
  };
  try {
    make();
  } catch (thrown) {
    for (const at of mounted.reverse()) run('umount', '--lazy', at);
    throw thrown;
  }

  return {
    path: mountPoint('drive'),
    async cut(cache, stopped) {
      // Topmost first: what the upper one still writes goes through the lower one.
      const frozen: string[] = [];
      const left = join(folder, 'left.img');
      try {
        for (const layer of cache === 'saved' ? (['platters', 'machine'] as const) : (['machine'] as const)) {
          run('fsfreeze', '-f', mountPoint(layer));
          frozen.push(mountPoint(layer));
        }
        run('cp', '--sparse=always', imageOf(0), left);
        stopped();
      } finally {
        for (const at of frozen.reverse()) run('fsfreeze', '-u', at);
      }
      await unmountAll();
      renameSync(left, imageOf(0));
      for (const n of LAYERS.keys()) mountLayer(n);
    },
    async remove() {
      await unmountAll();
      rmSync(imageOf(0), { force: true });
    },
  };
}
