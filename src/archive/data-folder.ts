/**
 * The folder everything lies in: its layout, its lock (one process at a time) and the name of this node.
 * Opened first and closed last by main.ts; journal, object store and embedded Postgres live in its subfolders.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Failure } from '../failure.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from './running-process.ts';

export interface DataFolder {
  readonly path: string;
  /** Stored objects, where no S3 is configured. */
  readonly objects: string;
  readonly journal: string;
  readonly quarantine: string;
  /** The embedded Postgres: cluster, socket and log. */
  readonly postgres: string;
  /** Scratch space on the same file system; emptied at every open. */
  readonly tmp: string;
  /** Stable over restarts, unknown to anybody else: names this folder's journal in the index. */
  readonly nodeName: string;
  /** Gives the lock back. Closing twice is allowed. */
  close(): Promise<void>;
}

interface LockRecord extends Partial<ProcessIdentity> {
  since: string;
  released: boolean;
}

const LOCK = /^lock\.(\d+)$/;
const CLAIM = /^claim\.[0-9a-f-]+$/;
/** Older generations kept, so that a reader of the folder that overlaps with a writer still meets one. */
const GENERATIONS_KEPT = 4;

/**
 * Creates what is missing and takes the lock.
 * @throws Failure 'invalid' when the folder cannot be made or written, 'no-space' when its disk is full,
 *         'conflict' when another process holds it or its node file is damaged
 */
export async function openDataFolder(folder: string): Promise<DataFolder> {
  const root = path.resolve(folder);
  const inside = (name: string): string => path.join(root, name);
  let generation: number;
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    generation = await takeLock(root);
  } catch (error) {
    throw folderFailure(root, error);
  }
  try {
    await rm(inside('tmp'), { recursive: true, force: true });
    for (const name of ['objects', 'journal', 'quarantine', 'postgres', 'tmp'])
      await mkdir(inside(name), { recursive: true, mode: 0o700 });
    const nodeName = await readNodeName(root);
    let held = true;
    return {
      path: root,
      objects: inside('objects'),
      journal: inside('journal'),
      quarantine: inside('quarantine'),
      postgres: inside('postgres'),
      tmp: inside('tmp'),
      nodeName,
      async close() {
        if (!held) return;
        held = false;
        await releaseLock(root, generation);
      },
    };
  } catch (error) {
    await releaseLock(root, generation);
    throw folderFailure(root, error);
  }
}

/**
 * Takes the lock as a new generation, `lock.N`; the highest one in the folder counts.
 * A stale lock is never removed to make room: two starters that both saw generation 7 dead both try to link
 * generation 8, and link(2) lets one of them win. Releasing keeps the file (and its number), so a slow starter
 * can at most create a generation that is no longer the highest, which it sees afterwards.
 * The record is complete before it gets its name, so nobody ever reads half of one.
 */
async function takeLock(root: string): Promise<number> {
  const self = identifyProcess(process.pid);
  if (self === undefined)
    throw new Failure('internal', `The process table does not show process ${process.pid}`);
  const claim = path.join(root, `claim.${randomUUID()}`);
  const record: LockRecord = { ...self, since: new Date().toISOString(), released: false };
  await writeFile(claim, JSON.stringify(record), { flag: 'wx', mode: 0o600 });
  try {
    // Each turn that does not return was won by another starter, who then holds the lock or has let it go.
    for (let turn = 0; turn < 100; turn++) {
      const newest = await newestLock(root);
      const holder = await readLock(root, newest);
      if (holder !== undefined && isHeld(holder))
        throw new Failure(
          'conflict',
          `The data folder ${root} is in use by process ${holder.pid}, started at ${holder.since}. ` +
            'Stop that process first, or set ISOCENTER_DATA to another folder.',
        );
      const mine = newest + 1;
      try {
        await link(claim, path.join(root, `lock.${mine}`));
      } catch (error) {
        if (codeOf(error) === 'EEXIST') continue;
        throw error;
      }
      if ((await newestLock(root)) > mine) {
        await unlink(path.join(root, `lock.${mine}`));
        continue;
      }
      await tidy(root, mine);
      return mine;
    }
    throw new Failure(
      'conflict',
      `The data folder ${root} is being opened by many processes at once; start one.`,
    );
  } finally {
    await rm(claim, { force: true });
  }
}

