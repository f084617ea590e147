/**
 * The rows of header packs (header-piece.ts): written with the objects' own rows by object-rows.ts; by the placers, in
 * the transaction that tells where an object lies, and by series-metadata.ts for objects that had none; read by
 * series-metadata.ts.
 */
import type { Queryable } from './database/database.ts';

/** One pack holds at most this much, so that an instance's piece is cut out of little. */
const MAX_PACK_BYTES = 1024 * 1024;

export interface NewPiece {
  /** Pieces of one series stand together. */
  seriesUid: string;
  piece: Buffer;
}

/** Where each piece is to lie, in the order given; undefined where there is none. */
export interface PackPlan {
  places: readonly (PackPlace | undefined)[];
  packs: ReadonlyMap<number, Buffer>;
}

export interface PackPlace {
  pack: number;
  at: number;
  length: number;
}

/** A pack that is filled, and whose pieces are in it: by their number in the list. */
interface Filling {
  parts: Buffer[];
  members: number[];
  length: number;
}

function fillPacks(pieces: readonly (NewPiece | undefined)[]): Filling[] {
  const open = new Map<string, Filling>();
  const packs: Filling[] = [];
  for (const [n, one] of pieces.entries()) {
    if (!one) continue;
    let pack = open.get(one.seriesUid);
    if (!pack || pack.length + one.piece.length > MAX_PACK_BYTES) {
      pack = { parts: [], members: [], length: 0 };
      open.set(one.seriesUid, pack);
      packs.push(pack);
    }
    pack.parts.push(one.piece);
    pack.members.push(n);
    pack.length += one.piece.length;
  }
  return packs;
}

function placesIn(packs: readonly Filling[], ids: readonly number[], count: number): PackPlan['places'] {
  const places: (PackPlace | undefined)[] = Array(count).fill(undefined);
  for (const [p, { parts, members }] of packs.entries()) {
    let at = 0;
    for (const [m, member] of members.entries()) {
      const { length } = parts[m]!;
      places[member] = { pack: ids[p]!, at, length };
      at += length;
    }
  }
  return places;
}

/** For objects whose rows are made in the same transaction, each with the place of its piece. */
export async function insertPieces(
  tx: Queryable,
  pieces: readonly (NewPiece | undefined)[],
  packed?: (id: number, bytes: Buffer) => void,
): Promise<PackPlan['places']> {
  const packs = fillPacks(pieces);
  if (packs.length === 0) return pieces.map(() => undefined);
  const ids: number[] = [];
  for (const { parts, length } of packs) {
    const bytes = Buffer.concat(parts, length);
    const { rows } = await tx.query<{ id: number }>(
      'insert into header_pack (bytes) values ($1) returning id',
      [bytes],
    );
    ids.push(rows[0]!.id);
    packed?.(rows[0]!.id, bytes);
  }
  return placesIn(packs, ids, pieces.length);
}

/** Gives each piece its place; the packs become rows by insertPacks. */
export async function planPacks(db: Queryable, pieces: readonly (NewPiece | undefined)[]): Promise<PackPlan> {
  const packs = fillPacks(pieces);
  if (packs.length === 0) return { places: pieces.map(() => undefined), packs: new Map() };
  const { rows } = await db.query<{ id: number }>(
    `select nextval(pg_get_serial_sequence('header_pack', 'id')) as id from generate_series(1, $1)`,
    [packs.length],
  );
  const ids = rows.map(({ id }) => id);
  return {
    places: placesIn(packs, ids, pieces.length),
    packs: new Map(packs.map(({ parts, length }, p) => [ids[p]!, Buffer.concat(parts, length)])),
  };
}

/**
 * The packs, once objects were given their places. What lies at a place that none was given (its object went meanwhile)
 * is not kept: nothing would ever remove it.
 */
export async function insertPacks(
  tx: Queryable,
  { places, packs }: PackPlan,
  given: readonly { pack: number | null; at: number | null }[],
): Promise<void> {
  const taken = new Set(given.map(({ pack, at }) => `${pack} ${at}`));
  for (const place of places)
    if (place && !taken.has(`${place.pack} ${place.at}`))
      packs.get(place.pack)?.fill(0, place.at, place.at + place.length);
  const used = new Set(given.map(({ pack }) => pack));
  // One at a time, mostly it is one: a list of bytes goes over as text.
  for (const [id, bytes] of packs)
    if (used.has(id))
      await tx.query('insert into header_pack (id, bytes) overriding system value values ($1, $2)', [
        id,
        bytes,
      ]);
}

