/**
 * The object store in a folder: one file per object, `<folder>/<key>`.
 * Bytes go to a file under `.incoming` and are renamed to their key when complete and right; `sync` makes files and
 * folders durable in batches, behind the journal. The settler uses the synchronous calls (file-store-sync.ts).
 */
import { createHash } from 'node:crypto';
import fs, { closeSync, type Dir, type Dirent } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '../../failure.ts';
import { fileFailure, isCode } from './file-failure.ts';
import { createFileLayout, fileMode, folderMode } from './file-layout.ts';
import { createFileStoreSync, type FileStoreSync } from './file-store-sync.ts';
import { checkPrefix, checkRange, checkSmallRange, isKey, rangeOutside } from './object-key.ts';
import type { ByteRange, ObjectSource, ObjectStore } from './object-store.ts';
import type { PieceBuffers } from './piece-buffers.ts';
import { verifiedBytes } from './verified-bytes.ts';

export interface FileStore extends ObjectStore, FileStoreSync {
  readonly kind: 'files';
}

// Reading goes by descriptors: a FileHandle costs twice as much, and frames are read in their thousands.
const openDescriptor = promisify(fs.open);
const readDescriptor = promisify(fs.read);
const statDescriptor = promisify(fs.fstat);

const chunkLength = 256 * 1024;
/** Syncs under way at once: enough for the file system to commit several in one go, and half of Node's thread pool. */
const syncsAtOnce = 2;

