/**
 * Finds current instances one by one for doors that are asked for many at once: what is asked while a query is under
 * way shares the next. Of an object that was found before, the query reads only whether its rows are still the same
 * versions, so that corrections and deletions show at once. Made by dicomweb's routes.
 */
import type { Database } from './database/database.ts';
import { findStoredObjects, type StoredObject } from './stored-object.ts';

export interface ObjectFinder {
  /** undefined when there is no such instance in that study and series. @throws Failure 'unavailable' */
  find(which: InstanceAddress): Promise<StoredObject | undefined>;
  /** As it was found last, which may be long ago: to be used only where its version is checked before a byte leaves. */
  remembered(which: InstanceAddress): RememberedObject | undefined;
}

export interface RememberedObject {
  readonly object: StoredObject;
  /** The transactions that last wrote the two rows it is read from: it changes with either of them. */
  readonly version: string;
}

export interface InstanceAddress {
  readonly studyUid: string;
  readonly seriesUid?: string;
  readonly sopUid: string;
}

/** Of one query. */
const MOST_AT_ONCE = 200;
/** Queries at once: a slow one must not hold up all the others. */
const MOST_QUERIES = 1;
/** Numbers and texts of the objects kept, as costOf counts them: some tens of MB, 5,000 images of one frame. */
const MOST_KEPT = 500_000;

interface Row {
  readonly id: number;
  readonly sopUid: string;
  readonly studyUid: string;
  readonly seriesUid: string;
  /** As RememberedObject's. */
  readonly version: string;
}

interface Waiting {
  readonly which: InstanceAddress;
  readonly resolve: (object: StoredObject | undefined) => void;
  readonly reject: (thrown: unknown) => void;
}

export function createObjectFinder(db: Pick<Database, 'query' | 'prepared'>): ObjectFinder {
  const waiting: Waiting[] = [];
  /** By SOP Instance UID, the one read last at the end. */
  const kept = new Map<string, RememberedObject>();
  let keptCost = 0;
  let queries = 0;

  async function answerWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MOST_AT_ONCE);
      try {
        const rows = await findRows(batch.map(({ which }) => which.sopUid));
        const objects = await objectsOf(rows.filter((row) => batch.some(({ which }) => isAt(row, which))));
        for (const { which, resolve } of batch) {
          const object = objects.get(which.sopUid);
          resolve(object && isAt(object, which) ? object : undefined);
        }
      } catch (thrown) {
        for (const { reject } of batch) reject(thrown);
      }
    }
    queries--;
  }

  async function findRows(sopUids: readonly string[]): Promise<Row[]> {
    // One by one, and out of JSON: of a list Postgres knows the length, and would plan anew for each, which costs more
    // than the rows.
    const { rows } = await db.prepared<Row>(
      `select found.* from jsonb_array_elements_text($1::jsonb) as asked(sop_uid) cross join lateral (
         select o.id, i.sop_uid as "sopUid", e.series_uid as "seriesUid", s.study_uid as "studyUid",
           o.xmin || ' ' || i.xmin as version
         from instance i join object o on o.id = i.object join series e on e.id = i.series
           join study s on s.id = e.study
         where i.sop_uid = asked.sop_uid limit 1) found`,
      [JSON.stringify([...new Set(sopUids)])],
    );
    return rows;
  }

  /** By SOP Instance UID. */
  async function objectsOf(rows: readonly Row[]): Promise<Map<string, StoredObject>> {
    const objects = new Map<string, StoredObject>();
    const lacking: Row[] = [];
    for (const row of rows) {
      const known = kept.get(row.sopUid);
      if (known && isSame(known, row)) objects.set(row.sopUid, known.object);
      else lacking.push(row);
    }
    if (lacking.length === 0) return objects;
    const ids = lacking.map(({ id }) => id);
    for (const object of await findStoredObjects(db, { objectIds: ids }, { limit: ids.length })) {
      objects.set(object.sopUid, object);
      // Written meanwhile, it is newer than its version says, and read again next time.
      keep(object, lacking.find(({ id }) => id === object.id)!.version);
    }
    return objects;
  }

  function keep(object: StoredObject, version: string): void {
    const before = kept.get(object.sopUid);
    if (before) keptCost -= costOf(before.object);
    kept.delete(object.sopUid);
    kept.set(object.sopUid, { object, version });
    keptCost += costOf(object);
    for (const [sopUid, oldest] of kept) {
      if (keptCost <= MOST_KEPT) return;
      kept.delete(sopUid);
      keptCost -= costOf(oldest.object);
    }
  }

  return {
    find: (which) =>
      new Promise((resolve, reject) => {
        waiting.push({ which, resolve, reject });
        if (queries >= MOST_QUERIES) return;
        queries++;
        // Behind whatever else came in this turn of the loop, so that it is shared.
        setImmediate(() => void answerWaiting());
      }),
    remembered(which) {
      const known = kept.get(which.sopUid);
      return known && isAt(known.object, which) ? known : undefined;
    },
  };
}

/** An object's row is some hundred numbers and texts, and two numbers for each fragment. */
const costOf = ({ pixel }: StoredObject): number => 100 + (pixel?.fragments?.offsets.length ?? 0);

function isAt(row: Pick<Row, 'studyUid' | 'seriesUid'>, { studyUid, seriesUid }: InstanceAddress): boolean {
  return row.studyUid === studyUid && (seriesUid === undefined || row.seriesUid === seriesUid);
}

function isSame({ object, version }: RememberedObject, row: Row): boolean {
  const { studyUid, seriesUid } = object;
  return (
    object.id === row.id &&
    version === row.version &&
    studyUid === row.studyUid &&
    seriesUid === row.seriesUid
  );
}
