/**
 * Runs a peer as a child process: bounded start, bounded output, and an end that comes even when the test does not
 * reach it (the kernel signals the child when the process that started it is gone).
 * Used by the starters beside this file: pacs, redis, s3, orthanc, fhir-peer.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ChildSpec {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Asked every 50 ms until true; what it throws ends the wait. */
  readonly ready: (output: string) => boolean | Promise<boolean>;
  /** Bound for the start, default 20 s. */
  readonly startSeconds?: number;
}

export interface Child {
  readonly pid: number;
  /** The last 64 KB of standard output and error. */
  output(): string;
  /** Resolves with the exit code, or null when a signal ended it. */
  readonly exited: Promise<number | null>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, `patienceMs` (default 5000; 0 for none), SIGKILL. May be called twice. */
  stop(patienceMs?: number): Promise<void>;
}

const keptOutput = 64 * 1024;
const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));

export async function startChild(spec: ChildSpec): Promise<Child> {
  const child = launch(spec.command, spec.args, spec.cwd, spec.env);
  const deadline = Date.now() + (spec.startSeconds ?? 20) * 1000;
  const why = (what: string) =>
    new Error(`${spec.command} ${what}; it said:\n${child.output().slice(-4000)}`);
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  try {
    while (!(await spec.ready(child.output()))) {
      if (ended) throw why('ended while starting');
      if (Date.now() > deadline) throw why(`did not come up within ${spec.startSeconds ?? 20} s`);
      await sleep(50);
    }
    return child;
  } catch (thrown) {
    await child.stop();
    throw thrown;
  }
}

function launch(
  command: string,
  args: readonly string[],
  cwd: string | undefined,
  env: Readonly<Record<string, string>> | undefined,
): Child {
  const [program, programArgs] = setpriv
    ? [setpriv, ['--pdeathsig', 'TERM', '--', command, ...args]]
    : [command, [...args]];
  const child: ChildProcess = spawn(program, programArgs, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-keptOutput);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const killNow = () => {
    child.kill('SIGKILL');
  };
  process.once('exit', killNow);
  const exited = new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      output += `\n${error.message}`;
      resolve(null);
    });
    child.once('exit', (code) => resolve(code));
  }).finally(() => process.off('exit', killNow));
  const running = () => child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  return {
    pid: child.pid ?? -1,
    output: () => output,
    exited,
    signal(name) {
      if (running()) child.kill(name);
    },
    async stop(patienceMs = 5000) {
      if (!running()) return;
      if (patienceMs > 0) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}
