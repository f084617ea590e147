import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DataFolder, openDataFolder } from '../../src/archive/data-folder.ts';

const module = path.resolve(import.meta.dirname, '../../src/archive/data-folder.ts');
/** Opens the folder argv[2], says what came of it in one line of JSON and stays until its input ends. */
const opener = `
import { openDataFolder } from ${JSON.stringify(module)};
await new Promise((go) => process.stdin.once('data', go));
try {
  const folder = await openDataFolder(process.argv[1]);
  console.log(JSON.stringify({ won: true, node: folder.nodeName }));
} catch (error) {
  console.log(JSON.stringify({ won: false, kind: error.kind, message: error.message }));
}
process.stdin.on('end', () => process.exit());
`;

interface Outcome {
  won: boolean;
  kind?: string;
  message?: string;
}
let home: string;
let children: ChildProcess[];

beforeEach(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'isocenter-folder-'));
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map((child) => end(child)));
  await rm(home, { recursive: true, force: true });
});

function starter(
  folder: string,
  { uid, prefix = [] }: { uid?: number | undefined; prefix?: string[] } = {},
): { child: ChildProcess; outcome(): Promise<Outcome> } {
  const [program = '', ...words] = [...prefix, process.execPath, '--input-type=module', '-e', opener, folder];
  const child = spawn(program, words, {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  children.push(child);
  return {
    child,
    async outcome() {
      child.stdin?.write('go\n');
      let text = '';
      for await (const chunk of child.stdout ?? []) {
        text += String(chunk);
        if (text.includes('\n')) break;
      }
      return JSON.parse(text) as Outcome;
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

test('makes the folder for its owner alone, with its layout', async () => {
  const folder = await openDataFolder(path.join(home, 'a', 'data'));
  expect(statSync(folder.path).mode & 0o777).toBe(0o700);
  for (const inner of [folder.objects, folder.journal, folder.quarantine, folder.postgres, folder.tmp])
    expect(statSync(inner).mode & 0o777).toBe(0o700);
  await folder.close();
});

test('keeps the node name, and empties what was temporary', async () => {
  const first = await openDataFolder(home);
  writeFileSync(path.join(first.tmp, 'rest'), 'x');
  await first.close();
  const second = await openDataFolder(home);
  expect(second.nodeName).toMatch(/^node-[0-9a-f]{16}$/);
  expect(second.nodeName).toBe(first.nodeName);
  expect(readdirSync(second.tmp)).toEqual([]);
  await second.close();
  await second.close();
});

test('never replaces a damaged node name by a new one', async () => {
  const first = await openDataFolder(home);
  await first.close();
  writeFileSync(path.join(home, 'node'), '');
  await expect(openDataFolder(home)).rejects.toMatchObject({ kind: 'conflict' });
  writeFileSync(path.join(home, 'node'), first.nodeName);
  await (await openDataFolder(home)).close();
});

test('refuses a second opener in words, until the first closes', async () => {
  const folder = await openDataFolder(home);
  await expect(openDataFolder(home)).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringMatching(
      new RegExp(`The data folder ${home} is in use by process ${process.pid}, started at \\d{4}-.*Z\\.`),
    ),
  });
  const other = await starter(home).outcome();
  expect(other).toMatchObject({ won: false, kind: 'conflict' });
  await folder.close();
  await (await openDataFolder(home)).close();
});

test('of many starters racing over a stale lock exactly one wins, again and again', async () => {
  for (let round = 0; round < 4; round++) {
    const dead = starter(home);
    expect(await dead.outcome()).toMatchObject({ won: true });
    await end(dead.child);
    const starters = Array.from({ length: 6 }, () => starter(home));
    const outcomes = await Promise.all(starters.map((one) => one.outcome()));
    expect(outcomes.filter((outcome) => outcome.won)).toHaveLength(1);
    for (const outcome of outcomes.filter((one) => !one.won)) expect(outcome.kind).toBe('conflict');
    await Promise.all(starters.map((one) => end(one.child)));
  }
  await (await openDataFolder(home)).close();
  expect(readdirSync(home).filter((name) => name.startsWith('claim.'))).toEqual([]);
  expect(readdirSync(home).filter((name) => name.startsWith('lock.')).length).toBeLessThanOrEqual(6);
});

test.each([
  ['its pid belongs to another process by now', { startTime: '1' }],
  ['the machine was started again since', { bootId: 'another boot' }],
  ['its container is gone', { pidNamespace: 'pid:[1]', socket: 'claim.0.sock' }],
  ['its container showed nothing', { pidNamespace: 'pid:[1]', socket: undefined }],
])('a lock is stale when %s', async (_, change) => {
  const dead = starter(home);
  expect(await dead.outcome()).toMatchObject({ won: true });
  const lock = path.join(home, 'lock.1');
  const record = JSON.parse(readFileSync(lock, 'utf8')) as Record<string, unknown>;
  // The holder lives; only its record is changed.
  writeFileSync(lock, JSON.stringify({ ...record, ...change }));
  await (await openDataFolder(home)).close();
});

test('a lock damaged by a power cut is stale', async () => {
  await (await openDataFolder(home)).close();
  writeFileSync(path.join(home, 'lock.1'), '');
  await (await openDataFolder(home)).close();
});

const namespaces = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;

test.skipIf(!namespaces)('another pid namespace sees the holder too (needs unshare --pid)', async () => {
  const inContainer = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const holder = starter(home, { prefix: inContainer });
  expect(await holder.outcome()).toMatchObject({ won: true });
  await expect(openDataFolder(home)).rejects.toMatchObject({ kind: 'conflict' });
  expect(await starter(home, { prefix: inContainer }).outcome()).toMatchObject({
    won: false,
    kind: 'conflict',
  });
  await end(holder.child);
  // The kernel ends what is left of the namespace a moment after its keeper.
  let folder: DataFolder | undefined;
  for (let tries = 0; !folder; tries++)
    folder = await openDataFolder(home).catch(async (error) => {
      if (tries === 200) throw error;
      await sleep(20);
      return undefined;
    });
  expect(readdirSync(home).filter((name) => name.startsWith('claim.'))).toHaveLength(1);
  const next = await starter(home, { prefix: inContainer }).outcome();
  expect(next).toMatchObject({ won: false, kind: 'conflict' });
  await folder.close();
  expect(readdirSync(home).filter((name) => name.startsWith('claim.'))).toEqual([]);
});

test('a path longer than a socket may have is no hindrance', async () => {
  const folder = await openDataFolder(path.join(home, 'a'.repeat(100), 'b'.repeat(100)));
  await expect(openDataFolder(folder.path)).rejects.toMatchObject({ kind: 'conflict' });
  await folder.close();
});

test('a file in its place is named', async () => {
  const file = path.join(home, 'file');
  writeFileSync(file, '');
  await expect(openDataFolder(file)).rejects.toMatchObject({
    kind: 'invalid',
    message: expect.stringContaining(`The data folder ${file} is not a folder`),
  });
});

test('a folder whose disk is away is named, and the start ends', async () => {
  const link = path.join(home, 'link');
  symlinkSync(path.join(home, 'not-mounted'), link);
  // /proc answers as an automounter does whose disk is away; Node's own recursive mkdir never ends there.
  for (const folder of [link, path.join(link, 'data'), '/proc/isocenter'])
    await expect(openDataFolder(folder)).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining(`The data folder ${folder} cannot be made`),
    });
  const deep = path.join(home, 'a', 'b', 'c');
  await (await openDataFolder(deep)).close();
  expect(statSync(path.join(home, 'a')).mode & 0o777).toBe(0o700);
});

test('a folder that this user may not write is named, with what to do', async () => {
  const folder = path.join(home, 'closed');
  mkdirSync(folder, { mode: 0o755 });
  const root = process.getuid?.() === 0;
  if (!root) chmodSync(folder, 0o555);
  chmodSync(home, 0o755);
  const outcome = await starter(folder, { uid: root ? 65_534 : undefined }).outcome();
  if (!root) chmodSync(folder, 0o755);
  expect(outcome).toMatchObject({
    won: false,
    kind: 'invalid',
    message: expect.stringMatching(
      `The data folder ${folder} is not writable for this user .*ISOCENTER_DATA`,
    ),
  });
  if (root) {
    chownSync(folder, 65_534, 65_534);
    expect(await starter(folder, { uid: 65_534 }).outcome()).toMatchObject({ won: true });
  }
});
