/**
 * The file store's synchronous calls, for a thread that does nothing else (the settler): each trip through Node's
 * thread pool costs about as much as the write itself.
 * Same places, same promises as file-store.ts: temporary file, rename, and `syncSync` for a batch later.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { Failure } from '../../failure.ts';
import { fileFailure, isCode } from './file-failure.ts';
import { type FileLayout, fileMode, folderMode } from './file-layout.ts';

/** Bytes that lie in an open file, such as a journal segment. */
export interface FileBytes {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

export interface FileStoreSync {
  /** As ObjectStore.put, of bytes the caller has verified. Durable only after a sync. */
  putSync(key: string, bytes: readonly Uint8Array[] | FileBytes): void;
  /** As ObjectStore.sync. */
  syncSync(keys: readonly string[]): void;
}

const bufferLength = 1024 * 1024;
/** The kernel takes 1024 parts in one writev. */
const partsPerWrite = 512;

export function createFileStoreSync(layout: FileLayout): FileStoreSync {
  // One buffer each for the two sides of a comparison; calls never overlap in one thread.
  const buffer = Buffer.allocUnsafeSlow(bufferLength);
  const otherBuffer = Buffer.allocUnsafeSlow(bufferLength);

  function putSync(key: string, bytes: readonly Uint8Array[] | FileBytes): void {
    const path = layout.pathOf(key);
    try {
      if (!layout.suspectKeys.has(key) && holdsEqualBytes(path, bytes)) return;
      writeAndRename(path, bytes);
      layout.suspectKeys.delete(key);
    } catch (thrown) {
      throw fileFailure(`write the object ${key}`, thrown);
    }
  }

  function writeAndRename(path: string, bytes: readonly Uint8Array[] | FileBytes): void {
    const temporary = layout.temporaryPath();
    try {
      const fd = openSync(temporary, 'wx', fileMode);
      try {
        if ('fd' in bytes) copyBytes(bytes, fd);
        else writeParts(fd, bytes);
      } finally {
        closeSync(fd);
      }
      try {
        renameSync(temporary, path);
      } catch (thrown) {
        if (!isCode(thrown, 'ENOENT')) throw thrown;
        mkdirSync(dirname(path), { recursive: true, mode: folderMode });
        renameSync(temporary, path);
      }
    } catch (thrown) {
      rmSync(temporary, { force: true });
      throw thrown;
    }
  }

  function copyBytes(from: FileBytes, to: number): void {
    for (const chunk of chunksOf(from)) writeFully(to, chunk);
  }

  /** Yields the one buffer again and again: use a chunk before asking for the next. */
  function* chunksOf(from: FileBytes): Generator<Buffer> {
    for (let done = 0; done < from.length; ) {
      const count = readSync(
        from.fd,
        buffer,
        0,
        Math.min(bufferLength, from.length - done),
        from.offset + done,
      );
      if (count === 0) {
        throw new Failure(
          'mismatch',
          `The file to copy from ends at byte ${from.offset + done}, before byte ${from.offset + from.length}.`,
        );
      }
      done += count;
      yield buffer.subarray(0, count);
    }
  }

  function holdsEqualBytes(path: string, bytes: readonly Uint8Array[] | FileBytes): boolean {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (thrown) {
      if (isCode(thrown, 'ENOENT')) return false;
      throw thrown;
    }
    try {
      const length = 'fd' in bytes ? bytes.length : bytes.reduce((sum, part) => sum + part.length, 0);
      if (fstatSync(fd).size !== length) return false;
      let offset = 0;
      for (const part of 'fd' in bytes ? chunksOf(bytes) : bytes) {
        if (!equalsAt(fd, offset, part)) return false;
        offset += part.length;
      }
      return true;
    } finally {
      closeSync(fd);
    }
  }

  function equalsAt(fd: number, offset: number, part: Uint8Array): boolean {
    for (let done = 0; done < part.length; ) {
      const count = readSync(fd, otherBuffer, 0, Math.min(bufferLength, part.length - done), offset + done);
      if (count === 0 || otherBuffer.compare(part, done, done + count, 0, count) !== 0) return false;
      done += count;
    }
    return true;
  }

  function syncSync(keys: readonly string[]): void {
    const paths = keys.map((key) => [key, layout.pathOf(key)] as const);
    const folders = new Set<string>();
    try {
      for (const [key, path] of paths) {
        syncFile(path, fdatasyncSync, `sync the object ${key}`);
        for (const folder of layout.foldersToSync(path)) folders.add(folder);
      }
      for (const folder of folders) syncFile(folder, fsyncSync, `sync the folder ${folder}`);
    } catch (thrown) {
      for (const key of keys) layout.suspectKeys.add(key);
      throw thrown;
    }
    layout.foldersSynced([...folders]);
  }

  return { putSync, syncSync };
}

function syncFile(path: string, sync: (fd: number) => void, doing: string): void {
  try {
    const fd = openSync(path, 'r');
    try {
      sync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (thrown) {
    throw fileFailure(doing, thrown);
  }
}

function writeParts(fd: number, parts: readonly Uint8Array[]): void {
  for (let first = 0; first < parts.length; first += partsPerWrite) {
    const batch = parts.slice(first, first + partsPerWrite);
    let written = writevSync(fd, batch);
    // A short write is rare (a signal, a quota met half-way); the rest goes part by part.
    for (const part of batch) {
      if (written < part.length) writeFully(fd, part.subarray(written));
      written = Math.max(0, written - part.length);
    }
  }
}

function writeFully(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done);
}
