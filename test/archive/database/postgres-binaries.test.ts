import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { completeBinaries, findPostgresBinaries } from '../../../src/archive/database/postgres-binaries.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;

/** A package as npm unpacks it when install scripts are not run: no links, no execute bits. */
beforeEach(async () => {
  folder = await tempFolder('binaries');
  for (const inner of ['native/bin', 'native/lib'])
    mkdirSync(path.join(folder.path, inner), { recursive: true });
  for (const file of ['bin/postgres', 'bin/initdb', 'lib/libpq.so.5.18'])
    writeFileSync(path.join(folder.path, 'native', file), '', { mode: 0o644 });
  writeFileSync(path.join(folder.path, 'package.json'), '{"version": "18.4.0-beta.17"}');
  writeFileSync(
    path.join(folder.path, 'native', 'pg-symlinks.json'),
    JSON.stringify([{ source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' }]),
  );
});
afterEach(() => folder.remove());

test('the package of this platform is found and complete', () => {
  const { postgres, major } = findPostgresBinaries();
  const said = spawnSync(postgres, ['--version'], { encoding: 'utf8' });
  expect(said.stdout).toContain(`(PostgreSQL) ${major}.`);
});

test('links and execute bits are made where the install script did not run, once', () => {
  for (let turn = 0; turn < 2; turn++) {
    const { postgres, major } = completeBinaries(folder.path);
    expect(major).toBe('18');
    expect(statSync(postgres).mode & 0o111).toBe(0o111);
    expect(readlinkSync(path.join(folder.path, 'native/lib/libpq.so.5'))).toBe('libpq.so.5.18');
  }
});

test('a package that cannot be completed says what to do', () => {
  chmodSync(path.join(folder.path, 'native/lib'), 0o555);
  chmodSync(folder.path, 0o755);
  const module = path.resolve(import.meta.dirname, '../../../src/archive/database/postgres-binaries.ts');
  const script = `import { completeBinaries } from ${JSON.stringify(module)};
    try { completeBinaries(process.argv[1]); } catch (error) { console.log(error.kind, error.message); }`;
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const said = spawnSync(process.execPath, ['--input-type=module', '-e', script, folder.path], {
    encoding: 'utf8',
    cwd: '/',
    ...user,
  });
  chmodSync(path.join(folder.path, 'native/lib'), 0o755);
  expect(said.stdout).toMatch(/^unsupported .*not complete .*npm rebuild.*DATABASE_URL/);
});
