/**
 * The folder of Postgres' Unix socket: `run` beside the cluster, for its owner alone, since whoever reaches the
 * socket is let in without a password. A socket's whole path may have 107 bytes (unix(7)); a longer one moves
 * to a fresh folder under the system's temporary one.
 * Called by embedded-postgres.ts.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Failure } from '../../failure.ts';
import type { PostgresUser } from './postgres-user.ts';

/** Postgres names its socket by this number, although it listens on no TCP port. */
export const SOCKET_PORT = 5432;
/** macOS allows 103 bytes, Linux 107; the socket's own name takes `/.s.PGSQL.5432`. */
const LONGEST_FOLDER = 103 - `/.s.PGSQL.${SOCKET_PORT}`.length;

export interface SocketFolder {
  path: string;
  /**
   * Removes a socket that nobody serves any more and its lock file, which Postgres would believe as long as any
   * process has the pid in it. Only before a start, when no postmaster of the cluster lives.
   */
  clear(): void;
  /** Removes what was made outside of the data folder. */
  remove(): void;
}

/** @param folder the embedded Postgres' folder, locked by this process */
export function openSocketFolder(folder: string, user: PostgresUser): SocketFolder {
  const note = path.join(folder, 'socket-folder');
  removeNoted(note);
  const near = path.join(folder, 'run');
  if (Buffer.byteLength(near) <= LONGEST_FOLDER) {
    mkdirSync(near, { recursive: true, mode: 0o700 });
    chmodSync(near, 0o700);
    give(near, user);
    return { path: near, clear: () => clear(near), remove: () => undefined };
  }
  const far = makeTemporary();
  writeFileSync(note, far, { mode: 0o600 });
  give(far, user);
  return { path: far, clear: () => clear(far), remove: () => removeNoted(note) };
}

function clear(folder: string): void {
  for (const name of [`.s.PGSQL.${SOCKET_PORT}`, `.s.PGSQL.${SOCKET_PORT}.lock`])
    rmSync(path.join(folder, name), { force: true });
}

/** mkdtemp makes a new folder or fails, under a name nobody can guess: there is nothing to plant a link in. */
function makeTemporary(): string {
  for (const parent of [os.tmpdir(), '/tmp']) {
    if (Buffer.byteLength(parent) + '/isocenter-XXXXXX'.length > LONGEST_FOLDER) continue;
    const made = mkdtempSync(path.join(parent, 'isocenter-'));
    chmodSync(made, 0o700);
    return made;
  }
  throw new Failure(
    'invalid',
    'No folder has a path short enough for a Unix socket. Set TMPDIR to a short one.',
  );
}

function give(folder: string, { uid, gid }: PostgresUser): void {
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid);
}

/** The folder a killed run left: removed only when it is a real folder of the kind we make, ours or our Postgres'. */
function removeNoted(note: string): void {
  const noted = lstatSync(note, { throwIfNoEntry: false });
  if (noted === undefined) return;
  const far = readFileSync(note, 'utf8');
  const found = lstatSync(far, { throwIfNoEntry: false });
  const owners = [process.getuid?.(), lstatSync(path.dirname(note)).uid];
  const ours = found?.isDirectory() && owners.includes(found.uid) && (found.mode & 0o077) === 0;
  if (ours && /^isocenter-\w{6}$/.test(path.basename(far))) rmSync(far, { recursive: true, force: true });
  rmSync(note, { force: true });
}
