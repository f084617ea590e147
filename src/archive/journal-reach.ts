/**
 * How far the index has taken each segment of a node's journal: written in the transaction that indexes its records,
 * which come in their order there. A replay reads a segment from its beginning; a record that was indexed before and
 * has no row was deleted, or dropped by a person, and must not come back.
 * Called by study-index.ts; settler.ts has it forget what lies in no segment any more.
 */
import type { Queryable } from './database/database.ts';
import type { IncomingObject, RecordPlace } from './incoming-object.ts';

type Recorded = Pick<IncomingObject, 'record' | 'replayed'>;

/** @returns whether the index had, or had refused, this record before the crash it is replayed after */
export async function loadReach(
  tx: Queryable,
  node: string,
  batch: readonly Recorded[],
): Promise<(object: Recorded) => boolean> {
  const replayed = batch.flatMap(({ record, replayed }) => (record && replayed ? [record] : []));
  if (replayed.length === 0) return () => false;
  const { rows } = await tx.query<{ segment: string; indexed: number }>(
    `select path || ' ' || nonce as segment, indexed from journal_reach where node = $1 and path = any($2)`,
    [node, [...new Set(replayed.map(({ path }) => path))]],
  );
  const reached = new Map(rows.map(({ segment, indexed }) => [segment, indexed]));
  return ({ record, replayed: isReplayed }) =>
    record !== undefined && isReplayed === true && record.end <= (reached.get(segmentOf(record)) ?? 0);
}

/** These are indexed now, and so is what stands before them in their segments. */
export async function moveReach(tx: Queryable, node: string, batch: readonly Recorded[]): Promise<void> {
  const ends = new Map<string, RecordPlace>();
  for (const { record } of batch)
    if (record && record.end > (ends.get(segmentOf(record))?.end ?? 0)) ends.set(segmentOf(record), record);
  if (ends.size === 0) return;
  const reached = [...ends.values()];
  await tx.query(
    `insert into journal_reach as r (node, path, nonce, indexed)
     select $1, path, nonce, indexed from unnest($2::text[], $3::text[], $4::bigint[]) as n (path, nonce, indexed)
     on conflict (node, path) do update set nonce = excluded.nonce, moved_at = now(),
       indexed = case when r.nonce = excluded.nonce then greatest(r.indexed, excluded.indexed) else excluded.indexed end`,
    [node, reached.map(({ path }) => path), reached.map(({ nonce }) => nonce), reached.map(({ end }) => end)],
  );
}

/**
 * Forgets segments that are in use no more. Not at once: the disk may not have heard yet that a segment is free, and
 * give it back after a power cut as it was.
 * @param nonces of those in use
 */
export async function forgetReach(db: Queryable, node: string, nonces: readonly string[]): Promise<void> {
  await db.query(
    `delete from journal_reach where node = $1 and nonce <> all($2) and moved_at < now() - interval '1 day'`,
    [node, nonces],
  );
}

const segmentOf = ({ path, nonce }: RecordPlace): string => `${path} ${nonce}`;
