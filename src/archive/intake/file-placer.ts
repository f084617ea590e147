/**
 * Places indexed records in a file store, batch by batch: files written, files and folders synced, rows told.
 * Made by placer.ts for the settler, which asks for a step when no object waits for the index: while a modality sends,
 * the disk and the processor belong to it.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { asFailure } from '../../failure.ts';
import { DatabaseFailure } from '../database/database-failure.ts';
import type { FileStore } from '../object-store/file-store.ts';
import { type Away, mayPass } from './patience.ts';
import { markPlaced, type Placement, type Placer, type PlacerParts } from './placer.ts';
import { keyOf, pieces } from './read-record.ts';
import { type RecordBody, readBody } from './segment-reader.ts';

/** One sync of the file system's journal serves all files of a batch. */
const BATCH = 256;
const STEP_MS = 20;
/** With the store away this many wait (about 1 KB of memory each), the others for the index. */
const MOST = 100_000;

export function createFilePlacer(parts: PlacerParts & { store: FileStore }): Placer {
  const { store, log } = parts;
  let waiting: Placement[] = [];
  let written: Placement[] = [];
  /** A sync failed: the kernel may hold the files for clean now, so they are written again from the journal. */
  let doubtful = false;
  let away: Away | undefined;

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

  const writeSome = async (): Promise<void> => {
    const until = performance.now() + STEP_MS;
    let taken = 0;
    try {
      do {
        const next = waiting[taken]!;
        await write(next);
        written.push(next);
        taken++;
      } while (taken < waiting.length && written.length < BATCH && performance.now() < until);
    } finally {
      waiting = waiting.slice(taken);
    }
  };

  const finish = async (): Promise<void> => {
    if (doubtful) for (const placement of written) await write(placement);
    try {
      store.syncSync(written.map(({ record }) => keyOf(record)));
    } catch (thrown) {
      doubtful = true;
      throw thrown;
    }
    doubtful = false;
    await markPlaced(parts, written);
    const placed = written;
    written = [];
    for (const { done } of placed) done();
  };

  return {
    add(placement) {
      waiting.push(placement);
    },
    pending: () => waiting.length + written.length,
    full: () => waiting.length + written.length >= MOST,
    away: () => away,
    async step() {
      try {
        if (waiting.length > 0 && written.length < BATCH) await writeSome();
        if (written.length >= BATCH || waiting.length === 0) await finish();
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
