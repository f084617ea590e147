/**
 * The program as an administrator runs it: `isocenter start` in a process of its own, with its own embedded Postgres
 * in its data folder. For suites that kill it, stop it or trace it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Child, startChild } from './child.ts';

export const project = resolve(import.meta.dirname, '../..');
export const cli = join(project, 'src/cli.ts');

export interface Program {
  readonly child: Child;
  readonly url: string;
  readonly dicomPort: number;
}

/** What `programSettings` are for most suites: ports of the system's choice, no disk reserve, quiet. */
export function programSettings(
  dataFolder: string,
  more: Record<string, string> = {},
): Record<string, string> {
  return {
    ISOCENTER_DATA: dataFolder,
    HTTP_PORT: '0',
    DICOM_PORT: '0',
    DISK_RESERVE: '0B',
    STABLE_AGE_S: '2',
    LOG_LEVEL: 'warn',
    ...more,
  };
}

export interface ProgramOptions {
  dataFolder: string;
  env?: Record<string, string>;
  /** Words before the program, such as a tracer's. */
  prefix?: readonly string[];
}

/** Starts it and does not wait. */
export function launchProgram({ dataFolder, env, prefix = [] }: ProgramOptions): Promise<Child> {
  const [command = process.execPath, ...args] = [...prefix, process.execPath, cli, 'start'];
  return startChild({
    command,
    args,
    cwd: project,
    env: programSettings(dataFolder, env),
    ready: () => true,
  });
}

/** Waits until it says that it is ready. @throws with what it said when it ends or does not come up in `seconds` */
export async function isUp(child: Child, seconds = 90): Promise<Program> {
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  for (const until = Date.now() + seconds * 1000; ; await sleep(10)) {
    const output = child.output();
    if (output.includes('Stop with Ctrl-C'))
      return {
        child,
        url: /Viewer +(http:\S+)\//.exec(output)![1]!,
        dicomPort: Number(/ISOCENTER@\S+:(\d+)/.exec(output)![1]),
      };
    if (ended || Date.now() > until)
      throw new Error(
        `Isocenter ${ended ? 'ended while starting' : `did not come up in ${seconds} s`}; it said:\n${output}`,
      );
  }
}

export async function startProgram(options: ProgramOptions): Promise<Program> {
  return isUp(await launchProgram(options));
}

/** Postgres servers, children not counted, whose command names this folder. */
export function postgresOf(dataFolder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return command.includes(dataFolder) && /postgres/.test(command);
      } catch {
        return false; // it has ended between the two looks
      }
    })
    .map(Number);
}

/** A look into its embedded Postgres from outside, by the socket its pid file names. */
export async function openEmbedded(dataFolder: string): Promise<pg.Client> {
  const lines = readFileSync(join(dataFolder, 'postgres/data/postmaster.pid'), 'utf8').split('\n');
  const client = new pg.Client({
    host: lines[4]!,
    port: Number(lines[3]),
    user: 'isocenter',
    database: 'isocenter',
  });
  await client.connect();
  return client;
}
