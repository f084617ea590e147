/**
 * What /metadata says of the instances of a study or series: the kept pieces of their headers (header-piece.ts), page
 * by page; for an object without one the header is read from the object, and its piece kept for the next who asks.
 * Called by dicomweb/metadata.ts.
 */

import type { Log } from '../log.ts';
import type { Database, Queryable } from './database/database.ts';
import { keepPieces, type NewPiece, type PackReader } from './header-pack-rows.ts';
import { isCurrent, MAX_PIECE_BYTES, makePiece } from './header-piece.ts';
import { readAttributes } from './read-attributes.ts';
import type { ObjectReader } from './read-object.ts';
import { findStoredObjects, type ObjectQuery, type StoredObject } from './stored-object.ts';

export interface MetadataParts {
  database: Database;
  reader: ObjectReader;
  packs: PackReader;
  log: Log;
}

/** An instance where it stands now, and its piece. */
export interface DescribedInstance {
  studyUid: string;
  seriesUid: string;
  sopUid: string;
  piece: Buffer;
}

/** Rows asked for at once. */
const PAGE = 2000;
/** Pieces held at once: mostly 4 KB each, at most 4 MB. */
const PIECES_BYTES = 8 * 1024 * 1024;
/** Headers that are read at once, of objects whose rows are; a row carries the places of up to 65,536 fragments. */
const AHEAD = 4;
const OBJECTS = 64;

interface Row {
  object: number;
  studyUid: string;
  seriesUid: string;
  sopUid: string;
  number: number;
  pack: number | null;
  at: number | null;
  length: number | null;
}

/** In the order of findStoredObjects: series, instance number, id. */
export async function* describeInstances(
  parts: MetadataParts,
  where: ObjectQuery,
): AsyncGenerator<DescribedInstance> {
  let after: Row | undefined;
  for (;;) {
    const rows = await findRows(parts.database, where, after);
    for (const slice of slices(rows)) yield* describeSlice(parts, slice);
    after = rows.at(-1);
    if (rows.length < PAGE || !after) return;
  }
}

function* slices(rows: readonly Row[]): Generator<readonly Row[]> {
  let from = 0;
  let bytes = 0;
  for (const [n, { length }] of rows.entries()) {
    bytes += length ?? 0;
    if (bytes <= PIECES_BYTES) continue;
    yield rows.slice(from, n + 1);
    from = n + 1;
    bytes = 0;
  }
  if (from < rows.length) yield rows.slice(from);
}

async function* describeSlice(parts: MetadataParts, rows: readonly Row[]): AsyncGenerator<DescribedInstance> {
  const kept = await keptPieces(parts.packs, rows);
  const lacking = rows.filter(({ object }) => !kept.has(object)).map(({ object }) => object);
  const made: (NewPiece & { object: number })[] = [];
  let madeBytes = 0;
  const reading = readPieces(parts, lacking);
  let read = await reading.next();
  try {
    for (const { object, studyUid, seriesUid, sopUid } of rows) {
      const known = kept.get(object);
      if (known) {
        yield { studyUid, seriesUid, sopUid, piece: known };
        continue;
      }
      // One whose row went between two questions is no longer there.
      if (read.done || read.value.object !== object) continue;
      const { piece } = read.value;
      if (piece.length <= MAX_PIECE_BYTES) {
        made.push({ object, seriesUid, piece });
        madeBytes += piece.length;
      }
      if (madeBytes > PIECES_BYTES) {
        await keep(parts, made.splice(0));
        madeBytes = 0;
      }
      yield { studyUid, seriesUid, sopUid, piece };
      read = await reading.next();
    }
  } finally {
    await reading.return(undefined);
  }
  if (made.length > 0) await keep(parts, made);
}

/** Only the next answer's head start. */
async function keep(
  { database, log }: MetadataParts,
  made: (NewPiece & { object: number })[],
): Promise<void> {
  try {
    await database.transaction((tx) => keepPieces(tx, made));
  } catch (err) {
    log.warn({ err }, 'headers that were read could not be kept');
  }
}

/** From the objects themselves, in the order asked for, a few ahead. */
async function* readPieces(
  { database, reader }: MetadataParts,
  ids: readonly number[],
): AsyncGenerator<{ object: number; piece: Buffer }, undefined> {
  const pending: { object: number; piece: Promise<Buffer> }[] = [];
  const first = async () => {
    const { object, piece } = pending.shift()!;
    return { object, piece: await piece };
  };
  try {
    for (let at = 0; at < ids.length; at += OBJECTS) {
      const stored = await findStoredObjects(
        database,
        { objectIds: ids.slice(at, at + OBJECTS) },
        { limit: OBJECTS },
      );
      for (const object of stored) {
        const piece = pieceOf(reader, object);
        // Whoever awaits it sees the failure; until then it must not count as unhandled.
        piece.catch(() => undefined);
        pending.push({ object: object.id, piece });
        if (pending.length >= AHEAD) yield await first();
      }
    }
    while (pending.length > 0) yield await first();
    return undefined;
  } finally {
    await Promise.allSettled(pending.map(({ piece }) => piece));
  }
}

async function pieceOf(reader: ObjectReader, object: StoredObject): Promise<Buffer> {
  const { pixel, transferSyntax: transferSyntaxUid } = object;
  return makePiece({ ...(await readAttributes(reader, object)), pixel, transferSyntaxUid });
}

async function findRows(db: Queryable, where: ObjectQuery, after: Row | undefined): Promise<Row[]> {
  const { rows } = await db.query<Row>(
    `select o.id as object, s.study_uid as "studyUid", e.series_uid as "seriesUid", i.sop_uid as "sopUid",
       coalesce(i.number, -1) as number, o.pack, o.pack_at as at, o.pack_length as length
     from instance i join object o on o.id = i.object join series e on e.id = i.series join study s on s.id = e.study
     where ($1::text is null or s.study_uid = $1) and ($2::text is null or e.series_uid = $2)
       and ($3::text is null or i.sop_uid = $3)
       and ($4::text is null or (e.series_uid, coalesce(i.number, -1), o.id) > ($4, $5, $6))
     order by e.series_uid, coalesce(i.number, -1), o.id limit ${PAGE}`,
    [
      where.studyUid ?? null,
      where.seriesUid ?? null,
      where.sopUid ?? null,
      after?.seriesUid ?? null,
      after?.number ?? null,
      after?.object ?? null,
    ],
  );
  return rows;
}

/** By object; views of the packs. */
async function keptPieces(reader: PackReader, rows: readonly Row[]): Promise<Map<number, Buffer>> {
  const packs = await reader.read([...new Set(rows.flatMap(({ pack }) => pack ?? []))]);
  const kept = new Map<number, Buffer>();
  for (const { object, pack, at, length } of rows) {
    const bytes = pack === null ? undefined : packs.get(pack);
    if (!bytes || at === null || length === null) continue;
    const piece = bytes.subarray(at, at + length);
    if (isCurrent(piece)) kept.set(object, piece);
  }
  return kept;
}
