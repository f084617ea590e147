/**
 * What a receiver costs, read from /proc (proc(5)): CPU seconds and memory of its process and all below it, Postgres
 * apart. Called by measure.ts, which samples while the senders run, since a forked process is gone with its association.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

export interface TreeReading {
  /** User and system time of all processes, with those that ended and were waited for. */
  cpuSeconds: number;
  /** Sum of the peak resident sets (VmHWM) of the processes that live now, Postgres left out. */
  memoryBytes: number;
  /** Postgres: anonymous memory of its processes and its shared buffers once; file pages are the kernel's. */
  postgresBytes: number;
}

/** Linux counts CPU time in hundredths of a second (sysconf(_SC_CLK_TCK)). */
const TICKS = 100;

export function readTree(pid: number): TreeReading {
  const reading: TreeReading = { cpuSeconds: 0, memoryBytes: 0, postgresBytes: 0 };
  let shared = 0;
  const waiting = [pid];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const process = readProcess(next);
    if (!process) continue;
    waiting.push(...process.children);
    reading.cpuSeconds += process.cpuTicks / TICKS;
    if (process.name.startsWith('postgres')) {
      reading.postgresBytes += process.anonymous;
      shared = Math.max(shared, process.shared);
    } else reading.memoryBytes += process.peak;
  }
  reading.postgresBytes += shared;
  return reading;
}

/** Lets the peaks of the processes that live now begin anew at what they hold now (proc(5), clear_refs). */
export function resetPeaks(pid: number): void {
  const waiting = [pid];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    try {
      writeFileSync(`/proc/${next}/clear_refs`, '5');
    } catch (thrown) {
      if (!isGone(thrown)) throw thrown;
    }
    waiting.push(...childrenOf(next));
  }
}

interface Process {
  name: string;
  cpuTicks: number;
  peak: number;
  anonymous: number;
  shared: number;
  children: number[];
}

/** Undefined when it has ended; one that ended and was not waited for has only its CPU time left. */
function readProcess(pid: number): Process | undefined {
  const stat = read(`/proc/${pid}/stat`);
  const status = read(`/proc/${pid}/status`);
  if (stat === undefined || status === undefined) return undefined;
  // The name stands in parentheses and may hold any character; utime, stime, cutime and cstime are fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return {
    name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')),
    cpuTicks: fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0),
    peak: bytes('VmHWM'),
    anonymous: bytes('RssAnon'),
    shared: bytes('RssShmem'),
    children: childrenOf(pid),
  };
}

/** Every thread has a list of the processes it started. */
function childrenOf(pid: number): number[] {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch (thrown) {
    if (isGone(thrown)) return [];
    throw thrown;
  }
  return threads.flatMap((thread) =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  );
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (thrown) {
    if (isGone(thrown)) return undefined;
    throw thrown;
  }
}

function isGone(thrown: unknown): boolean {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
  return code === 'ENOENT' || code === 'ESRCH';
}
