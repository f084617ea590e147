/**
 * The folder a measurement writes in, on the disk under measurement, and its end: it is removed also when the
 * measurement is interrupted. Opened by receive.ts and dicomweb.ts.
 */
import { statfsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** storage/data is ignored by git and stands on the disk a user's data stands on. */
const DATA_FOLDER = fileURLToPath(new URL('../storage/data', import.meta.url));

export interface Workspace {
  readonly path: string;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  remove(): Promise<void>;
}

/** @param folder of --folder; the workspace is made in it. Throws where it has less than `neededBytes` free. */
export async function openWorkspace(folder: string | undefined, neededBytes: number): Promise<Workspace> {
  const parent = resolve(folder ?? DATA_FOLDER);
  await mkdir(parent, { recursive: true });
  const { bavail, bsize } = statfsSync(parent);
  if (bavail * bsize < neededBytes)
    throw new Error(`${parent} has less than ${neededBytes / 1e9} GB free; name another disk with --folder`);
  const path = await mkdtemp(join(parent, 'bench-'));
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(new Error('interrupted'));
  // Heard until the end: timeout(1) and npm both pass a signal on, and the second must not cut the cleaning up.
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  return {
    path,
    signal: interrupted.signal,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 });
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    },
  };
}
