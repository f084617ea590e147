/**
 * Walks the stored objects of a study, series or instance, page by page, so that no list is held whole.
 * Called by WADO retrieval.
 */
import { CODECS } from '../pixels/decodable.ts';
import type { Queryable } from './database/database.ts';
import { findStoredObjects, type ObjectQuery, type StoredObject } from './stored-object.ts';

/** A row carries the places of up to 65,536 fragments, so a page is small. */
const PAGE = 64;

/** In the order of findStoredObjects: series, instance number, id. The next page is asked for while one is walked. */
export async function* eachStoredObject(db: Queryable, where: ObjectQuery): AsyncGenerator<StoredObject> {
  const pageAfter = (after?: StoredObject): Promise<StoredObject[]> =>
    findStoredObjects(db, where, { limit: PAGE, ...(after && { after }) });
  let page = await pageAfter();
  for (;;) {
    const next = page.length < PAGE ? undefined : pageAfter(page.at(-1));
    // Heard when its turn comes.
    next?.catch(() => undefined);
    yield* page;
    if (!next) return;
    page = await next;
  }
}

/** How many current instances there are, 0 when there is no such study, series or instance; and how many have no piece. */
export async function countInstances(
  db: Queryable,
  where: Pick<ObjectQuery, 'studyUid' | 'seriesUid' | 'sopUid'>,
): Promise<{ instances: number; withoutPiece: number }> {
  const { rows } = await db.query<{ instances: number; withoutPiece: number }>(
    `select count(*) as instances, count(*) filter (where o.pack is null) as "withoutPiece"
     from instance i join object o on o.id = i.object join series e on e.id = i.series join study s on s.id = e.study
     where ($1::text is null or s.study_uid = $1) and ($2::text is null or e.series_uid = $2)
       and ($3::text is null or i.sop_uid = $3)`,
    [where.studyUid ?? null, where.seriesUid ?? null, where.sopUid ?? null],
  );
  return rows[0]!;
}

/** How many current instances lie in which transfer syntax; empty when there is no such study, series or instance. */
export async function countByTransferSyntax(
  db: Queryable,
  where: Pick<ObjectQuery, 'studyUid' | 'seriesUid' | 'sopUid'>,
): Promise<Map<string, number>> {
  const { rows } = await db.query<{ syntax: string; count: number }>(
    `select o.transfer_syntax as syntax, count(*) as count
     from instance i join object o on o.id = i.object join series e on e.id = i.series join study s on s.id = e.study
     where ($1::text is null or s.study_uid = $1) and ($2::text is null or e.series_uid = $2)
       and ($3::text is null or i.sop_uid = $3)
     group by 1`,
    [where.studyUid ?? null, where.seriesUid ?? null, where.sopUid ?? null],
  );
  return new Map(rows.map((row) => [row.syntax, row.count]));
}

/** The image that stands for a study or series in a list: the middle one of those that can be rendered. */
export async function findRepresentative(
  db: Queryable,
  where: Pick<ObjectQuery, 'studyUid' | 'seriesUid'>,
): Promise<StoredObject | undefined> {
  const { rows } = await db.query<{ id: number }>(
    `with images as (
       select o.id, row_number() over (order by e.number, e.id, i.number, i.id) as place, count(*) over () as total
       from instance i join object o on o.id = i.object join series e on e.id = i.series join study s on s.id = e.study
       where ($1::text is null or s.study_uid = $1) and ($2::text is null or e.series_uid = $2)
         and o.pixel is not null and o.transfer_syntax = any($3))
     select id from images where place = (total + 1) / 2`,
    [where.studyUid ?? null, where.seriesUid ?? null, Object.keys(CODECS)],
  );
  if (!rows[0]) return undefined;
  const [object] = await findStoredObjects(db, { objectIds: [rows[0].id] }, { limit: 1 });
  return object;
}
