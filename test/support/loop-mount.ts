/**
 * A small disk of its own for a test (needs peer('loop-mount')): an ext4 image, mounted by loop, that can be filled up,
 * and turn read-only as ext4 does after a fault of the disk.
 */
import { execFile } from 'node:child_process';
import { mkdir, open, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { missing, peer } from './peers.ts';

export interface LoopMount {
  /** Where it is mounted. */
  readonly path: string;
  /** The file it lies in. */
  readonly image: string;
  /** Takes all room but so many bytes, with a file beside the others. */
  fill(leaveBytes: number): Promise<void>;
  /** Gives that room back. */
  free(): Promise<void>;
  /** As an administrator does it; waits for files that are open for writing to be closed. */
  readOnly(on: boolean): Promise<void>;
  /** As ext4 does it after a fault of the disk: read-only under open files, until it is attached anew. */
  abort(): Promise<void>;
  /** Unmounts; nobody may be in it. The image stays. */
  detach(): Promise<void>;
  /** Checks what a power cut or a fault has left, and mounts it again. */
  attach(): Promise<void>;
  unmount(): Promise<void>;
}

const run = promisify(execFile);
const FILLER = '.filler';

/** @param at the mount point, an empty folder or one to be made; the image lies beside it */
export async function loopMount(at: string, megabytes: number): Promise<LoopMount> {
  const tools = peer('loop-mount');
  if (!tools) throw new Error(missing('loop-mount'));
  const image = `${at}.img`;
  await mkdir(at, { recursive: true });
  await writeFile(image, '', { flag: 'wx' });
  await truncate(image, megabytes * 1024 * 1024);
  // No blocks set aside for root: full means full.
  await run(tools['mkfs.ext4']!, ['-q', '-F', '-m', '0', image]);
  await run(tools.mount!, ['-o', 'loop', image, at]);
  const filler = join(at, FILLER);
  return {
    path: at,
    image,
    async fill(leaveBytes) {
      const { bavail, bsize } = await statfs(at);
      const file = await open(filler, 'a');
      try {
        const piece = Buffer.alloc(1024 * 1024);
        for (let left = bavail * bsize - leaveBytes; left > 0; left -= piece.length)
          await file.writeFile(piece.subarray(0, Math.min(left, piece.length)));
        await file.sync();
      } catch (thrown) {
        // Others write too; full is full.
        if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOSPC')) throw thrown;
      } finally {
        await file.close();
      }
    },
    free: () => rm(filler, { force: true }),
    async readOnly(on) {
      for (let tries = 0; ; tries++) {
        try {
          await run(tools.mount!, ['-o', on ? 'remount,ro' : 'remount,rw', at]);
          return;
        } catch (thrown) {
          // Busy while a file is open for writing.
          if (tries === 200) throw thrown;
          await sleep(10);
        }
      }
    },
    async abort() {
      await run(tools.mount!, ['-o', 'remount,abort', at]);
    },
    detach: async () => void (await run(tools.umount!, [at])),
    async attach() {
      // 1: what was wrong is put right, as at the start of a machine.
      await run(tools.e2fsck!, ['-p', image]).catch((thrown: { code?: number }) => {
        if (thrown.code !== 1) throw thrown;
      });
      await run(tools.mount!, ['-o', 'loop', image, at]);
    },
    async unmount() {
      await run(tools.umount!, [at]).catch(() => run(tools.umount!, ['-l', at]));
      await rm(image, { force: true });
    },
  };
}