/** For objects that have no piece, or one of another version, which goes. */
export async function keepPieces(
  tx: Queryable,
  pieces: readonly (NewPiece & { object: number })[],
): Promise<void> {
  const before = await tx.query<{ id: number }>(
    'select id from object where id = any($1) and pack is not null order by id for update',
    [pieces.map(({ object }) => object)],
  );
  await dropPieces(
    tx,
    before.rows.map(({ id }) => id),
  );
  const plan = await planPacks(tx, pieces);
  const { rows } = await tx.query<{ pack: number; at: number }>(
    `update object o set pack = p.pack, pack_at = p.at, pack_length = p.length
     from unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[]) as p (id, pack, at, length)
     where o.id = p.id returning o.pack, o.pack_at as at`,
    [
      pieces.map(({ object }) => object),
      plan.places.map((place) => place?.pack),
      plan.places.map((place) => place?.at),
      plan.places.map((place) => place?.length),
    ],
  );
  await insertPacks(tx, plan, rows);
}

export interface PackReader {
  /** Whole packs, by id. */
  read(ids: readonly number[]): Promise<Map<number, Buffer>>;
  /** One that was just written: who asks first asks for what came last. */
  keep(id: number, bytes: Buffer): void;
  /** At the start: those that were written last. */
  keepLast(): Promise<void>;
  /** Keeps none of them: the database may be another one now, whose ids lead elsewhere. */
  forget(): void;
}

/** Some 4,000 instances. */
const LAST_PACKS = 32;

/**
 * Reads packs, and keeps those asked for last, up to so many bytes. A pack never changes while an object has a place in
 * it, so what is kept is never wrong, as long as the database is the same: one that was restored, or a replica that took
 * over without the last transactions, gives their ids to others (forget()).
 */
export function createPackReader(db: Queryable, keptBytes: number): PackReader {
  /** In the order in which they were asked for, the last at the end. */
  const kept = new Map<number, Buffer>();
  let held = 0;
  let forgotten = 0;
  const keep = (id: number, bytes: Buffer): void => {
    if (kept.has(id)) return;
    kept.set(id, bytes);
    held += bytes.length;
    for (const [oldest, { length }] of kept) {
      if (held <= keptBytes) return;
      kept.delete(oldest);
      held -= length;
    }
  };
  return {
    async read(ids) {
      const found = new Map<number, Buffer>();
      for (const id of ids) {
        const bytes = kept.get(id);
        if (!bytes) continue;
        kept.delete(id);
        kept.set(id, bytes);
        found.set(id, bytes);
      }
      const missing = ids.filter((id) => !found.has(id));
      if (missing.length === 0) return found;
      const before = forgotten;
      const { rows } = await db.query<{ id: number; bytes: Buffer }>(
        'select id, bytes from header_pack where id = any($1)',
        [missing],
      );
      for (const { id, bytes } of rows) {
        found.set(id, bytes);
        if (forgotten === before) keep(id, bytes);
      }
      return found;
    },
    keep,
    forget() {
      forgotten++;
      kept.clear();
      held = 0;
    },
    async keepLast() {
      const { rows } = await db.query<{ id: number; bytes: Buffer }>(
        'select id, bytes from header_pack order by id desc limit $1',
        [LAST_PACKS],
      );
      for (const { id, bytes } of rows.reverse()) keep(id, bytes);
    },
  };
}

/**
 * Before rows of objects are removed or get other pieces: nothing that they said of a patient stays. Their bytes in the
 * packs become zeros; a pack that holds nothing else goes. (No piece is all zeros: they are compressed.)
 */
export async function dropPieces(tx: Queryable, objects: readonly number[]): Promise<void> {
  const { rows } = await tx.query<{ pack: number; ats: number[]; lengths: number[] }>(
    `select pack, array_agg(pack_at) as ats, array_agg(pack_length) as lengths from object
     where id = any($1) and pack is not null group by pack order by pack`,
    [objects],
  );
  for (const { pack, ats, lengths } of rows) {
    const found = await tx.query<{ bytes: Buffer }>(
      'select bytes from header_pack where id = $1 for update',
      [pack],
    );
    const bytes = found.rows[0]?.bytes;
    if (!bytes) continue;
    for (const [n, at] of ats.entries()) bytes.fill(0, at, at + lengths[n]!);
    if (bytes.equals(Buffer.alloc(bytes.length)))
      await tx.query('delete from header_pack where id = $1', [pack]);
    else await tx.query('update header_pack set bytes = $2 where id = $1', [pack, bytes]);
  }
}
