/**
 * How the holder of a data folder shows that it lives to a process that cannot see its pid: two containers on one
 * volume have pid namespaces of their own. The holder listens on a Unix socket in the folder, which the kernel
 * closes with it however it ends; asking is connecting. Linux only, where there are such namespaces.
 * Called by data-folder.ts.
 */
import { once } from 'node:events';
import { open, readlink, rm } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';

export interface Presence {
  /** Of the socket's file in the folder. */
  name: string;
  close(): Promise<void>;
}

/** The pid namespace of this process; '' where there are none. */
export async function pidNamespace(): Promise<string> {
  return process.platform === 'linux' ? readlink('/proc/self/ns/pid') : '';
}

/** @returns undefined where the folder's file system has no sockets; then only pids tell */
export async function showPresence(folder: string, name: string): Promise<Presence | undefined> {
  if (process.platform !== 'linux') return undefined;
  // A socket's path may have 107 bytes and a data folder's path may be longer, so it is reached through a handle.
  const handle = await open(folder, 'r');
  const server = net.createServer((caller) => caller.destroy());
  try {
    server.listen(`/proc/self/fd/${handle.fd}/${name}`);
    await once(server, 'listening');
  } catch (error) {
    await handle.close();
    if (['EPERM', 'ENOTSUP', 'EOPNOTSUPP'].includes(codeOf(error))) return undefined;
    throw error;
  }
  server.unref();
  return {
    name,
    async close() {
      await new Promise((resolve) => server.close(resolve));
      await handle.close();
      await rm(path.join(folder, name), { force: true });
    },
  };
}

/** Whether somebody listens there. What cannot be asked counts as living: two holders are worse than none. */
export async function isPresent(folder: string, name: string): Promise<boolean> {
  const handle = await open(folder, 'r');
  const call = net.connect(`/proc/self/fd/${handle.fd}/${name}`);
  try {
    await once(call, 'connect');
    return true;
  } catch (error) {
    return !['ECONNREFUSED', 'ENOENT'].includes(codeOf(error));
  } finally {
    call.destroy();
    await handle.close();
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}
