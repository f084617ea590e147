/**
 * What is given into the object store, and what gives it there: file-placer.ts or s3-placer.ts, chosen by placer.ts.
 * Until a record is placed its row points at this node's journal, and read-object.ts reads it there.
 */
import type { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import { insertPacks, planPacks } from '../header-pack-rows.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { noteDropped } from '../removal.ts';
import type { Away } from './patience.ts';
import { keyOf } from './read-record.ts';
import type { JournalRecord } from './segment-reader.ts';

/** An indexed record on its way into the store. */
export interface Placement {
  record: JournalRecord;
  /** What /metadata says of it is kept with its row already. */
  described: boolean;
  /** Called once the object is durable in the store and its row says so. */
  done: () => void;
  /** The journal no longer gives its bytes back: what is left of it goes to quarantine, and it is done. */
  setAside: (failure: Failure) => Promise<void>;
}

export interface Placer {
  add(placement: Placement): void;
  /** Placements that are not done. */
  pending(): number;
  /** More than can be held in memory are not done: nothing further should be indexed now. */
  full(): boolean;
  /** The store takes nothing now: what was added waits. */
  away(): Away | undefined;
  /** A stretch of the work, some 20 ms of it where it can be cut; with the store away one more try. */
  step(): Promise<void>;
  stop(): Promise<void>;
}

export interface PlacerParts {
  database: Database;
  store: ObjectStore;
  nodeName: string;
  /** Uploads to S3 at once. */
  uploads?: number;
  log: Log;
}

/** A placement whose object is in the store. */
export interface Placed {
  record: JournalRecord;
  /** For /metadata, where none is kept yet. */
  piece: Buffer | undefined;
}

/** The rows of placed objects; what another record of the same object has placed before stays as it is. */
export async function markPlaced(
  { database, nodeName }: Pick<PlacerParts, 'database' | 'nodeName'>,
  placed: readonly Placed[],
): Promise<void> {
  await database.transaction(async (tx) => {
    const plan = await planPacks(
      tx,
      placed.map(({ record, piece }) => piece && { seriesUid: record.header.meta.seriesInstanceUid, piece }),
    );
    // Where somebody asked before it was placed, the piece that was kept then stays.
    const { rows } = await tx.query<{ pack: number | null; at: number | null }>(
      `update object o set location = 'store', node = null, journal = null,
         pack = coalesce(o.pack, p.pack),
         pack_at = case when o.pack is null then p.at else o.pack_at end,
         pack_length = case when o.pack is null then p.length else o.pack_length end
       from unnest($1::text[], $2::bytea[], $3::bigint[], $4::int[], $5::int[])
         as p (sop_uid, content_hash, pack, at, length)
       where o.sop_uid = p.sop_uid and o.content_hash = p.content_hash and o.location = 'journal' and o.node = $6
       returning o.pack, o.pack_at as at`,
      [
        placed.map(({ record }) => record.header.meta.sopInstanceUid),
        placed.map(({ record }) => record.header.contentHash),
        plan.places.map((place) => place?.pack ?? null),
        plan.places.map((place) => place?.at ?? null),
        plan.places.map((place) => place?.length ?? null),
        nodeName,
      ],
    );
    await insertPacks(tx, plan, rows);
    if (rows.length === placed.length) return;
    await noteDropped(
      tx,
      placed.map(({ record }) => {
        const { meta, contentHash } = record.header;
        const { studyInstanceUid: studyUid, sopInstanceUid: sopUid } = meta;
        return { key: keyOf(record), studyUid, sopUid, contentHash };
      }),
    );
  });
}
