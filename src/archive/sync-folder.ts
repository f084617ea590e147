/**
 * Makes the names in a folder last: a file that was made or renamed there is only found again after a power cut once its
 * folder is synced. Used wherever something is put in place for good; intake/journal.ts, which
 * is synchronous throughout, has its own.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** @throws the file system's fault */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