/** `folder` is made at start(); everything the store writes lies in it. */
export function createFileStore(parts: { folder: string }): FileStore {
  const layout = createFileLayout(resolve(parts.folder));
  const { folder, incoming } = layout;

  async function start(): Promise<void> {
    try {
      await mkdir(incoming, { recursive: true, mode: folderMode });
      await writeProbe();
      await removeLeftovers();
      for (const path of [folder, dirname(folder)]) await syncPath(path, 'sync');
    } catch (thrown) {
      throw fileFailure(`use the object folder ${folder}`, thrown);
    }
  }

  /** What a former process had not finished. Younger files may belong to another thread of this one. */
  async function removeLeftovers(): Promise<void> {
    const started = Date.now() - process.uptime() * 1000;
    for await (const entry of await opendir(incoming)) {
      const path = join(incoming, entry.name);
      // A hard link keeps its file's times except the change of the inode, so that one tells.
      if ((await lstat(path)).ctimeMs < started) await rm(path, { force: true });
    }
  }

  async function check(): Promise<void> {
    try {
      await writeProbe();
    } catch (thrown) {
      throw fileFailure(`write to the object folder ${folder}`, thrown);
    }
  }

  async function writeProbe(): Promise<void> {
    const path = layout.temporaryPath();
    await (await open(path, 'wx', fileMode)).close();
    await rm(path);
  }

  async function put(key: string, source: ObjectSource): Promise<void> {
    const path = layout.pathOf(key);
    const suspect = layout.suspectKeys.has(key);
    try {
      if (!suspect && (await holdsEqualBytes(path, source))) return;
      const temporary = layout.temporaryPath();
      try {
        // A suspect's own pages are what is in doubt, so a link to them would not do.
        const linked =
          !suspect && source.linkFrom && (await linkFile(key, source, source.linkFrom, temporary));
        if (!linked) await writeFile(key, source, temporary);
        await renameTo(temporary, path);
        layout.suspectKeys.delete(key);
      } finally {
        // Gone after the rename, but for a link to the very file it was to replace: that rename does nothing.
        await rm(temporary, { force: true });
      }
    } catch (thrown) {
      throw fileFailure(`write the object ${key}`, thrown);
    }
  }

  async function sync(keys: readonly string[]): Promise<void> {
    const paths = keys.map((key) => layout.pathOf(key));
    const folders = [...new Set(paths.flatMap((path) => layout.foldersToSync(path)))];
    try {
      await inParallel(paths, (path) => syncPath(path, 'datasync'));
      await inParallel(folders, (path) => syncPath(path, 'sync'));
    } catch (thrown) {
      for (const key of keys) layout.suspectKeys.add(key);
      throw fileFailure(`sync ${keys.length} objects of ${folder}`, thrown);
    }
    layout.foldersSynced(folders);
  }

  /** To be closed with closeSync: for what was only read that waits for no disk, and saves a trip through the thread pool. */
  async function openFile(key: string): Promise<number> {
    try {
      return await openDescriptor(layout.pathOf(key), 'r');
    } catch (thrown) {
      if (isCode(thrown, 'ENOENT', 'ENOTDIR')) throw notInFolder(key);
      throw fileFailure(`read the object ${key}`, thrown);
    }
  }

  async function lengthOf(file: number, key: string): Promise<number> {
    const found = await statDescriptor(file);
    if (found.isFile()) return found.size;
    throw notInFolder(key);
  }

  /** @throws Failure 'invalid' when the range does not lie inside the file */
  async function checkInside(file: number, key: string, range: ByteRange): Promise<void> {
    const length = await lengthOf(file, key);
    if (range.offset + range.length > length) throw rangeOutside(key, range, length);
  }

  async function* read(key: string, range?: ByteRange, buffers?: PieceBuffers): AsyncGenerator<Uint8Array> {
    if (range) checkRange(range);
    const file = await openFile(key);
    try {
      const { offset, length } = range ?? { offset: 0, length: await lengthOf(file, key) };
      const pieceBytes = (): number => buffers?.pieceBytes ?? chunkLength;
      // What is read at once tells by itself that the file is too short; of more, nothing goes out before it is known.
      if (range && (length > pieceBytes() || length === 0)) await checkInside(file, key, range);
      for (let done = 0; done < length; ) {
        const wanted = Math.min(pieceBytes(), length - done);
        const chunk = buffers?.take(wanted) ?? Buffer.allocUnsafeSlow(wanted);
        if ((await fill(file, chunk, offset + done)) < wanted) {
          if (range) await checkInside(file, key, range);
          throw new Failure('unavailable', `The object ${key} became shorter while it was read.`);
        }
        done += wanted;
        yield chunk;
      }
    } catch (thrown) {
      throw isCode(thrown, 'EISDIR') ? notInFolder(key) : fileFailure(`read the object ${key}`, thrown);
    } finally {
      closeSync(file);
    }
  }

  /** One read, and no question for the length first: frames are read this way, and each call is a trip through the thread pool. */
  async function readRange(
    key: string,
    offset: number,
    length: number,
    buffers?: PieceBuffers,
  ): Promise<Buffer> {
    const range = checkSmallRange(key, { offset, length });
    const file = await openFile(key);
    try {
      const bytes = buffers?.take(length) ?? Buffer.allocUnsafeSlow(length);
      const filled = await fill(file, bytes, offset);
      if (filled < length || length === 0) await checkInside(file, key, range);
      if (filled < length)
        throw new Failure('unavailable', `The object ${key} became shorter while it was read.`);
      return bytes;
    } catch (thrown) {
      throw isCode(thrown, 'EISDIR') ? notInFolder(key) : fileFailure(`read the object ${key}`, thrown);
    } finally {
      closeSync(file);
    }
  }

  async function statObject(key: string): Promise<{ length: number } | undefined> {
    const path = layout.pathOf(key);
    try {
      const found = await stat(path);
      return found.isFile() ? { length: found.size } : undefined;
    } catch (thrown) {
      if (isCode(thrown, 'ENOENT', 'ENOTDIR')) return undefined;
      throw fileFailure(`look at the object ${key}`, thrown);
    }
  }

  async function* list(prefix = ''): AsyncGenerator<{ key: string; length: number }> {
    checkPrefix(prefix);
    // Only the folders that can hold such keys are walked.
    const base = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const key of keysBelow(base)) {
      if (!key.startsWith(prefix)) continue;
      const found = await statObject(key);
      if (found) yield { key, length: found.length };
    }
  }

  /** `base` is '' or ends with '/'. Folders are read piece by piece, so their size does not matter. */
  async function* keysBelow(base: string): AsyncGenerator<string> {
    for await (const entry of entriesOf(join(folder, base))) {
      const key = `${base}${entry.name}`;
      if (!isKey(key)) continue; // .incoming, or something that is not ours
      if (entry.isDirectory()) yield* keysBelow(`${key}/`);
      else if (entry.isFile()) yield key;
    }
  }

  async function* entriesOf(path: string): AsyncGenerator<Dirent> {
    let dir: Dir;
    try {
      dir = await opendir(path, { bufferSize: 256 });
    } catch (thrown) {
      // A prefix nobody stored under; a folder that cannot be read is another matter.
      if (isCode(thrown, 'ENOENT', 'ENOTDIR')) return;
      throw fileFailure(`list the folder ${path}`, thrown);
    }
    yield* dir;
  }

  async function remove(key: string): Promise<void> {
    const path = layout.pathOf(key);
    try {
      await rm(path, { force: true });
    } catch (thrown) {
      throw fileFailure(`remove the object ${key}`, thrown);
    }
  }

  async function renameTo(temporary: string, path: string): Promise<void> {
    try {
      await rename(temporary, path);
    } catch (thrown) {
      if (!isCode(thrown, 'ENOENT')) throw thrown;
      await mkdir(dirname(path), { recursive: true, mode: folderMode });
      await rename(temporary, path);
    }
  }

  return {
    kind: 'files',
    start,
    stop: async () => undefined,
    check,
    put,
    sync,
    read,
    readRange,
    stat: statObject,
    list,
    remove,
    ...createFileStoreSync(layout),
  };
}

