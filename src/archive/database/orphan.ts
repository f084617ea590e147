/**
 * A Postgres that outlived its parent (SIGKILL, a crash): found by the cluster's postmaster.pid, proved to be the
 * postmaster of this cluster, and stopped, so that the new parent starts and supervises its own.
 * Called by embedded-postgres.ts, which holds the data folder's lock: whoever else serves this cluster is an orphan.
 */
import { readFile, readlink, realpath, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { identifyProcess, isRunning, type ProcessIdentity, psColumn } from '../running-process.ts';

/** Fast shutdown first (it writes a checkpoint), then immediate (the WAL is replayed), then the kernel's. */
export const STOP_STEPS: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', 20_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
];

/**
 * Also clears the way when the pid file names no postmaster of this cluster any more.
 * @throws Failure 'conflict' when an orphan is there that this user may not stop
 */
export async function stopOrphan(data: string, log: Log): Promise<void> {
  const pidFile = path.join(data, 'postmaster.pid');
  const lines = (await readOrAbsent(pidFile))?.split('\n');
  const pid = Number(lines?.[0]);
  if (lines === undefined || !Number.isSafeInteger(pid) || pid <= 1) return;
  const who = identifyProcess(pid);
  if (who === undefined || !(await servesCluster(pid, data))) {
    // A zombie, or somebody else's process that has that pid now: Postgres would take either for a postmaster and
    // refuse. Its parent's pid it passes over, while it still looks for living backends by the shared memory that
    // the other lines name.
    await writeFile(pidFile, [String(process.pid), ...lines.slice(1)].join('\n'));
    return;
  }
  log.warn({ pid }, 'stopping a Postgres that a killed process left behind');
  try {
    for (const [signal, patienceMs] of STOP_STEPS) {
      process.kill(pid, signal);
      if (await ended(who, patienceMs)) return;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
    throw orphanFailure(data, pid, error);
  }
  throw orphanFailure(data, pid, undefined);
}

/** Whether that process is the postmaster of this cluster: by its arguments, or by where it works. */
async function servesCluster(pid: number, data: string): Promise<boolean> {
  const words =
    process.platform === 'linux'
      ? (await readOrAbsent(`/proc/${pid}/cmdline`))?.split('\0')
      : psColumn(pid, 'command')?.split(' ');
  if (words === undefined || path.basename(words[0] ?? '') !== 'postgres') return false;
  if (words.join(' ').includes(` -D ${data} `)) return true;
  if (process.platform !== 'linux') return false;
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(data));
  } catch (error) {
    // Another user's process does not show where it works, and one that just ended works nowhere.
    if (['EACCES', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

async function ended(who: ProcessIdentity, patienceMs: number): Promise<boolean> {
  const until = Date.now() + patienceMs;
  while (isRunning(who)) {
    if (Date.now() > until) return false;
    await sleep(20);
  }
  return true;
}

async function readOrAbsent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

function orphanFailure(data: string, pid: number, cause: unknown): Failure {
  return new Failure(
    'conflict',
    `A Postgres left behind by a killed process (pid ${pid}) still serves ${data} and cannot be stopped by this user. ` +
      `Stop it with: kill -INT ${pid}`,
    { cause },
  );
}
