/**
 * The program as an administrator starts and stops it, with its own Postgres in a folder of its own, and what it says:
 * when it is ready, and when it cannot start. Killing it is test/torture/kill.test.ts.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { cli, type Program, postgresOf, programSettings, project, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let temp: TempFolder;
let data: string;
beforeAll(async () => {
  temp = await tempFolder('start');
  data = join(temp.path, 'data');
});
afterAll(async () => {
  await running?.child.stop(20_000);
  for (const pid of postgresOf(data)) process.kill(pid, 'SIGINT');
  await temp?.remove();
});

let running: Program | undefined;

async function start(env?: Record<string, string>): Promise<Program> {
  running = await startProgram({ dataFolder: data, ...(env === undefined ? {} : { env }) });
  return running;
}

/** Runs the command line to its end. */
function run(
  args: string[],
  env: Record<string, string>,
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((done, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: project,
      env: { ...process.env, ...env },
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => done({ code, out, err }));
  });
}

describe('one process at a time', () => {
  it('a second one does not start over the same folder, and says why', async () => {
    await start();
    const { code, err } = await run(['start'], programSettings(data));
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`The data folder ${data} is in use by process ${running!.child.pid}`));
    expect(err.trim().split('\n')).toHaveLength(1);
    expect((await fetch(`${running!.url}/health/live`)).status).toBe(200);
    running!.child.signal('SIGTERM');
    expect(await running!.child.exited).toBe(0);
    running = undefined;
  });
});

describe('what it says', () => {
  it('at a start is plain: where everything is, and what to do next', async () => {
    data = join(temp.path, 'first');
    const { child } = await start({ LOG_LEVEL: 'info' });
    const output = child.output();
    for (const line of output.trim().split('\n')) expect(line).not.toMatch(/^\s*[{[]/);
    expect(output).toMatch(/^Isocenter is ready \(\d+\.\d s\)\.$/m);
    for (const name of ['Viewer', 'DICOMweb', 'DICOM', 'Database', 'Objects'])
      expect(output).toMatch(new RegExp(`^ {2}${name} +\\S`, 'm'));
    expect(output).not.toMatch(/warn|deprecat|experimental/i);
    child.signal('SIGINT');
    expect(await child.exited).toBe(0);
    running = undefined;
  });

  it.each([
    ['DICOM_PORT', 'DICOM port'],
    ['HTTP_PORT', 'HTTP port'],
  ])('when %s is taken names it, and leaves nothing running', async (name, words) => {
    const taken = net.createServer();
    await new Promise<void>((listening) => taken.listen(0, '127.0.0.1', () => listening()));
    const { port } = taken.address() as net.AddressInfo;
    const { code, err } = await run(['start'], programSettings(data, { [name]: String(port) }));
    taken.close();
    expect(code).toBe(1);
    expect(err.trim()).toBe(
      `isocenter: ${words} ${port} on 127.0.0.1 is in use by another program: set ${name}`,
    );
    expect(postgresOf(data)).toEqual([]);
  });

  it('when the data folder cannot be one', async () => {
    const file = join(temp.path, 'a-file');
    writeFileSync(file, '');
    const { code, err } = await run(['start'], programSettings(join(file, 'data')));
    expect(code).not.toBe(0);
    expect(err).toMatch(/^isocenter: The data folder .*a-file\/data .*\n$/);
  });

  it('when the database does not answer', async () => {
    const folder = join(temp.path, 'no-database');
    await mkdir(folder);
    const port = await freePort();
    const { code, err } = await run(
      ['start'],
      programSettings(folder, { DATABASE_URL: `postgres://me:secret@127.0.0.1:${port}/isocenter` }),
    );
    expect(code).toBe(1);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(err).toMatch(/DATABASE_URL|database/i);
    expect(err).not.toContain('secret');
  });

  it('when the configuration has faults: all of them, exit code 2', async () => {
    const { code, err } = await run(['start'], programSettings(data, { HTTP_PORT: 'x', STABLE_AGE_S: 'y' }));
    expect(code).toBe(2);
    expect(err).toMatch(
      /^isocenter: The configuration has 2 faults:\n {2}HTTP_PORT.*\n {2}STABLE_AGE_S.*\n$/,
    );
  });

  it('to a word it does not know', async () => {
    const { code, err } = await run(['strat'], {});
    expect(code).toBe(2);
    expect(err).toBe('isocenter: there is no command "strat"; "isocenter help" lists them\n');
  });
});
