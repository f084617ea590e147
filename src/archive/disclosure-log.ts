/**
 * Disclosure records (disclosure.ts) of doors that answer many small requests at once: those that come while one
 * transaction is under way share the next, so that a commit is paid by all of them. Made by dicomweb's routes.
 * The same statement says whether an object that was remembered is still the same, so that most frames cost one.
 * A record is committed when its promise settles, but the commit does not wait for the disk: Postgres writes it within
 * 0.6 s (three times wal_writer_delay). A stop or a crash of this program loses none; one of Postgres or of the machine
 * may lose those of its last moment, which is the price of answering a frame faster than a disk syncs.
 */
import { Failure } from '../failure.ts';
import type { Database } from './database/database.ts';
import type { Disclosure } from './disclosure.ts';

export interface DisclosureLog {
  /**
   * @param stillAt written only if the object of the disclosure is still of this version
   * @returns false, with nothing recorded, when the object's rows were written since, or are gone
   * @throws Failure 'unavailable': what cannot be recorded must not leave
   */
  record(disclosure: Disclosure, stillAt?: ObjectVersion): Promise<boolean>;
}

/** The rows an object was read from, as find-object.ts remembers them. */
export interface ObjectVersion {
  readonly objectId: number;
  /** The transactions that last wrote them. */
  readonly version: string;
}

/** Rows of one statement; the others wait for the next. Each has a request that waits for it, so they are few. */
const MOST_AT_ONCE = 500;

interface Waiting {
  readonly disclosure: Disclosure;
  readonly stillAt: ObjectVersion | undefined;
  readonly resolve: (isRecorded: boolean) => void;
  readonly reject: (thrown: unknown) => void;
}

export function createDisclosureLog(db: Pick<Database, 'prepared'>): DisclosureLog {
  const waiting: Waiting[] = [];
  let isWriting = false;

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MOST_AT_ONCE);
      try {
        const changed = await writeBatch(batch);
        for (const [n, { resolve }] of batch.entries()) resolve(!changed.has(n));
      } catch (thrown) {
        // The database away is everybody's; anything else may be the fault of one record, and the others are right.
        if (batch.length === 1 || (thrown instanceof Failure && thrown.kind === 'unavailable'))
          for (const { reject } of batch) reject(thrown);
        else
          for (const one of batch)
            await writeBatch([one]).then((changed) => one.resolve(changed.size === 0), one.reject);
      }
    }
    isWriting = false;
  }

  /** @returns which of them were not written */
  async function writeBatch(batch: readonly Waiting[]): Promise<ReadonlySet<number>> {
    const records = batch.map(({ disclosure, stillAt }, n) => ({ n, ...disclosure, ...stillAt }));
    const { rows } = await db.prepared<{ n: number }>(
      `with quickly as materialized (select set_config('synchronous_commit', 'off', true)),
       asked as materialized (
         select d.*, d."objectId" is null or coalesce(d.version = (
           select o.xmin || ' ' || i.xmin
           from instance i join object o on o.id = i.object join series e on e.id = i.series
             join study s on s.id = e.study
           where i.sop_uid = d."sopUid" and e.series_uid = d."seriesUid" and s.study_uid = d."studyUid"
             and o.id = d."objectId"), false) as stands
         from quickly, jsonb_to_recordset($1::jsonb) as d(n integer, channel text, recipient text, address text,
           "studyUid" text, "seriesUid" text, "sopUid" text, instances integer, detail jsonb, "objectId" bigint,
           version text)),
       written as (
         insert into disclosure (channel, recipient, address, study_uid, series_uid, sop_uid, instances, detail)
         select channel, recipient, address, "studyUid", "seriesUid", "sopUid", instances, detail
         from asked where stands)
       select n from asked where not stands`,
      [JSON.stringify(records)],
    );
    return new Set(rows.map(({ n }) => n));
  }

  return {
    record: (disclosure, stillAt) =>
      new Promise((resolve, reject) => {
        waiting.push({ disclosure, stillAt, resolve, reject });
        if (isWriting) return;
        isWriting = true;
        // Behind whatever else came in this turn of the loop, so that it is shared.
        setImmediate(() => void writeAll());
      }),
  };
}
