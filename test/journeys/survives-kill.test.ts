/**
 * The program as an administrator runs it, with its own Postgres in a folder of its own: killed at random moments while
 * modalities send, started again, asked for every object it answered Success for. And what it says when it cannot start.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import net from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import { type AnObject, anObject, CT, EXPLICIT, uid } from '../support/an-object.ts';
import { type Child, startChild } from '../support/child.ts';
import { freePort } from '../support/free-port.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const ROUNDS = 6;
const SENDERS = 3;
const project = resolve(import.meta.dirname, '../..');
const cli = join(project, 'src/cli.ts');

let temp: TempFolder;
let data: string;
beforeAll(async () => {
  temp = await tempFolder('kill');
  data = join(temp.path, 'data');
});
afterAll(async () => {
  await running?.child.stop(20_000);
  for (const pid of postgresOf(data)) process.kill(pid, 'SIGINT');
  await temp?.remove();
});

interface Running {
  child: Child;
  url: string;
  dicomPort: number;
}
let running: Running | undefined;

const settings = (more: Record<string, string> = {}): Record<string, string> => ({
  ISOCENTER_DATA: data,
  HTTP_PORT: '0',
  DICOM_PORT: '0',
  DISK_RESERVE: '0B',
  STABLE_AGE_S: '2',
  LOG_LEVEL: 'warn',
  ...more,
});

async function start(more?: Record<string, string>): Promise<Running> {
  const child = await startChild({
    command: process.execPath,
    args: [cli, 'start'],
    cwd: project,
    env: settings(more),
    ready: (output) => output.includes('Stop with Ctrl-C'),
    startSeconds: 60,
  });
  const output = child.output();
  running = {
    child,
    url: /Viewer +(http:\S+)\//.exec(output)![1]!,
    dicomPort: Number(/ISOCENTER@\S+:(\d+)/.exec(output)![1]),
  };
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

/** Postgres servers, children not counted, whose command names this folder. */
function postgresOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return command.includes(folder) && /postgres/.test(command);
      } catch {
        return false; // it has ended between the two looks
      }
    })
    .map(Number);
}

/** Sends until the archive is gone; `acknowledged` gets each object that was answered Success. */
async function sendUntilKilled(
  port: number,
  studyUid: string,
  sent: Set<string>,
  acknowledged: AnObject[],
): Promise<void> {
  try {
    for (;;) {
      const association = await openAssociation({
        host: '127.0.0.1',
        port,
        callingAeTitle: 'MODALITY',
        calledAeTitle: 'ISOCENTER',
        contexts: [{ abstractSyntax: CT, transferSyntaxes: [EXPLICIT] }],
      });
      for (let n = 0; n < 20; n++) {
        const object = anObject({ study: studyUid, pixelBytes: randomInt(1000, 300_000), pixels: n });
        sent.add(object.sop);
        const { status } = await association.store(object.declared, once(object.dataSet));
        if (status === 0) acknowledged.push(object);
      }
      await association.release();
    }
  } catch {
    // Killed in the middle, as it should be: what was not answered is not owed.
  }
}
async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

describe('killed while modalities send', () => {
  const owed: AnObject[] = [];
  const sent = new Set<string>();
  const studies: string[] = [];

  it(`${ROUNDS} times, it has every object it acknowledged, byte for byte`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { child, dicomPort } = await start();
      const acknowledged: AnObject[] = [];
      const sending = Array.from({ length: SENDERS }, () => {
        const study = uid();
        studies.push(study);
        return sendUntilKilled(dicomPort, study, sent, acknowledged);
      });
      const moment = randomInt(50, 1500);
      // At least one object, so that the round can find something lost.
      for (const until = Date.now() + 20_000; acknowledged.length === 0 && Date.now() < until; )
        await sleep(5);
      await sleep(moment);
      child.signal('SIGKILL');
      await child.exited;
      await Promise.all(sending);
      expect(acknowledged.length).toBeGreaterThan(0);
      owed.push(...acknowledged);
      // Once in a while the replay itself is killed.
      if (round % 3 === 1) {
        const again = await start();
        again.child.signal('SIGKILL');
        await again.child.exited;
      }
    }
    const { url } = await start();
    for (const object of owed) {
      const answer = await fetch(`${url}/api/instances/${object.sop}/original`);
      expect(answer.status, object.sop).toBe(200);
      const file = Buffer.from(await answer.arrayBuffer());
      expect(file.subarray(-object.dataSet.length).equals(object.dataSet), object.sop).toBe(true);
    }
  }, 300_000);

  it('lists each of them once, and nothing nobody sent', async () => {
    const listed: string[] = [];
    for (const study of studies) {
      const answer = await fetch(`${running!.url}/dicom-web/studies/${study}/instances?limit=5000`);
      if (answer.status === 204) continue;
      const instances = (await answer.json()) as Record<string, { Value: string[] }>[];
      listed.push(...instances.map((instance) => instance['00080018']!.Value[0]!));
    }
    expect(new Set(listed).size).toBe(listed.length);
    expect(listed.filter((sop) => !sent.has(sop))).toEqual([]);
    const known = new Set(listed);
    expect(owed.filter(({ sop }) => !known.has(sop))).toEqual([]);
    expect(readdirSync(join(data, 'quarantine'))).toEqual([]);
  });

  it('a second one does not start over the same folder, and says why', async () => {
    const { code, err } = await run(['start'], settings());
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`The data folder ${data} is in use by process ${running!.child.pid}`));
    expect(err.trim().split('\n')).toHaveLength(1);
    expect((await fetch(`${running!.url}/health/live`)).status).toBe(200);
  });

  it('SIGTERM drains: exit code 0, an empty journal, and its Postgres goes with it', async () => {
    expect(postgresOf(data).length).toBeGreaterThan(0);
    const { child } = running!;
    child.signal('SIGTERM');
    expect(await child.exited).toBe(0);
    expect(child.output()).toContain('SIGTERM: finishing what is under way');
    expect(postgresOf(data)).toEqual([]);
    const left = readdirSync(join(data, 'journal'), { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => name.endsWith('.obj'))).toEqual([]);
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
    const { code, err } = await run(['start'], settings({ [name]: String(port) }));
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
    const { code, err } = await run(['start'], settings({ ISOCENTER_DATA: join(file, 'data') }));
    expect(code).not.toBe(0);
    expect(err).toMatch(/^isocenter: The data folder .*a-file\/data .*\n$/);
  });

  it('when the database does not answer', async () => {
    const folder = join(temp.path, 'no-database');
    await mkdir(folder);
    const port = await freePort();
    const { code, err } = await run(
      ['start'],
      settings({ ISOCENTER_DATA: folder, DATABASE_URL: `postgres://me:secret@127.0.0.1:${port}/isocenter` }),
    );
    expect(code).toBe(1);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(err).toMatch(/DATABASE_URL|database/i);
    expect(err).not.toContain('secret');
  });

  it('when the configuration has faults: all of them, exit code 2', async () => {
    const { code, err } = await run(['start'], settings({ HTTP_PORT: 'x', STABLE_AGE_S: 'y' }));
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
