/**
 * One receiver thread's journal: recycled segment files, and who may write in which.
 * A writer takes an open segment for the time of one object (object-writer.ts) and gives it back;
 * a full segment is sealed; the settler releases it once everything in it is indexed, placed and synced.
 * All file calls are synchronous on purpose: the thread does nothing else, and every trip through Node's
 * thread pool costs about as much as the sync itself.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Failure } from '../../failure.ts';
import { isCode } from '../object-store/file-failure.ts';
import type { JournalBudget } from './budget.ts';
import {
  aligned,
  encodeSegmentHeader,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  segmentUse,
} from './record.ts';

export const SEGMENT_BYTES = 32 * 1024 * 1024;
/**
 * Segments kept ready, each written full once: overwriting a file syncs in half the time that growing it takes.
 * Two are made at start, the others in the quiet after it; one journal never keeps more than this part of the limit.
 */
const READY_SEGMENTS = 8;
const READY_PART = 1 / 16;
const READY_AT_ONCE = 2;
const PREPARE_AFTER_MS = 500;
/** Between one MB and the next, so that a journal in use is hardly slowed. */
const PREPARE_PAUSE_MS = 4;
const PREPARE_BYTES = 1024 * 1024;
/** Open segments kept for the next objects once their records are settled; each holds a segment of the limit. */
const IDLE_SEGMENTS = 2;

/** Bytes gathered before one write call; a smaller object is written with its header in one. */
const STAGE_BYTES = 256 * 1024;

export interface Segment {
  readonly path: string;
  readonly fd: number;
  readonly nonce: Buffer;
  /** Where the next record goes. */
  end: number;
  /** For the bytes of one object at a time (body-writer.ts). */
  readonly stage: Buffer;
}

/** What the settler is told; `end` is the end of the last durable record. */
export type JournalNews = { path: string; nonce: string; end: number; sealed: boolean };

export interface JournalOptions {
  folder: string;
  budget: JournalBudget;
  tell: (news: JournalNews) => void;
  /** Should this thread go in the middle of such an object, its room is given back by who was told. */
  tellSpilling?: (spill: { path: string; claimed: number }) => void;
  segmentBytes?: number;
  /** Free segments that an earlier run left in the folder: used again. */
  ready?: readonly string[];
}

export interface Journal {
  readonly folder: string;
  readonly segmentBytes: number;
  /** @throws Failure 'no-space' when the journal's limit or the disk reserve is reached */
  take(): Segment;
  /** After a durable record: the settler may read up to segment.end. */
  advance(segment: Segment): void;
  /** The object is done or was dropped: the segment is free for the next one. */
  giveBack(segment: Segment): void;
  /** Its disk has failed under it: what it holds is settled, and nothing more is written there. */
  abandon(segment: Segment): void;
  /** An object in a file of its own has claimed so much now; 0 when it is finished or dropped. */
  spilling(path: string, claimed: number): void;
  /** The settler has caught up: what many associations at once left open is sealed, so that its room comes back. */
  trim(): void;
  /** The settler is done with the file, and has given its room back: recycle it. */
  recycle(path: string): void;
  /** Room the next record should find; learned from what came before. */
  expect(bytes: number): void;
  close(): void;
}

