/**
 * Where the file store's files lie, and which of them and of their folders still have to be synced.
 * Shared by the asynchronous calls of file-store.ts and the synchronous ones of file-store-sync.ts.
 */
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { checkKey } from './object-key.ts';

/** Files being written; a leading dot keeps it apart from every key. */
const incomingName = '.incoming';

/** Patient data: for the owner, and for a backup in the owner's group. */
export const folderMode = 0o750;
export const fileMode = 0o640;

const rememberedFolders = 10_000;

export interface FileLayout {
  readonly folder: string;
  readonly incoming: string;
  /** Absolute path of a key; Failure 'invalid' when it is not one. */
  pathOf(key: string): string;
  /** A path nobody has used, on the same file system as the objects. */
  temporaryPath(): string;
  /** The folder a file lies in, and the folders above it whose entries are not known to be durable. */
  foldersToSync(path: string): string[];
  foldersSynced(folders: readonly string[]): void;
  /**
   * After a failed sync the kernel may take the pages for clean and let the next sync succeed over nothing written,
   * so an object that was in a failed sync is written anew by its next put, however equal it looks.
   */
  readonly suspectKeys: Set<string>;
}

export function createFileLayout(folder: string): FileLayout {
  const incoming = join(folder, incomingName);
  let durable = new Set<string>();
  return {
    folder,
    incoming,
    pathOf: (key) => join(folder, checkKey(key)),
    temporaryPath: () => join(incoming, randomUUID()),
    foldersToSync(path) {
      const own = dirname(path);
      const folders = [own];
      // A folder is durable when the one above it was synced after it was made; the store's own is seen to by start().
      for (let child = own; child !== folder && !durable.has(child); child = dirname(child)) {
        folders.push(dirname(child));
      }
      return folders;
    },
    foldersSynced(folders) {
      if (durable.size > rememberedFolders) durable = new Set();
      for (const synced of folders) durable.add(synced);
    },
    suspectKeys: new Set(),
  };
}
