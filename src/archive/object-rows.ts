/**
 * The rows of stored objects: one for each version of bytes, with the place where they lie when the row commits.
 * Written by study-index.ts in the transaction that indexes them; read through stored-object.ts.
 */
import type { Queryable } from './database/database.ts';
import { insertPieces } from './header-pack-rows.ts';
import type { IncomingObject, IndexItem, ObjectPlace } from './incoming-object.ts';
import { text } from './indexed-attributes.ts';

/**
 * @param packed is told the packs that are written with them
 * @returns finds the row's id of each object inserted
 */
export async function insertObjects(
  tx: Queryable,
  items: IndexItem[],
  packed?: (id: number, bytes: Buffer) => void,
): Promise<(object: IncomingObject) => number> {
  const places = await insertPieces(
    tx,
    items.map(({ object: { seriesInstanceUid: seriesUid, piece } }) => piece && { seriesUid, piece }),
    packed,
  );
  const result = await tx.query<{ id: number; sop_uid: string; hash: string }>(
    `insert into object (sop_uid, content_hash, sop_class, transfer_syntax, length, data_set_offset, pixel, key,
       location, node, journal, role, reception, source_kind, source_ae, source_address, received_at,
       study_uid, series_uid, patient_id, issuer, pack, pack_at, pack_length)
     select sop_uid, decode(hash, 'hex'), sop_class, transfer_syntax, length, data_set_offset, pixel, key,
       location, node, journal, role, reception, source_kind, source_ae, source_address, received_at,
       study_uid, series_uid, patient_id, issuer, pack, pack_at, pack_length
     from jsonb_to_recordset($1) as r(sop_uid text, hash text, sop_class text, transfer_syntax text, length bigint,
       data_set_offset int, pixel jsonb, key text, location text, node text, journal jsonb, role text, reception uuid,
       source_kind text, source_ae text, source_address text, received_at timestamptz,
       study_uid text, series_uid text, patient_id text, issuer text,
       pack bigint, pack_at int, pack_length int)
     returning id, sop_uid, encode(content_hash, 'hex') as hash`,
    [
      JSON.stringify(
        items.map(({ object, decision }, n) => ({
          sop_uid: object.sopInstanceUid,
          hash: object.contentHash.toString('hex'),
          sop_class: object.sopClassUid,
          transfer_syntax: object.transferSyntaxUid,
          length: object.length,
          data_set_offset: object.dataSetOffset,
          pixel: object.pixel ?? null,
          key: object.key,
          ...placeColumns(object.place),
          role: decision.role,
          reception: object.from.reception,
          source_kind: object.from.kind,
          source_ae: object.from.callingAe ?? null,
          source_address: object.from.address ?? null,
          received_at: object.receivedAt,
          study_uid: object.studyInstanceUid,
          series_uid: object.seriesInstanceUid,
          patient_id: text(object.header, '00100020'),
          issuer: text(object.header, '00100021'),
          ...(places[n] && { pack: places[n].pack, pack_at: places[n].at, pack_length: places[n].length }),
        })),
      ),
    ],
  );
  const ids = new Map(result.rows.map((row) => [`${row.sop_uid} ${row.hash}`, row.id]));
  return (object) => ids.get(`${object.sopInstanceUid} ${object.contentHash.toString('hex')}`)!;
}

/** @returns finds the row's id of each object that has one */
export async function findObjectIds(
  tx: Queryable,
  objects: readonly IncomingObject[],
): Promise<(object: IncomingObject) => number | undefined> {
  const { rows } = await tx.query<{ id: number; version: string }>(
    `select id, sop_uid || ' ' || encode(content_hash, 'hex') as version from object where sop_uid = any($1)`,
    [objects.map(({ sopInstanceUid }) => sopInstanceUid)],
  );
  const ids = new Map(rows.map(({ id, version }) => [version, id]));
  return ({ sopInstanceUid, contentHash }) => ids.get(`${sopInstanceUid} ${contentHash.toString('hex')}`);
}

function placeColumns(place: ObjectPlace): { location: string; node: string | null; journal: unknown } {
  if (place.in === 'store') return { location: 'store', node: null, journal: null };
  const { node, path, nonce, offset } = place;
  return { location: 'journal', node, journal: { path, nonce, offset } };
}

/**
 * An object that came again, or is replayed, may lie elsewhere now: a row never points at a segment that has gone.
 * The File Meta before the same data set may have another length when another version of this program wrote it: the
 * row says how the file lies that is put under the key.
 */
export async function refreshPlaces(tx: Queryable, items: IndexItem[]): Promise<void> {
  for (const { object, decision } of items) {
    if (decision.outcome !== 'same' && decision.outcome !== 'reinstated') continue;
    const place = placeColumns(object.place);
    await tx.query(
      `update object set location = $3, node = $4, journal = $5, key = $6, length = $7, data_set_offset = $8
       where sop_uid = $1 and content_hash = $2 and (location = 'journal' or (key = $6 and length <> $7))`,
      [
        object.sopInstanceUid,
        object.contentHash,
        place.location,
        place.node,
        place.journal === null ? null : JSON.stringify(place.journal),
        object.key,
        object.length,
        object.dataSetOffset,
      ],
    );
  }
}

/**
 * A version that would not be kept if it turned out to be other content (its sender still waits) has come again from
 * a sender that is told Success: from now on it is kept, whatever the comparison finds.
 */
export async function keepForGood(tx: Queryable, items: IndexItem[]): Promise<void> {
  const told = items.filter(({ object, decision }) => decision.outcome === 'same' && !object.from.refusable);
  if (told.length === 0) return;
  await tx.query(
    `update comparison c set refusable = false
     from object o, jsonb_to_recordset($1) as r(sop_uid text, hash text)
     where c.object = o.id and c.refusable and o.sop_uid = r.sop_uid and o.content_hash = decode(r.hash, 'hex')`,
    [
      JSON.stringify(
        told.map(({ object }) => ({
          sop_uid: object.sopInstanceUid,
          hash: object.contentHash.toString('hex'),
        })),
      ),
    ],
  );
}
