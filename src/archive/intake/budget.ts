/**
 * How much the journals may hold together, and how much disk must stay free for Postgres to live.
 * One shared counter for all threads of the process; asked by journal.ts and object-writer.ts,
 * read by health and metrics.
 */
import fs from 'node:fs';
import { Failure } from '../../failure.ts';

export interface JournalBudget {
  /** Claims bytes. @throws Failure 'no-space' at the limit or the disk reserve */
  reserve(bytes: number): void;
  /** Counts what already lies on the disk (found at start), without asking for room. */
  count(bytes: number): void;
  free(bytes: number): void;
  /** Why that much could not be claimed now, in a sentence; undefined when it could. */
  shortage(bytes: number): string | undefined;
  /** Bytes claimed now. */
  held(): number;
  /** The most that may be claimed. */
  readonly limit: number;
}

export interface BudgetOptions {
  /** 8 bytes, shared by all threads */
  counter: SharedArrayBuffer;
  limitBytes: number;
  reserveBytes: number;
  folder: string;
}

export function createBudget(options: BudgetOptions): JournalBudget {
  const counter = new BigInt64Array(options.counter);
  const held = (): number => Number(Atomics.load(counter, 0));
  /** Undefined when the disk does not say: it is gone or faulty, and takes nothing now. */
  const diskLeft = (): number | undefined => {
    try {
      const { bavail, bsize } = fs.statfsSync(options.folder);
      return bavail * bsize;
    } catch (thrown) {
      if (thrown instanceof Error && 'syscall' in thrown) return undefined;
      throw thrown;
    }
  };
  /** @param before bytes claimed beside these */
  const lack = (before: number, bytes: number): string | undefined => {
    if (before + bytes > options.limitBytes)
      return `the journal is full: ${size(before)} wait in it (JOURNAL_LIMIT)`;
    const left = diskLeft();
    if (left === undefined) return 'the disk of the journal does not answer';
    if (left - bytes < options.reserveBytes)
      return `the disk is full but for the reserve of ${size(options.reserveBytes)} (DISK_RESERVE)`;
    return undefined;
  };
  return {
    held,
    limit: options.limitBytes,
    shortage: (bytes) => lack(held(), bytes),
    reserve(bytes) {
      const reason = lack(Number(Atomics.add(counter, 0, BigInt(bytes))), bytes);
      if (reason === undefined) return;
      Atomics.sub(counter, 0, BigInt(bytes));
      throw new Failure('no-space', reason);
    },
    count(bytes) {
      Atomics.add(counter, 0, BigInt(bytes));
    },
    free(bytes) {
      Atomics.sub(counter, 0, BigInt(bytes));
    },
  };
}

/** As people and the README's settings write it. The Error Comment has room for 64 characters. */
function size(bytes: number): string {
  const [unit, of] = bytes < 1024 ** 3 ? (['MB', 1024 ** 2] as const) : (['GB', 1024 ** 3] as const);
  return `${Number((bytes / of).toFixed(1))} ${unit}`;
}
