/**
 * As whom Postgres runs. It refuses root, so root gives it a user namespace of its own in which it is nobody
 * special (files keep their owner), or, where those are closed, an unprivileged user who can reach the folder.
 * Called by embedded-postgres.ts before anything is spawned.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, lchownSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';

/** How to spawn a Postgres program: words before it, and the uid and gid to spawn it with. */
export interface PostgresUser {
  prefix: readonly string[];
  uid: number | undefined;
  gid: number | undefined;
}

const NAMESPACE = ['unshare', '--user', '--map-user=1000', '--map-group=1000', '--'];

/**
 * @param folder the folder that holds cluster, socket and log; everything in it belongs to the user afterwards
 * @throws Failure 'unsupported' when this process is root and nobody else can run Postgres here
 */
export function choosePostgresUser(folder: string, binaries: PostgresBinaries, log: Log): PostgresUser {
  if (process.getuid?.() !== 0) return { prefix: [], uid: undefined, gid: undefined };
  // A folder that was once given to a user stays theirs: Postgres wants to own its cluster.
  const owner = statSync(folder);
  const inNamespace: PostgresUser = { prefix: NAMESPACE, uid: undefined, gid: undefined };
  if (owner.uid === 0 && canReach(inNamespace, folder, binaries)) return inNamespace;
  for (const candidate of [owner, ownerAbove(folder), account('postgres'), account('nobody')]) {
    if (candidate === undefined || candidate.uid === 0) continue;
    const user: PostgresUser = { prefix: [], uid: candidate.uid, gid: candidate.gid };
    const before = openWay(folder, candidate);
    if (canReach(user, folder, binaries)) {
      giveAll(folder, candidate.uid, candidate.gid);
      log.info({ uid: candidate.uid }, 'Postgres runs as another user, because this process is root');
      return user;
    }
    before();
  }
  throw new Failure(
    'unsupported',
    `Postgres refuses to run as root, user namespaces are closed here, and no unprivileged user can reach ${folder} ` +
      'and the programs in node_modules. Start as an ordinary user, open the way to the folder, or set DATABASE_URL.',
  );
}

/**
 * Gives the folder to a user, who may also pass (not list) the data folder around it, where everything else is 0700.
 * @returns what takes that back
 */
function openWay(folder: string, user: { uid: number; gid: number }): () => void {
  const parent = path.dirname(folder);
  const [before, above] = [statSync(folder), statSync(parent)];
  chownSync(folder, user.uid, user.gid);
  chmodSync(parent, above.mode | 0o001);
  return () => {
    chownSync(folder, before.uid, before.gid);
    chmodSync(parent, above.mode);
  };
}

/** Who owns the place the folder is in: under a home that others may not enter, its user is the one who can. */
function ownerAbove(folder: string): { uid: number; gid: number } | undefined {
  for (let at = folder; at !== path.dirname(at); at = path.dirname(at)) {
    const found = statSync(at);
    if (found.uid !== 0) return found;
  }
  return undefined;
}

/** Whether that user may write the folder and run the program, tried by doing it. */
function canReach(user: PostgresUser, folder: string, { postgres }: PostgresBinaries): boolean {
  const script = 'test -w "$1" && test -x "$1" && exec "$2" --version';
  const [program = 'sh', ...words] = [...user.prefix, 'sh', '-c', script, 'sh', folder, postgres];
  const { uid, gid } = user;
  const tried = spawnSync(program, words, {
    cwd: '/',
    stdio: 'ignore',
    timeout: 10_000,
    ...(uid === undefined ? {} : { uid, gid }),
  });
  return tried.status === 0;
}

function account(name: string): { uid: number; gid: number } | undefined {
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch (error) {
    // `id` answers 1 for a name that this machine does not know.
    if ((error as { status?: number }).status === 1) return undefined;
    throw error;
  }
}

function giveAll(folder: string, uid: number, gid: number): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    lchownSync(path.join(entry.parentPath, entry.name), uid, gid);
}