const notInFolder = (key: string): Failure =>
  new Failure('not-found', `The object ${key} is not in the object folder.`);

async function holdsEqualBytes(path: string, source: ObjectSource): Promise<boolean> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (thrown) {
    if (isCode(thrown, 'ENOENT')) return false;
    throw thrown;
  }
  try {
    if ((await handle.stat()).size !== source.length) return false;
    const hash = createHash('sha256');
    const stream = handle.createReadStream({ highWaterMark: chunkLength, autoClose: false });
    for await (const chunk of stream) hash.update(chunk as Buffer);
    return hash.digest().equals(source.sha256);
  } finally {
    await handle.close();
  }
}

/** False when the file lies on another file system, or this one cannot link. */
async function linkFile(key: string, source: ObjectSource, from: string, to: string): Promise<boolean> {
  const { size } = await stat(from);
  if (size !== source.length) {
    throw new Failure(
      'mismatch',
      `The file to link as the object ${key} has ${size} bytes where ${source.length} were announced.`,
    );
  }
  try {
    await link(from, to);
    return true;
  } catch (thrown) {
    if (isCode(thrown, 'EXDEV', 'EPERM', 'EMLINK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP')) return false;
    throw thrown;
  }
}

/** @returns how many bytes there were, no more than `into` holds */
async function fill(file: number, into: Buffer, offset: number): Promise<number> {
  let done = 0;
  for (let read = -1; done < into.length && read !== 0; done += read)
    read = (await readDescriptor(file, into, done, into.length - done, offset + done)).bytesRead;
  return done;
}

async function writeFile(key: string, source: ObjectSource, to: string): Promise<void> {
  const handle = await open(to, 'wx', fileMode);
  try {
    await handle.writeFile(verifiedBytes(key, source));
  } finally {
    await handle.close();
  }
}

async function syncPath(path: string, how: 'sync' | 'datasync'): Promise<void> {
  const handle = await open(path, 'r');
  await handle[how]().finally(() => handle.close());
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: syncsAtOnce }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
