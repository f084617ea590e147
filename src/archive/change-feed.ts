/**
 * What changed, in an order every follower can trust.
 * Sequences commit out of order, so `id > cursor` would skip rows once there are two writers: rows carry their
 * transaction's id, and followers read only below the oldest transaction still running, ordered by (xid, id).
 * Written by study-index.ts and stable-study.ts in the transaction of the change; followed by routing and fhir, and by
 * programs outside (admin/change-list.ts).
 */
import type { Log } from '../log.ts';
import type { Database, Queryable } from './database/database.ts';
import type { Listening } from './database/listener.ts';

export type ChangeKind =
  | 'instance-stored'
  | 'instance-replaced'
  | 'instance-removed'
  | 'instance-deleted'
  | 'conflict-settled'
  | 'study-stable'
  | 'study-held'
  | 'study-released'
  | 'study-deleted';

export interface NewChange {
  kind: ChangeKind;
  studyUid: string;
  seriesUid?: string;
  sopUid?: string;
  studyVersion: number;
}

export interface Change extends NewChange {
  id: number;
  at: Date;
}

const CHANNEL = 'isocenter_change';
/** Followers look by themselves this often: a notification is a hint that may be lost. */
const POLL_MS = 1000;
const RETRY_MS = 2000;

/** In the transaction that makes the change. */
export async function appendChanges(tx: Queryable, changes: readonly NewChange[]): Promise<void> {
  if (changes.length === 0) return;
  await tx.query(
    `with appended as (
       insert into change (kind, study_uid, series_uid, sop_uid, study_version)
       select kind, study_uid, series_uid, sop_uid, study_version from jsonb_to_recordset($1)
         as r(kind text, study_uid text, series_uid text, sop_uid text, study_version bigint))
     select pg_notify('${CHANNEL}', '')`,
    [
      JSON.stringify(
        changes.map((change) => ({
          kind: change.kind,
          study_uid: change.studyUid,
          series_uid: change.seriesUid,
          sop_uid: change.sopUid,
          study_version: change.studyVersion,
        })),
      ),
    ],
  );
}

/** A place in the feed: behind the change it names. */
export interface ChangeCursor {
  xid: string;
  id: number;
}

export const FEED_BEGINNING: ChangeCursor = { xid: '0', id: 0 };

/** The next changes behind the cursor; none of them can still be overtaken by one that commits later. */
export async function readChanges(
  db: Queryable,
  after: ChangeCursor,
  limit: number,
): Promise<(Change & ChangeCursor)[]> {
  // A bare name in `order by` is the column that goes out: xid as text, of which '1000' comes before '999'.
  const { rows } = await db.query<Change & ChangeCursor>(
    `select id, xid::text as xid, at, kind, study_uid as "studyUid", series_uid as "seriesUid",
       sop_uid as "sopUid", study_version as "studyVersion"
     from change
     where (xid, id) > ($1::xid8, $2) and xid < pg_snapshot_xmin(pg_current_snapshot())
     order by change.xid, change.id limit $3`,
    [after.xid, after.id, limit],
  );
  return rows;
}

/** Where the feed ends now. */
export async function feedEnd(db: Queryable): Promise<ChangeCursor> {
  const { rows } = await db.query<ChangeCursor>(
    `select xid::text as xid, id from change where xid < pg_snapshot_xmin(pg_current_snapshot())
     order by change.xid desc, change.id desc limit 1`,
  );
  return rows[0] ?? FEED_BEGINNING;
}

export interface FollowerParts {
  database: Database;
  /** Names the cursor; followers of one name in many processes take turns. */
  name: string;
  kinds: readonly ChangeKind[];
  /** Changes handled in one transaction. */
  batch?: number;
  /** Runs in the transaction that moves the cursor: what it writes is written exactly once. */
  handle(tx: Queryable, changes: Change[]): Promise<void>;
  log: Log;
}

export interface Follower {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Look now. */
  wake(): void;
}

/**
 * Handles the next batch, if there is one.
 * @returns how many changes the cursor passed; 0 when there are none or another process holds the cursor
 */
export async function followOnce(parts: FollowerParts): Promise<number> {
  const passed = await followCursor(parts);
  if (passed !== undefined) return passed;
  // A cursor is made in a statement of its own: made in the transaction, it would keep the others of its name waiting.
  const made = await parts.database.query('insert into follower (name) values ($1) on conflict do nothing', [
    parts.name,
  ]);
  return made.rowCount === 0 ? 0 : ((await followCursor(parts)) ?? 0);
}

/** @returns undefined when there is no cursor, or another process holds it */
function followCursor({
  database,
  name,
  kinds,
  batch = 200,
  handle,
}: FollowerParts): Promise<number | undefined> {
  return database.transaction(async (tx) => {
    const cursor = await tx.query<ChangeCursor>(
      'select xid::text as xid, id from follower where name = $1 for update skip locked',
      [name],
    );
    const at = cursor.rows[0];
    if (!at) return undefined;
    // A new statement takes a new snapshot, after the lock: what another process handled before us is seen.
    const found = await readChanges(tx, at, batch);
    const last = found.at(-1);
    if (!last) return 0;
    const wanted = found.filter((change) => kinds.includes(change.kind));
    if (wanted.length > 0) await handle(tx, wanted);
    await tx.query('update follower set xid = $2::xid8, id = $3, moved_at = now() where name = $1', [
      name,
      last.xid,
      last.id,
    ]);
    return found.length;
  });
}

export function createFollower(parts: FollowerParts): Follower {
  let stopping = false;
  let wakeUp: (() => void) | undefined;
  let woken = false;
  let running: Promise<void> | undefined;
  let listening: Listening | undefined;

  const wake = (): void => {
    woken = true;
    wakeUp?.();
  };
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      if (woken || stopping) return resolve();
      const timer = setTimeout(done, ms);
      function done(): void {
        clearTimeout(timer);
        wakeUp = undefined;
        resolve();
      }
      wakeUp = done;
    });

  const run = async (): Promise<void> => {
    while (!stopping) {
      woken = false;
      try {
        const passed = await followOnce(parts);
        if (passed > 0) continue;
        await pause(POLL_MS);
      } catch (err) {
        parts.log.warn({ err, follower: parts.name }, 'the change feed could not be followed, trying again');
        woken = false;
        await pause(RETRY_MS);
      }
    }
  };

  return {
    async start() {
      listening = await parts.database.listen(CHANNEL, wake);
      running = run();
    },
    async stop() {
      stopping = true;
      wakeUp?.();
      await running;
      await listening?.stop();
    },
    wake,
  };
}