async function newestLock(root: string): Promise<number> {
  const names = await readdir(root);
  return Math.max(0, ...names.map((name) => Number(LOCK.exec(name)?.[1] ?? 0)));
}

/** The record of one generation. A damaged one comes from a machine that lost power: its holder is gone. */
async function readLock(root: string, generation: number): Promise<LockRecord | undefined> {
  return generation === 0 ? undefined : readRecord(path.join(root, `lock.${generation}`));
}

async function readRecord(file: string): Promise<LockRecord | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as LockRecord;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isHeld(record: LockRecord): boolean {
  const { pid, startTime, bootId, released } = record;
  if (released || pid === undefined || startTime === undefined || bootId === undefined) return false;
  return isRunning({ pid, startTime, bootId });
}

/** What killed starters left: old generations, and claims whose process is gone. Done by the holder alone. */
async function tidy(root: string, mine: number): Promise<void> {
  for (const name of await readdir(root)) {
    const generation = Number(LOCK.exec(name)?.[1] ?? mine);
    const old = generation < mine - GENERATIONS_KEPT;
    if (!old && !CLAIM.test(name)) continue;
    const record = await readRecord(path.join(root, name));
    if (old || record === undefined || !isHeld(record)) await rm(path.join(root, name), { force: true });
  }
}

async function releaseLock(root: string, generation: number): Promise<void> {
  const record: LockRecord = { since: new Date().toISOString(), released: true };
  const next = path.join(root, `claim.${randomUUID()}`);
  await writeFile(next, JSON.stringify(record), { flag: 'wx', mode: 0o600 });
  await rename(next, path.join(root, `lock.${generation}`));
}

async function readNodeName(root: string): Promise<string> {
  const file = path.join(root, 'node');
  try {
    const name = (await readFile(file, 'utf8')).trim();
    if (/^node-[0-9a-f]{16}$/.test(name)) return name;
    // A new name would orphan the objects that the index says lie in this node's journal.
    throw new Failure(
      'conflict',
      `The file ${file} does not hold a node name (node- and 16 hexadecimal digits). Restore it from a backup.`,
    );
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const name = `node-${randomBytes(8).toString('hex')}`;
  const next = path.join(root, 'tmp', 'node');
  await writeFile(next, `${name}\n`, { mode: 0o600, flush: true });
  await rename(next, file);
  const directory = await open(root, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
  return name;
}

function folderFailure(root: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const elsewhere = 'or set ISOCENTER_DATA to a folder that is';
  switch (codeOf(error)) {
    case 'EACCES':
    case 'EPERM':
      return new Failure(
        'invalid',
        `The data folder ${root} is not writable for this user (uid ${process.getuid?.() ?? 'unknown'}). ` +
          `Make it theirs (chown, chmod u+rwx), ${elsewhere}.`,
        { cause: error },
      );
    case 'EROFS':
      return new Failure(
        'invalid',
        `The data folder ${root} is on a read-only file system. Mount it writable, ${elsewhere}.`,
        {
          cause: error,
        },
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new Failure(
        'invalid',
        `The data folder ${root} is not a folder: a file is in its place. Move it, ${elsewhere}.`,
        {
          cause: error,
        },
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new Failure(
        'no-space',
        `The disk of the data folder ${root} is full. Free some space and start again.`,
        {
          cause: error,
        },
      );
    default:
      return new Failure(
        'invalid',
        `The data folder ${root} cannot be opened (${codeOf(error) ?? 'unknown fault'}).`,
        {
          cause: error,
        },
      );
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
