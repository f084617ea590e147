import { appendChanges, type NewChange } from './change-feed.ts';
import type { Database, Queryable } from './database/database.ts';
import { DatabaseFailure } from './database/database-failure.ts';
import { type Decision, decideIndexing, type IncomingIdentity, type KnownIndex } from './decide-indexing.ts';
import type { IncomingObject, IndexItem } from './incoming-object.ts';
import { INSTANCE_LEVEL, integer, pick, text } from './indexed-attributes.ts';
import { insertObjects, refreshPlaces } from './object-rows.ts';
import { writeReceptions } from './reception-rows.ts';
import { upsertSeries, upsertStudy } from './study-rows.ts';

export interface Indexed {
  /** in the order of the batch */
  outcomes: Decision['outcome'][];
}

/** A SOP Instance UID that arrives at two nodes at once is not locked, but unique: the second finds the first then. */
const ATTEMPTS = 3;
const UNIQUE_VIOLATION = '23505';

/**
 * @param node whose receptions these are
 * @param options announce: false writes no changes (reindex)
 * @throws Failure 'unavailable' when Postgres is away; nothing of the batch is written then
 */
export async function indexObjects(
  database: Database,
  node: string,
  batch: readonly IncomingObject[],
  { announce = true }: { announce?: boolean } = {},
): Promise<Indexed> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.transaction((tx) => indexBatch(tx, node, batch, announce));
    } catch (thrown) {
      const raced = thrown instanceof DatabaseFailure && thrown.code === UNIQUE_VIOLATION;
      if (!raced || attempt === ATTEMPTS) throw thrown;
    }
  }
}

async function indexBatch(
  tx: Queryable,
  node: string,
  batch: readonly IncomingObject[],
  announce: boolean,
): Promise<Indexed> {
  const studyUids = [...new Set(batch.map((object) => object.studyInstanceUid))].sort();
  const seriesUids = [...new Set(batch.map((object) => object.seriesInstanceUid))];
  // One at a time, in one order everywhere: two batches can wait for each other, never on each other.
  for (const uid of [...new Set([...studyUids, ...seriesUids])].sort())
    await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 20))', [uid]);
  const identities = batch.map(identityOf);
  const known = await loadKnown(tx, identities, studyUids, seriesUids);
  const decisions = decideIndexing(known, identities);
  const items = batch.map((object, n) => ({ object, decision: decisions[n]! }));
  await writeReceptions(tx, node, items);
  const changes = await writeContent(tx, items);
  if (announce) await appendChanges(tx, changes);
  else await markStable(tx, studyUids);
  return { outcomes: decisions.map((decision) => decision.outcome) };
}

/**
 * What is not announced counts as announced before, for studies made here and for those that were stable;
 * one that still waited to become stable goes on waiting.
 */
async function markStable(tx: Queryable, studyUids: string[]): Promise<void> {
  await tx.query(
    `update study set stable_version = version, stable_at = coalesce(stable_at, now())
     where study_uid = any($1) and last_received_at = now()
       and (first_received_at = now() or stable_version = version - 1)`,
    [studyUids],
  );
}

function identityOf(object: IncomingObject): IncomingIdentity {
  return {
    sopUid: object.sopInstanceUid,
    seriesUid: object.seriesInstanceUid,
    studyUid: object.studyInstanceUid,
    patientId: text(object.header, '00100020'),
    issuer: text(object.header, '00100021'),
    contentHash: object.contentHash.toString('hex'),
  };
}

