/**
 * The folder everything lies in: its layout, its lock (one process at a time) and the name of this node.
 * Opened first and closed last by main.ts; journal, object store and embedded Postgres live in its subfolders.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Failure } from '../failure.ts';
import { makeFolder } from './make-folder.ts';
import { isPresent, pidNamespace, showPresence } from './presence.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from './running-process.ts';
import { syncFolder } from './sync-folder.ts';

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

interface LockRecord extends ProcessIdentity {
  pidNamespace: string;
  /** Of the holder's presence in the folder, for those to whom its pid says nothing. */
  socket: string | undefined;
  since: string;
}

interface Lock {
  release(): Promise<void>;
}

const LOCK = /^lock\.(\d+)$/;
const CLAIM = /^claim\.[0-9a-f-]+(\.sock)?$/;
const RELEASED = 'released';
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
  let lock: Lock;
  try {
    const made = await makeFolder(root, 0o700);
    if (made !== undefined) await syncNames(root, made);
    lock = await takeLock(root);
  } catch (error) {
    throw folderFailure(root, error);
  }
  try {
    await rm(inside('tmp'), { recursive: true, force: true });
    for (const name of ['objects', 'journal', 'quarantine', 'postgres', 'tmp'])
      await mkdir(inside(name), { recursive: true, mode: 0o700 });
    await syncFolder(root);
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
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
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
async function takeLock(root: string): Promise<Lock> {
  const self = identifyProcess(process.pid);
  if (self === undefined)
    throw new Failure('internal', `The process table does not show process ${process.pid}`);
  const claim = `claim.${randomUUID()}`;
  // Shown before the record can be read: there is no moment in which a holder looks dead.
  const presence = await showPresence(root, `${claim}.sock`);
  const record: LockRecord = {
    ...self,
    pidNamespace: await pidNamespace(),
    socket: presence?.name,
    since: new Date().toISOString(),
  };
  try {
    await writeFile(path.join(root, claim), JSON.stringify(record), { flag: 'wx', mode: 0o600 });
    const generation = await raceForLock(root, claim);
    await tidy(root, generation);
    return {
      async release() {
        await writeFile(path.join(root, claim), RELEASED, { flag: 'wx', mode: 0o600 });
        await rename(path.join(root, claim), path.join(root, `lock.${generation}`));
        await presence?.close();
      },
    };
  } catch (error) {
    await presence?.close();
    throw error;
  } finally {
    await rm(path.join(root, claim), { force: true });
  }
}

/** @returns the generation won */
async function raceForLock(root: string, claim: string): Promise<number> {
  // Each turn that does not return was won by another starter, who then holds the lock or has let it go.
  for (let turn = 0; turn < 100; turn++) {
    const newest = await newestLock(root);
    const holder = await readRecord(path.join(root, `lock.${newest}`));
    if (holder !== undefined && (await isHeld(root, holder)))
      throw new Failure(
        'conflict',
        `The data folder ${root} is in use by process ${holder.pid}, started at ${holder.since}. ` +
          'Stop that process first, or set ISOCENTER_DATA to another folder.',
      );
    const mine = newest + 1;
    const file = path.join(root, `lock.${mine}`);
    if (!(await linkNew(path.join(root, claim), file))) continue;
    if ((await newestLock(root)) === mine) return mine;
    await unlink(file);
  }
  throw new Failure(
    'conflict',
    `The data folder ${root} is being opened by many processes at once; start one.`,
  );
}

/** @returns false when the name is taken */
async function linkNew(existing: string, name: string): Promise<boolean> {
  try {
    await link(existing, name);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(codeOf(error) ?? ''))
      throw new Failure(
        'invalid',
        `The file system of ${path.dirname(name)} has no hard links, which the lock needs. Set ISOCENTER_DATA to a folder on a local disk.`,
        { cause: error },
      );
    throw error;
  }
}

/** 0 when the folder was never opened. */
async function newestLock(root: string): Promise<number> {
  const names = await readdir(root);
  return Math.max(0, ...names.map((name) => Number(LOCK.exec(name)?.[1] ?? 0)));
}

/** A lock's holder; undefined when it was released, is not there, or is damaged (by a power cut: the holder is gone). */
async function readRecord(file: string): Promise<LockRecord | undefined> {
  try {
    const text = await readFile(file, 'utf8');
    return text === RELEASED ? undefined : (JSON.parse(text) as LockRecord);
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function isHeld(root: string, record: LockRecord): Promise<boolean> {
  if (record.pidNamespace === (await pidNamespace())) return isRunning(record);
  return record.socket !== undefined && isPresent(root, record.socket);
}

/** What killed starters left: old generations, claims and sockets. Done by the holder alone. */
async function tidy(root: string, mine: number): Promise<void> {
  for (const name of await readdir(root)) {
    const generation = Number(LOCK.exec(name)?.[1] ?? mine);
    if (generation < mine - GENERATIONS_KEPT) await rm(path.join(root, name), { force: true });
    else if (name.endsWith('.sock') && CLAIM.test(name)) {
      if (!(await isPresent(root, name))) await rm(path.join(root, name), { force: true });
    } else if (CLAIM.test(name)) {
      // Its maker may be racing still, and would only find out later that it lost.
      const record = await readRecord(path.join(root, name));
      if (record === undefined || !(await isHeld(root, record)))
        await rm(path.join(root, name), { force: true });
    }
  }
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
  await syncFolder(root);
  return name;
}

/** A new folder lasts only once the one above it is synced; up to the topmost that was made. */
async function syncNames(folder: string, topmost: string): Promise<void> {
  for (let at = folder; ; at = path.dirname(at)) {
    await syncFolder(path.dirname(at));
    if (at === topmost) return;
  }
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
    case 'ENOENT':
      return new Failure(
        'invalid',
        `The data folder ${root} cannot be made: its disk may not be mounted, or a link in its path leads nowhere. ` +
          `Mend that, ${elsewhere}.`,
        { cause: error },
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
