/**
 * Who a process is, so that a lock or a pid file left by a dead one is told from a living one.
 * A pid alone is reused; the pid with its start time and the boot of the machine is not.
 * Called by data-folder.ts (its lock) and database/orphan.ts (a Postgres left behind).
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** Opaque text, equal for the same process only: clock ticks since boot on Linux, `lstart` of ps elsewhere. */
  startTime: string;
  /** The boot of the machine, where it tells; '' where startTime is an absolute time already. */
  bootId: string;
}

/** The process that has this pid now; undefined when there is none, or only its zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  return process.platform === 'linux' ? fromProc(pid) : fromPs(pid);
}

/** True while exactly this process runs. */
export function isRunning(who: ProcessIdentity): boolean {
  const now = identifyProcess(who.pid);
  return now !== undefined && now.startTime === who.startTime && now.bootId === who.bootId;
}

function fromProc(pid: number): ProcessIdentity | undefined {
  const stat = readOrAbsent(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command in parentheses may hold spaces and parentheses itself, so count from its last one:
  // field 3 is the state, field 22 the start time (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  if (startTime === undefined || state === 'Z' || state === 'X') return undefined;
  return { pid, startTime, bootId: (readOrAbsent('/proc/sys/kernel/random/boot_id') ?? '').trim() };
}

function fromPs(pid: number): ProcessIdentity | undefined {
  const line = psColumn(pid, 'lstart');
  return line === undefined ? undefined : { pid, startTime: line, bootId: '' };
}

/** One column of ps for one process, or undefined when the process is not there. */
export function psColumn(pid: number, column: 'lstart' | 'command'): string | undefined {
  try {
    const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
    const out = execFileSync('ps', ['-ww', '-o', `${column}=`, '-p', String(pid)], { env, encoding: 'utf8' });
    return out.trim() || undefined;
  } catch (error) {
    // ps answers 1 for a pid that is not there.
    if ((error as { status?: number }).status === 1) return undefined;
    throw error;
  }
}

function readOrAbsent(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
