/**
 * The change feed for programs outside: pages in the order of the feed, each ending in a cursor to go on from. UIDs,
 * kinds and times only. Asked by routes.ts.
 */
import { type ChangeCursor, FEED_BEGINNING, feedEnd, readChanges } from '../archive/change-feed.ts';
import type { Queryable } from '../archive/database/database.ts';

export interface ListedChange {
  at: Date;
  kind: string;
  study: string;
  series: string | null;
  sop: string | null;
  /** Moves with every change of the study's content. */
  studyVersion: number;
}

export interface ChangePage {
  changes: ListedChange[];
  /** To be given as `since` next time; stays good for ever. */
  next: string;
  /** There may be more already. */
  more: boolean;
}

export async function listChanges(
  db: Queryable,
  { since, limit }: { since?: string | undefined; limit: number },
): Promise<ChangePage> {
  if (since === 'latest') return { changes: [], next: written(await feedEnd(db)), more: false };
  const after = since === undefined ? FEED_BEGINNING : read(since);
  const found = await readChanges(db, after, limit);
  return {
    changes: found.map(({ at, kind, studyUid, seriesUid, sopUid, studyVersion }) => ({
      at,
      kind,
      study: studyUid,
      series: seriesUid ?? null,
      sop: sopUid ?? null,
      studyVersion,
    })),
    next: written(found.at(-1) ?? after),
    more: found.length === limit,
  };
}

function written({ xid, id }: ChangeCursor): string {
  return `${xid}-${id}`;
}

/** Of the form that query.ts has checked. */
function read(cursor: string): ChangeCursor {
  const [xid = '0', id = '0'] = cursor.split('-');
  return { xid, id: Number(id) };
}
