/**
 * Takes a batch of objects into the index, in one transaction under the locks of its studies and series: what is known
 * is loaded, decide-indexing.ts decides, and rows and changes are written. Doing it twice changes nothing.
 * Called by intake/index-batch.ts for the journal's records and by reindex.ts for what is stored.
 */
import { appendChanges, type NewChange } from './change-feed.ts';
import { insertConflicts, queueComparisons, reconcileHolds } from './conflict-rows.ts';
import type { Database, Queryable } from './database/database.ts';
import { DatabaseFailure } from './database/database-failure.ts';
import {
  type ConflictPolicy,
  type Decision,
  decideIndexing,
  type IncomingIdentity,
} from './decide-indexing.ts';
import type { IncomingObject, IndexItem } from './incoming-object.ts';
import { text } from './indexed-attributes.ts';
import { addInstances, makeCurrent } from './instance-rows.ts';
import { loadReach, moveReach } from './journal-reach.ts';
import { loadKnown, lockUids } from './known-index.ts';
import { findObjectIds, insertObjects, keepForGood, refreshPlaces } from './object-rows.ts';
import { writeReceptions } from './reception-rows.ts';

export interface Indexed {
  /** in the order of the batch */
  outcomes: Decision['outcome'][];
  /** Whose senders wait until a comparison has decided, in the order of the batch. */
  awaits: boolean[];
}

export interface IndexOptions {
  /** false writes no changes (reindex) */
  announce?: boolean;
  policy?: ConflictPolicy;
  /** Told the packs of what /metadata says (header-piece.ts) that are written; they count once all of it is done. */
  packed?: (id: number, bytes: Buffer) => void;
}

/** A SOP Instance UID that arrives at two nodes at once is not locked, but unique: the second finds the first then. */
const ATTEMPTS = 3;
const UNIQUE_VIOLATION = '23505';
const UNWRITTEN: ReadonlySet<Decision['outcome']> = new Set(['same', 'refused', 'gone']);

/**
 * @param node whose receptions these are
 * @throws Failure 'unavailable' when Postgres is away; nothing of the batch is written then
 */
export async function indexObjects(
  database: Database,
  node: string,
  batch: readonly IncomingObject[],
  options: IndexOptions = {},
): Promise<Indexed> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.transaction((tx) => indexBatch(tx, node, batch, options));
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
  { announce = true, policy = 'keep-first', packed }: IndexOptions,
): Promise<Indexed> {
  const studyUids = [...new Set(batch.map((object) => object.studyInstanceUid))].sort();
  const seriesUids = [...new Set(batch.map((object) => object.seriesInstanceUid))];
  await lockUids(tx, [...studyUids, ...seriesUids]);
  const indexedBefore = await loadReach(tx, node, batch);
  const identities = batch.map((object) => ({
    ...identityOf(object),
    indexedBefore: indexedBefore(object),
  }));
  const known = await loadKnown(tx, identities, studyUids, seriesUids);
  const decisions = decideIndexing(known, identities, policy);
  const items = batch.map((object, n) => ({ object, decision: decisions[n]! }));
  await writeReceptions(tx, node, items);
  await moveReach(tx, node, batch);
  const changes = await writeContent(tx, items, packed);
  if (announce) await appendChanges(tx, changes);
  else await markStable(tx, studyUids);
  return {
    outcomes: decisions.map(({ outcome }) => outcome),
    awaits: decisions.map(({ awaits }) => awaits),
  };
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
    transferSyntax: object.transferSyntaxUid,
    refusable: object.from.refusable ?? false,
    sent: object.from.kind !== 'reindex',
  };
}

async function writeContent(
  tx: Queryable,
  items: IndexItem[],
  packed: IndexOptions['packed'],
): Promise<NewChange[]> {
  const changes: NewChange[] = [];
  await refreshPlaces(tx, items);
  await keepForGood(tx, items);
  const written = items.filter(({ decision: { outcome } }) => !UNWRITTEN.has(outcome));
  if (written.length === 0) return changes;
  const idOf = await rowIds(tx, written, packed);

  const byStudy = new Map<string, IndexItem[]>();
  for (const item of written) {
    const uid = item.object.studyInstanceUid;
    byStudy.set(uid, [...(byStudy.get(uid) ?? []), item]);
  }
  for (const [studyUid, members] of [...byStudy].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const added = members.filter(({ decision }) => decision.outcome === 'new');
    if (added.length > 0) changes.push(...(await addInstances(tx, studyUid, added, idOf)));
    for (const { object, decision } of members)
      if (decision.outcome === 'replacement' || decision.outcome === 'reinstated')
        changes.push(...(await makeCurrent(tx, object, idOf(object))));
  }
  changes.push(...(await writeVersions(tx, written, idOf)));
  return changes;
}

/** The rows of objects: made for all but those that have one. */
async function rowIds(
  tx: Queryable,
  written: IndexItem[],
  packed: IndexOptions['packed'],
): Promise<(object: IncomingObject) => number> {
  const reinstated = written.filter(({ decision }) => decision.outcome === 'reinstated');
  if (reinstated.length === 0) return insertObjects(tx, written, packed);
  const made = written.filter(({ decision }) => decision.outcome !== 'reinstated');
  const madeId = made.length > 0 ? await insertObjects(tx, made, packed) : undefined;
  const known = await findObjectIds(
    tx,
    reinstated.map(({ object }) => object),
  );
  return (object) => known(object) ?? madeId!(object);
}

/** What beside instances there is to write: conflicts with their holds, and what is to be compared. Mostly nothing. */
async function writeVersions(
  tx: Queryable,
  written: IndexItem[],
  idOf: (object: IncomingObject) => number,
): Promise<NewChange[]> {
  const conflicts = written.flatMap(({ object, decision }) =>
    decision.conflicts.map((conflict) => ({
      ...conflict,
      studyUid: object.studyInstanceUid,
      seriesUid: object.seriesInstanceUid,
      sopUid: object.sopInstanceUid,
      object: idOf(object),
      sourceAe: object.from.callingAe ?? null,
    })),
  );
  await insertConflicts(tx, conflicts);
  // The values of every other version are compared, also where the bytes alone were reason for an alarm: the list
  // of conflicts says what differs, and equal values written otherwise are no conflict.
  const versions = written.filter(
    ({ decision }) => decision.conflicts.length > 0 || decision.role === 'undecided',
  );
  await queueComparisons(
    tx,
    versions
      .filter(({ decision: { outcome } }) => outcome === 'version' || outcome === 'replacement')
      .map(({ object, decision }) => ({ object: idOf(object), refusable: decision.awaits })),
  );
  const mayTurn = written.filter(({ decision: { holds, newStudy } }) => holds || newStudy);
  if (mayTurn.length === 0) return [];
  return reconcileHolds(tx, [...new Set(mayTurn.map(({ object }) => object.studyInstanceUid))].sort());
}
