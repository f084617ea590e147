/**
 * Makes a folder and those above it that are missing. Called by data-folder.ts for the data folder itself, whose path
 * is whatever a person wrote: Node's own recursive mkdir tries for ever, and heeds no SIGTERM, where the file system
 * answers ENOENT below a folder that exists (an automounter whose disk is away, /proc).
 */
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';

/**
 * @param mode of the folders that are made
 * @returns the topmost folder that was made, undefined when all were there
 * @throws the file system's fault: ENOENT where nothing can be made, also of a link to nowhere; EEXIST of a file
 */
export async function makeFolder(folder: string, mode: number): Promise<string | undefined> {
  try {
    await mkdir(folder, { mode });
    return folder;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      if ((await stat(folder)).isDirectory()) return undefined;
      throw error;
    }
    const above = path.dirname(folder);
    if (code !== 'ENOENT' || above === folder) throw error;
    const topmost = await makeFolder(above, mode);
    return (await makeLast(folder, mode)) ? (topmost ?? folder) : topmost;
  }
}

/** Once its parent is there. Another starter may have been faster. */
async function makeLast(folder: string, mode: number): Promise<boolean> {
  try {
    await mkdir(folder, { mode });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && (await stat(folder)).isDirectory())
      return false;
    throw error;
  }
}
