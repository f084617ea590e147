/**
 * Where bulk data of STOW's metadata form waits until its instance is whole: its length stands before it in the data
 * set, and a sender need not say it. One file a request, in the data folder's scratch space, without a name from its
 * first byte on: whatever ends the program, nothing is left. Made by archive.ts, used by dicomweb/stow-json.ts.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, statfs, unlink } from 'node:fs/promises';
import path from 'node:path';
import { Failure } from '../../failure.ts';

export interface Spool {
  /** Makes no file before there is something to write. */
  open(): SpoolFile;
}

export interface SpoolFile {
  /** A value behind all others; its bytes come before the next one begins. */
  begin(): SpooledValue;
  /** Gives the room back. */
  close(): Promise<void>;
}

export interface SpooledValue {
  readonly length: number;
  /** @throws Failure 'no-space' at the limit of all files together, or at the disk reserve */
  append(bytes: Uint8Array): Promise<void>;
  /** `length` bytes from `from` on, in pieces that may be reused when the next is asked for. */
  read(from: number, length: number): AsyncGenerator<Buffer>;
  /** Nobody needs it any more. Once nobody needs any, the file begins anew. */
  release(): Promise<void>;
}

export interface SpoolOptions {
  folder: string;
  /** Of all files together, bytes. */
  limitBytes: number;
  /** So much of the disk stays free. */
  reserveBytes: number;
}

/** Room is asked for in steps of this size. */
const STEP = 4 * 1024 * 1024;
const PIECE = 256 * 1024;

export function createSpool({ folder, limitBytes, reserveBytes }: SpoolOptions): Spool {
  let held = 0;
  const claim = async (): Promise<void> => {
    if (held + STEP > limitBytes)
      throw new Failure('no-space', 'As much bulk data waits for its instances as is kept (JOURNAL_LIMIT)');
    held += STEP;
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize - STEP >= reserveBytes) return;
    held -= STEP;
    throw new Failure('no-space', 'The disk is full but for its reserve (DISK_RESERVE)');
  };
  return {
    open() {
      let file: FileHandle | undefined;
      let end = 0;
      let claimed = 0;
      let values = 0;
      return {
        begin() {
          const start = end;
          let length = 0;
          let isHeld = true;
          values++;
          return {
            get length() {
              return length;
            },
            async append(bytes) {
              while (end + bytes.length > claimed) {
                await claim();
                claimed += STEP;
              }
              file ??= await nameless(folder);
              await writeAll(file, bytes, end);
              length += bytes.length;
              end += bytes.length;
            },
            async *read(from, most) {
              const piece = Buffer.allocUnsafe(Math.min(PIECE, most));
              for (let at = start + from; at < start + from + most; ) {
                const wanted = Math.min(piece.length, start + from + most - at);
                const got = file ? await file.read(piece, 0, wanted, at) : undefined;
                if (!got?.bytesRead)
                  throw new Failure('internal', 'the spool is shorter than what was written to it');
                yield piece.subarray(0, got.bytesRead);
                at += got.bytesRead;
              }
            },
            async release() {
              if (!isHeld) return;
              isHeld = false;
              values--;
              if (values > 0) return;
              await file?.truncate(0);
              end = 0;
              held -= claimed;
              claimed = 0;
            },
          };
        },
        async close() {
          const last = file;
          file = undefined;
          held -= claimed;
          claimed = 0;
          await last?.close();
        },
      };
    },
  };
}

async function nameless(folder: string): Promise<FileHandle> {
  const name = path.join(folder, `${randomUUID()}.bulk`);
  try {
    const file = await open(name, 'wx+', 0o600);
    await unlink(name);
    return file;
  } catch (cause) {
    throw noSpace(cause);
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  } catch (cause) {
    throw noSpace(cause);
  }
}

function noSpace(cause: unknown): Failure {
  return new Failure('no-space', 'Bulk data could not be written to the disk', { cause });
}