/** Opens (and makes) the journal's folder. Segments that lie there from before belong to the replay, not to us. */
export function createJournal(options: JournalOptions): Journal {
  const { folder, budget, tell } = options;
  const segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const run = `${Date.now().toString(36)}-${randomBytes(3).toString('hex')}`;
  let made = 0;
  const wanted = (bytes: number): number => Math.min(aligned(RECORD_HEADER_BYTES + bytes), segmentBytes / 4);
  let want = wanted(256 * 1024);
  const idle: Segment[] = [];
  const pool: string[] = [];
  const abandoned = new Set<string>();

  const create = (): string => {
    const file = path.join(folder, `${run}-${String(made++).padStart(6, '0')}.seg`);
    fs.closeSync(fs.openSync(file, 'wx', 0o600));
    syncFolder(folder);
    return file;
  };

  const keepReady = Math.max(
    READY_AT_ONCE,
    Math.min(READY_SEGMENTS, Math.floor((budget.limit * READY_PART) / segmentBytes)),
  );
  let closed = false;

  /** Yields after each MB; what it made is in the pool when it is done. */
  function* prepare(): Generator<void> {
    const zeros = Buffer.alloc(PREPARE_BYTES);
    const file = create();
    const fd = fs.openSync(file, 'r+');
    try {
      for (let at = 0; at < segmentBytes && !closed; at += zeros.length) {
        fs.writeSync(fd, zeros, 0, Math.min(zeros.length, segmentBytes - at), at);
        yield;
      }
      fs.fdatasyncSync(fd);
    } finally {
      fs.closeSync(fd);
      pool.push(file);
    }
  }
  const prepareInTheQuiet = (step?: Iterator<void>): void => {
    if (closed) return;
    giveUpWhenFull(() => {
      if (step && !step.next().done) setTimeout(() => prepareInTheQuiet(step), PREPARE_PAUSE_MS).unref();
      else if (made < keepReady && budget.shortage(segmentBytes) === undefined) prepareInTheQuiet(prepare());
    });
  };

  for (const file of options.ready ?? []) if (pool.length < keepReady) pool.push(file);
  made = pool.length;
  giveUpWhenFull(() => {
    while (made < READY_AT_ONCE && budget.shortage(segmentBytes) === undefined) for (const _ of prepare());
  });
  setTimeout(() => prepareInTheQuiet(), PREPARE_AFTER_MS).unref();

  const seal = (segment: Segment): void => {
    fs.closeSync(segment.fd);
    tell({ path: segment.path, nonce: segment.nonce.toString('hex'), end: segment.end, sealed: true });
  };

  const open = (): Segment => {
    budget.reserve(segmentBytes);
    let file: string | undefined;
    let fd: number | undefined;
    try {
      file = pool.pop() ?? create();
      fd = fs.openSync(file, 'r+');
      const nonce = randomBytes(16);
      // The new nonce goes in, and to the disk, before any new byte: whoever still reads the old content sees that it
      // has gone, and a replay after a power cut never finds new bytes under the old nonce.
      fs.writeSync(fd, encodeSegmentHeader(nonce), 0, SEGMENT_HEADER_BYTES, 0);
      fs.fdatasyncSync(fd);
      // Told before it holds anything: should this thread go, the settler gives its room back.
      tell({ path: file, nonce: nonce.toString('hex'), end: SEGMENT_HEADER_BYTES, sealed: false });
      return { path: file, fd, nonce, end: SEGMENT_HEADER_BYTES, stage: Buffer.allocUnsafeSlow(STAGE_BYTES) };
    } catch (cause) {
      if (fd !== undefined) fs.closeSync(fd);
      if (file !== undefined) pool.push(file);
      budget.free(segmentBytes);
      throw new Failure('no-space', 'the journal cannot open a segment', { cause });
    }
  };

  return {
    folder,
    segmentBytes,
    take() {
      for (let segment = idle.pop(); segment; segment = idle.pop()) {
        if (segmentBytes - segment.end >= want) return segment;
        seal(segment);
      }
      return open();
    },
    advance(segment) {
      tell({ path: segment.path, nonce: segment.nonce.toString('hex'), end: segment.end, sealed: false });
    },
    giveBack(segment) {
      idle.push(segment);
    },
    abandon(segment) {
      abandoned.add(segment.path);
      seal(segment);
    },
    spilling: (file, claimed) => options.tellSpilling?.({ path: file, claimed }),
    trim() {
      while (idle.length > IDLE_SEGMENTS) seal(idle.shift()!);
    },
    recycle(file) {
      if (abandoned.delete(file) || pool.length >= keepReady) fs.rmSync(file, { force: true });
      else pool.push(file);
    },
    expect(bytes) {
      want = wanted(bytes);
    },
    close() {
      closed = true;
      for (const segment of idle.splice(0)) seal(segment);
    },
  };
}

/** Only a head start is lost: a disk that is full now answers for each object (no-space) until it is not. */
function giveUpWhenFull(work: () => void): void {
  try {
    work();
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown)) throw thrown;
  }
}

/** Whether the file is a whole segment that holds nothing: left by a run that ended, to be used again. */
export function isFreeSegment(file: string, segmentBytes: number): boolean {
  const fd = fs.openSync(file, 'r');
  try {
    if (fs.fstatSync(fd).size !== segmentBytes) return false;
    const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const first = Buffer.alloc(RECORD_HEADER_BYTES);
    fs.readSync(fd, header, 0, header.length, 0);
    fs.readSync(fd, first, 0, first.length, header.length);
    return segmentUse(header, first) === 'free';
  } catch (thrown) {
    // Whether a record stands where the disk gives nothing back, the replay looks into.
    if (isCode(thrown, 'EIO')) return false;
    throw thrown;
  } finally {
    fs.closeSync(fd);
  }
}

/** A new name is durable only once its folder is synced. */
export function syncFolder(folder: string): void {
  const fd = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
