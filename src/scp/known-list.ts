/**
 * The list of known AEs as it stands: followed in the database, and kept in a file for the time the database is away,
 * so that the last known list stands and never an open door. Made by scp.ts, which gives it to the receiver threads.
 */
import { once } from 'node:events';
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Database } from '../archive/database/database.ts';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { AES_CHANNEL, type AeTable, knownAeOf } from './ae-table.ts';
import { type KnownAe, parseKnownAe } from './known-ae.ts';

/** Beside the notifications, which may be lost. */
const LOOK_MS = 10_000;
/** A start does not wait longer for a database that hangs. */
const START_PATIENCE_MS = 5000;

export interface KnownList {
  /** Undefined while it was never read: then nobody is known, and that is no empty list. */
  current(): readonly KnownAe[] | undefined;
  start(): Promise<void>;
  /** Reads it now; resolves when who follows has it. */
  refresh(): Promise<void>;
  stop(): Promise<void>;
}

export interface KnownListParts {
  database: Database;
  table: AeTable;
  /** Where the last known list lies. */
  file: string;
  /** Awaited, so that a change is answered once it holds here. */
  onChange(): Promise<void>;
  log: Log;
}

export function createKnownList({ database, table, file, onChange, log }: KnownListParts): KnownList {
  let list: readonly KnownAe[] | undefined;
  let written = '';
  let listening: { stop(): Promise<void> } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  let stopped = false;

  const read = async (): Promise<void> => {
    const found = (await table.list()).map(knownAeOf);
    const text = JSON.stringify(found);
    if (text === written && list) return;
    list = found;
    await onChange();
    try {
      await writeFile(`${file}.new`, text, { mode: 0o600, flush: true });
      await rename(`${file}.new`, file);
      written = text;
    } catch (err) {
      log.error(
        { err },
        'the list of known AE titles holds, and could not be kept for a start without database',
      );
    }
  };
  /** One reading after the other, so that an older answer never follows a newer one. */
  const refresh = (): Promise<void> => {
    const result = turn.then(read);
    turn = Promise.allSettled([result]);
    return result;
  };
  let away = false;
  const sayAway = (err: unknown): void => {
    if (!away && !stopped)
      log.warn(
        { err, known: list?.length ?? 0 },
        'the known AE titles cannot be read; the last known list stands',
      );
    away = true;
  };
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    try {
      // Each connect calls back at once, so the list is read then.
      if (listening) await refresh();
      else listening = await database.listen(AES_CHANNEL, () => void refresh().catch(sayAway));
      away = false;
    } catch (err) {
      sayAway(err);
    } finally {
      looking = false;
    }
  };

  return {
    current: () => list,
    refresh,
    async start() {
      const patience = AbortSignal.timeout(START_PATIENCE_MS);
      const late = once(patience, 'abort').then(() => {
        throw new Failure('unavailable', 'Postgres does not answer');
      });
      try {
        await Promise.race([refresh(), late]);
      } catch (err) {
        const kept = await lastKnown(file, log);
        // It may have been read meanwhile.
        list ??= kept;
        sayAway(err);
        await onChange();
      }
      // Not waited for: a change before the first notification is found by the look that goes with it.
      void look();
      timer = setInterval(() => void look(), LOOK_MS);
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      await listening?.stop();
    },
  };
}

async function lastKnown(file: string, log: Log): Promise<KnownAe[] | undefined> {
  try {
    const kept: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (!Array.isArray(kept)) return undefined;
    return kept.map((one: { name?: unknown }) => {
      const { name, ...settings } = one;
      return { ...parseKnownAe(settings), name: String(name) };
    });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT')
      log.error({ err: asFailure(thrown), file }, 'the last known list of AE titles cannot be read');
    return undefined;
  }
}
