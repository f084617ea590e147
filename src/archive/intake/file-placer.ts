/**
 * Places indexed records in a file store, batch by batch: files written, files and folders synced, rows told.
 * Made by placer.ts for the settler, which asks for a step when no object waits for the index: while a modality sends,
 * the disk and the processor belong to it.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { asFailure, Failure } from '../../failure.ts';
import { DatabaseFailure } from '../database/database-failure.ts';
import type { FileStore } from '../object-store/file-store.ts';
import { type Away, mayPass } from './patience.ts';
import { markPlaced, type Placed, type Placement, type Placer, type PlacerParts } from './placement.ts';
import { keyOf, pieces, readPiece } from './read-record.ts';
import { bodyFault, type RecordBody, readBody } from './segment-reader.ts';

/** One sync of the file system's journal serves all files of a batch. */
const BATCH = 256;
/** Of headers in memory; a batch that has so much ends sooner. */
const PIECES_BYTES = 8 * 1024 * 1024;
const STEP_MS = 20;
/** With the store away this many wait (about 1 KB of memory each), the others for the index. */
const MOST = 100_000;
/** So often a record is tried, with the rest of a store that is away between, whose bytes the disk does not give back. */
const READ_TRIES = 3;
const NOT_GIVEN_BACK = 'the disk does not give back all bytes of an object in the journal';

/** A record whose bytes the disk did not give back. */
interface Unread {
  placement: Placement;
  tries: number;
  /** ISO time of the first try */
  since: string;
}

export function createFilePlacer(parts: PlacerParts & { store: FileStore }): Placer {
  const { store, log } = parts;
  let waiting: Placement[] = [];
  let written: (Placement & Placed)[] = [];
  /** Tried again when nothing else is to do, so that the others go on. */
  let unread: Unread[] = [];
  let away: Away | undefined;

  const isBatch = (): boolean =>
    written.length >= BATCH ||
    written.reduce((bytes, { piece }) => bytes + (piece?.length ?? 0), 0) >= PIECES_BYTES;

  const write = async ({ record }: Placement): Promise<void> => {
    const { body } = record;
    const key = keyOf(record);
    if (!body.external) putFromSegment(store, key, body);
    else
      await store.put(key, {
        length: body.length,
        // Asked for only where the file is there already or cannot be linked.
        get sha256() {
          return sha256Of(body);
        },
        open: () => pieces(body),
        linkFrom: body.path,
      });
  };

  /** A fault of the store is thrown; one of the journal is this record's own. */
  const take = async (placement: Placement, before?: Unread): Promise<void> => {
    try {
      await write(placement);
      const piece = placement.described ? undefined : await readPiece(placement.record);
      written.push({ ...placement, piece });
    } catch (thrown) {
      const { header, body } = placement.record;
      const fault = isOfReading(thrown, body) ? bodyFault(body) : undefined;
      if (fault === undefined) throw thrown;
      const tries = (before?.tries ?? 0) + 1;
      const sop = header.meta.sopInstanceUid;
      log.error({ err: fault, sop, tries }, 'an object cannot be read from the journal');
      if (tries < READ_TRIES)
        unread.push({ placement, tries, since: before?.since ?? new Date().toISOString() });
      else await placement.setAside(new Failure('internal', NOT_GIVEN_BACK));
    }
  };

  const writeSome = async (): Promise<void> => {
    const until = performance.now() + STEP_MS;
    let taken = 0;
    try {
      do {
        await take(waiting[taken]!);
        taken++;
      } while (taken < waiting.length && !isBatch() && performance.now() < until);
    } finally {
      waiting = waiting.slice(taken);
    }
  };

  const tryUnread = async (): Promise<void> => {
    const again = unread;
    unread = [];
    while (again.length > 0) {
      try {
        await take(again[0]!.placement, again[0]);
        again.shift();
      } catch (thrown) {
        unread.push(...again);
        throw thrown;
      }
    }
  };

  const finish = async (): Promise<void> => {
    try {
      store.syncSync(written.map(({ record }) => keyOf(record)));
    } catch (thrown) {
      // The kernel may hold the files for clean now, so they are written again from the journal.
      waiting = [...written.map(({ piece: _, ...placement }) => placement), ...waiting];
      written = [];
      throw thrown;
    }
    await markPlaced(parts, written);
    const placed = written;
    written = [];
    for (const { done } of placed) done();
  };

  return {
    add(placement) {
      waiting.push(placement);
    },
    pending: () => waiting.length + written.length + unread.length,
    full: () => waiting.length + written.length + unread.length >= MOST,
    away() {
      const [first] = unread;
      if (away || !first || waiting.length + written.length > 0) return away;
      return { what: 'the journal', since: first.since, why: NOT_GIVEN_BACK };
    },
    async step() {
      try {
        if (waiting.length + written.length === 0) await tryUnread();
        if (waiting.length > 0 && !isBatch()) await writeSome();
        if (isBatch() || (waiting.length === 0 && written.length > 0)) await finish();
        if (away) log.info('the object store is back');
        away = undefined;
      } catch (thrown) {
        const failure = asFailure(thrown);
        if (!mayPass(failure)) throw failure;
        if (!away) log.warn({ err: failure }, 'the object store must wait');
        // Telling the rows is part of placing.
        const what = failure instanceof DatabaseFailure ? 'the index' : 'the object store';
        away = { what, since: away?.since ?? new Date().toISOString(), why: failure.message };
      }
    },
    stop: async () => {},
  };
}

/** Whether the journal may be at fault: what a store says that is full, read-only or gone comes of other calls. */
function isOfReading(thrown: unknown, body: RecordBody): boolean {
  const failure = asFailure(thrown);
  const { cause } = failure;
  if (!(cause instanceof Error && 'syscall' in cause)) return ['mismatch', 'internal'].includes(failure.kind);
  if (cause.syscall === 'read') return true;
  return ['open', 'stat'].includes(String(cause.syscall)) && 'path' in cause && cause.path === body.path;
}

function putFromSegment(store: FileStore, key: string, body: RecordBody): void {
  const fd = fs.openSync(body.path, 'r');
  try {
    store.putSync(key, { fd, offset: body.offset, length: body.length });
  } finally {
    fs.closeSync(fd);
  }
}

function sha256Of(body: RecordBody): Buffer {
  const hash = createHash('sha256');
  for (const piece of readBody(body)) hash.update(piece);
  return hash.digest();
}