async function loadKnown(
  tx: Queryable,
  incoming: IncomingIdentity[],
  studyUids: string[],
  seriesUids: string[],
): Promise<KnownIndex> {
  const sopUids = incoming.map((object) => object.sopUid);
  const studies = await tx.query<{ study_uid: string; patient_id: string; issuer: string }>(
    'select study_uid, patient_id, issuer from study where study_uid = any($1)',
    [studyUids],
  );
  const series = await tx.query<{ series_uid: string; study_uid: string }>(
    'select e.series_uid, s.study_uid from series e join study s on s.id = e.study where e.series_uid = any($1)',
    [seriesUids],
  );
  const instances = await tx.query<{ sop_uid: string; series_uid: string; study_uid: string }>(
    `select i.sop_uid, e.series_uid, s.study_uid
     from instance i join series e on e.id = i.series join study s on s.id = e.study where i.sop_uid = any($1)`,
    [sopUids],
  );
  const objects = await tx.query<{ version: string }>(
    `select sop_uid || ' ' || encode(content_hash, 'hex') as version from object where sop_uid = any($1)`,
    [sopUids],
  );
  const seriesStudies = new Map<string, Set<string>>();
  for (const row of series.rows)
    seriesStudies.set(row.series_uid, (seriesStudies.get(row.series_uid) ?? new Set()).add(row.study_uid));
  return {
    studies: new Map(
      studies.rows.map((row) => [row.study_uid, { patientId: row.patient_id, issuer: row.issuer }]),
    ),
    seriesStudies,
    instances: new Map(
      instances.rows.map((row) => [row.sop_uid, { studyUid: row.study_uid, seriesUid: row.series_uid }]),
    ),
    objects: new Set(objects.rows.map((row) => row.version)),
  };
}

async function writeContent(tx: Queryable, items: IndexItem[]): Promise<NewChange[]> {
  const changes: NewChange[] = [];
  await refreshPlaces(tx, items);
  const written = items.filter(({ decision }) => decision.outcome !== 'same');
  if (written.length === 0) return changes;
  const idOf = await insertObjects(tx, written);

  const byStudy = new Map<string, IndexItem[]>();
  for (const item of written) {
    const uid = item.object.studyInstanceUid;
    byStudy.set(uid, [...(byStudy.get(uid) ?? []), item]);
  }
  for (const [studyUid, members] of [...byStudy].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const added = members.filter(({ decision }) => decision.outcome === 'new');
    if (added.length > 0) changes.push(...(await addInstances(tx, studyUid, added, idOf)));
    changes.push(...(await recordConflicts(tx, studyUid, members, idOf)));
  }
  return changes;
}

async function addInstances(
  tx: Queryable,
  studyUid: string,
  added: IndexItem[],
  idOf: (object: IncomingObject) => number,
): Promise<NewChange[]> {
  const study = await upsertStudy(tx, studyUid, added);
  const series = await upsertSeries(tx, study.id, added);
  await tx.query(
    `insert into instance (series, sop_uid, sop_class, number, attributes, object)
     select series, sop_uid, sop_class, number, attributes, object from jsonb_to_recordset($1)
       as r(series bigint, sop_uid text, sop_class text, number int, attributes jsonb, object bigint)`,
    [
      JSON.stringify(
        added.map(({ object }) => ({
          series: series.get(object.seriesInstanceUid),
          sop_uid: object.sopInstanceUid,
          sop_class: object.sopClassUid,
          number: integer(object.header, '00200013'),
          attributes: pick(object.header, INSTANCE_LEVEL),
          object: idOf(object),
        })),
      ),
    ],
  );
  return added.map(({ object }) => ({
    kind: 'instance-stored',
    studyUid,
    seriesUid: object.seriesInstanceUid,
    sopUid: object.sopInstanceUid,
    studyVersion: study.version,
  }));
}

async function recordConflicts(
  tx: Queryable,
  studyUid: string,
  members: IndexItem[],
  idOf: (object: IncomingObject) => number,
): Promise<NewChange[]> {
  let holds: string | undefined;
  for (const { object, decision } of members) {
    for (const conflict of decision.conflicts)
      await tx.query(
        `insert into conflict (kind, study_uid, series_uid, sop_uid, object, reason, source_ae)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
        [
          conflict.kind,
          studyUid,
          object.seriesInstanceUid,
          object.sopInstanceUid,
          idOf(object),
          conflict.reason,
          object.from.callingAe ?? null,
        ],
      );
    if (decision.holds) holds ??= decision.conflicts[0]?.reason;
  }
  if (holds === undefined) return [];
  const held = await tx.query<{ version: number }>(
    'update study set held = $2 where study_uid = $1 and held is null returning version',
    [studyUid, holds],
  );
  return held.rows.map((row) => ({ kind: 'study-held', studyUid, studyVersion: row.version }));
}
