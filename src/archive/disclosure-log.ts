/**
 * Disclosure records (disclosure.ts) of doors that answer many small requests at once: those that come while one
 * transaction is under way share the next, so that a commit is paid by all of them. Made by dicomweb's routes.
 * A record is committed when its promise settles, but the commit does not wait for the disk: Postgres writes it within
 * 0.6 s (three times wal_writer_delay). A stop or a crash of this program loses none; one of Postgres or of the machine
 * may lose those of its last moment, which is the price of answering a frame faster than a disk syncs.
 */
import { Failure } from '../failure.ts';
import type { Database } from './database/database.ts';
import { type Disclosure, recordDisclosure } from './disclosure.ts';

export interface DisclosureLog {
  /** @throws Failure 'unavailable': what cannot be recorded must not leave */
  record(disclosure: Disclosure): Promise<void>;
}

/** Rows of one statement; the others wait for the next. Each has a request that waits for it, so they are few. */
const MOST_AT_ONCE = 500;

interface Waiting {
  readonly disclosure: Disclosure;
  readonly resolve: () => void;
  readonly reject: (thrown: unknown) => void;
}

export function createDisclosureLog(db: Pick<Database, 'query' | 'prepared'>): DisclosureLog {
  const waiting: Waiting[] = [];
  let isWriting = false;

  async function writeAll(): Promise<void> {
    isWriting = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MOST_AT_ONCE);
      try {
        await writeBatch(batch.map(({ disclosure }) => disclosure));
        for (const { resolve } of batch) resolve();
      } catch (thrown) {
        // The database away is everybody's; anything else may be the fault of one record, and the others are right.
        if (batch.length === 1 || (thrown instanceof Failure && thrown.kind === 'unavailable'))
          for (const { reject } of batch) reject(thrown);
        else
          for (const { disclosure, resolve, reject } of batch)
            await recordDisclosure(db, disclosure).then(resolve, reject);
      }
    }
    isWriting = false;
  }

  async function writeBatch(disclosures: readonly Disclosure[]): Promise<void> {
    await db.prepared(
      `with quickly as materialized (select set_config('synchronous_commit', 'off', true))
       insert into disclosure (channel, recipient, address, study_uid, series_uid, sop_uid, instances, detail)
       select channel, recipient, address, "studyUid", "seriesUid", "sopUid", instances, detail
       from quickly, jsonb_to_recordset($1::jsonb) as d(channel text, recipient text, address text, "studyUid" text,
         "seriesUid" text, "sopUid" text, instances integer, detail jsonb)`,
      [JSON.stringify(disclosures)],
    );
  }

  return {
    record: (disclosure) =>
      new Promise((resolve, reject) => {
        waiting.push({ disclosure, resolve, reject });
        if (!isWriting) void writeAll();
      }),
  };
}
