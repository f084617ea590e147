/**
 * The embedded Postgres' cluster on disk: made once by initdb, then only checked.
 * initdb works in a sibling folder that gets its name when everything in it is synced, so a kill in the middle
 * of the first start leaves nothing that the next start could take for a cluster.
 * Called by embedded-postgres.ts, which holds the data folder's lock.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { Failure } from '../../failure.ts';
import { syncFolder } from '../sync-folder.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import type { PostgresUser } from './postgres-user.ts';

/** The role that owns everything, and the database in which it is. */
export const ROLE = 'isocenter';

/**
 * @param data where the cluster is or shall be
 * @throws Failure 'conflict' when it was made by another major version of Postgres, 'internal' when initdb fails
 */
export async function ensureCluster(
  data: string,
  binaries: PostgresBinaries,
  user: PostgresUser,
): Promise<void> {
  await removeUnfinished(data);
  const version = await readVersion(data);
  if (version === undefined) return createCluster(data, binaries, user);
  if (version !== binaries.major)
    throw new Failure(
      'conflict',
      `The database in ${data} was made by Postgres ${version} and this Isocenter brings Postgres ${binaries.major}. ` +
        `Start the Isocenter that wrote it and dump it (pg_dump), or move ${data} away and run \`npx isocenter reindex\`, ` +
        'which rebuilds the index from the objects.',
    );
}

async function readVersion(data: string): Promise<string | undefined> {
  try {
    return (await readFile(path.join(data, 'PG_VERSION'), 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function createCluster(data: string, { initdb }: PostgresBinaries, user: PostgresUser): Promise<void> {
  // A name of its own each time: the initdb of a killed parent may still be at work in the last one.
  const fresh = `${data}.new-${randomUUID()}`;
  const child = spawnPostgres(initdb, user, path.dirname(data), [
    `--pgdata=${fresh}`,
    `--username=${ROLE}`,
    '--auth=trust',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--encoding=UTF8',
    '--data-checksums',
  ]);
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-2000);
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), 120_000);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(limit);
  if (/No space left on device/.test(said))
    throw new Failure(
      'no-space',
      `The disk of ${path.dirname(data)} has no room for a database (some 50 MB to begin with). Free some, or set ISOCENTER_DATA to another disk.`,
    );
  if (code !== 0)
    throw new Failure(
      'internal',
      `initdb could not make a database in ${fresh} (${signal ?? `exit ${code}`}): ${said.trim().replaceAll(/\s*\n\s*/g, ' ')}`,
    );
  await rename(fresh, data);
  await syncFolder(path.dirname(data));
}

async function removeUnfinished(data: string): Promise<void> {
  const folder = path.dirname(data);
  for (const name of await readdir(folder))
    if (name.startsWith(`${path.basename(data)}.new-`))
      await rm(path.join(folder, name), { recursive: true, force: true, maxRetries: 10 });
}

/**
 * Starts a Postgres program in a session of its own, so that Ctrl-C in the terminal reaches us and not it.
 * Of the environment it gets nothing that would move its language, port or options.
 */
export function spawnPostgres(
  program: string,
  user: PostgresUser,
  cwd: string,
  args: string[],
): ChildProcess {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name)),
  );
  const [first = program, ...words] = [...user.prefix, program, ...args];
  return spawn(first, words, {
    cwd,
    env: { ...env, LC_ALL: 'C' },
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(user.uid === undefined ? {} : { uid: user.uid, gid: user.gid }),
  });
}
