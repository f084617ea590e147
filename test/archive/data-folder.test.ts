import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDataFolder } from '../../src/archive/data-folder.ts';

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

function starter(folder: string, uid?: number): { child: ChildProcess; outcome(): Promise<Outcome> } {
  const child = spawn(process.execPath, ['--input-type=module', '-e', opener, folder], {
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
  const folder = await openDataFolder(home);
  expect(readdirSync(home).filter((name) => name.startsWith('claim.'))).toEqual([]);
  expect(readdirSync(home).filter((name) => name.startsWith('lock.')).length).toBeLessThanOrEqual(6);
  await folder.close();
}, 60_000);

test('a lock whose pid belongs to another process by now is stale', async () => {
  const folder = await openDataFolder(home);
  const lock = path.join(home, readdirSync(home).find((name) => name.startsWith('lock.')) ?? '');
  const record = JSON.parse(readFileSync(lock, 'utf8')) as Record<string, unknown>;
  writeFileSync(lock, JSON.stringify({ ...record, startTime: `${Number(record.startTime) - 1}` }));
  const next = await openDataFolder(home);
  await next.close();
  writeFileSync(lock, JSON.stringify({ ...record, bootId: 'another boot' }));
  await (await openDataFolder(home)).close();
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

test('a folder that this user may not write is named, with what to do', async () => {
  const folder = path.join(home, 'closed');
  mkdirSync(folder, { mode: 0o755 });
  const root = process.getuid?.() === 0;
  if (!root) chmodSync(folder, 0o555);
  chmodSync(home, 0o755);
  const outcome = await starter(folder, root ? 65_534 : undefined).outcome();
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
    expect(await starter(folder, 65_534).outcome()).toMatchObject({ won: true });
  }
});
