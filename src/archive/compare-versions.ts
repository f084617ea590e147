/**
 * Settles what versions of one instance are to each other, behind the index: the same values in another encoding are a
 * variant and no alarm, anything else is other content and falls under CONFLICT_POLICY. One comparison at a time, in a
 * worker thread of pixels/; the queue is the table `comparison`, so that a restart or another node goes on with it.
 * study-index.ts queues; what is found stands in the rows of conflict and object.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Difference } from '../dicom/compare-data-sets.ts';
import { toDicomJson } from '../dicom/dicom-json.ts';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { createPixelWorkers, type PixelWorkers } from '../pixels/pixel-workers.ts';
import { appendChanges, type NewChange } from './change-feed.ts';
import { BY_COMPARISON, BY_POLICY, insertConflicts } from './conflict-rows.ts';
import type { Database, Queryable } from './database/database.ts';
import type { Listening } from './database/listener.ts';
import type { ConflictPolicy } from './decide-indexing.ts';
import { makeCurrent } from './instance-rows.ts';
import { lockUids } from './known-index.ts';
import { readHeader } from './read-header.ts';
import type { ObjectReader } from './read-object.ts';
import { type RemoveBytes, removeVersion } from './removal.ts';
import { findCurrent, findVersion, type StoredVersion } from './stored-object.ts';
import { versionDifference } from './version-difference.ts';

export interface CompareParts {
  database: Database;
  reader: ObjectReader;
  nodeName: string;
  policy: ConflictPolicy;
  /** Bytes that nobody was told are kept. */
  removeBytes: RemoveBytes;
  log: Log;
}

export interface VersionComparer {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Compares what is due now, one after the other. @returns how many */
  compareDue(): Promise<number>;
}

const CHANNEL = 'isocenter_comparison';
/** A comparison that has not been heard of for so long is taken up by another. */
const LEASE_S = 300;
const RENEW_MS = 60_000;
const POLL_MS = 5000;
/** A comparison that ended its process so often is not tried again: a person looks at it. */
const MOST_ATTEMPTS = 5;
const LONGEST_WAIT_S = 300;

interface Claimed {
  object: number;
  refusable: boolean;
  attempts: number;
}

/** What the comparison found: a difference (empty: equal values), or why there is none to be found. */
type Finding = { difference: Difference[] } | { fault: string };

export function createVersionComparer(parts: CompareParts): VersionComparer {
  const { database, log, nodeName } = parts;
  let workers: PixelWorkers | undefined;
  let listening: Listening | undefined;
  let running: Promise<void> | undefined;
  let stopping = false;
  let wakeUp: (() => void) | undefined;
  let woken = false;

  const wake = (): void => {
    woken = true;
    wakeUp?.();
  };

  const claim = async (): Promise<Claimed | undefined> => {
    const { rows } = await database.query<Claimed>(
      `update comparison set due_at = now() + make_interval(secs => ${LEASE_S}), attempts = attempts + 1, node = $1
       where object = (select object from comparison where due_at <= now() order by due_at, object limit 1
         for update skip locked)
       returning object, refusable, attempts`,
      [nodeName],
    );
    return rows[0];
  };

  const compare = async (claimed: Claimed, one: StoredVersion, other: StoredVersion): Promise<Finding> => {
    if (claimed.attempts > MOST_ATTEMPTS)
      return { fault: `they could not be compared: it was broken off ${MOST_ATTEMPTS} times` };
    workers ??= createPixelWorkers({ threads: 1 });
    const renew = setInterval(() => {
      database
        .query(
          `update comparison set due_at = now() + make_interval(secs => ${LEASE_S}) where object = $1 and node = $2`,
          [claimed.object, nodeName],
        )
        .catch((err: unknown) => log.warn({ err }, 'a comparison could not say that it goes on'));
    }, RENEW_MS);
    try {
      const onFrame = (): void => {
        if (stopping) throw new Failure('unavailable', 'the comparison is broken off by a stop');
      };
      return {
        difference: await versionDifference({ reader: parts.reader, workers, onFrame }, one, other),
      };
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'unavailable') throw failure;
      log.info({ err: failure, sop: one.sopUid }, 'two versions cannot be compared');
      const known = failure.kind !== 'internal';
      return { fault: known ? failure.message : 'they could not be compared; the log has the cause' };
    } finally {
      clearInterval(renew);
    }
  };

  /** @returns false when it must be looked at again */
  const compareOne = async (claimed: Claimed): Promise<void> => {
    const version = await findVersion(database, { id: claimed.object });
    const other = version && (await counterpart(database, version));
    if (!version || !other) {
      await database.query('delete from comparison where object = $1', [claimed.object]);
      return;
    }
    try {
      const [before, after] = other.id < version.id ? [other, version] : [version, other];
      const finding = await compare(claimed, before, after);
      const removed = await conclude(version, other, finding);
      if (removed) await parts.removeBytes(removed);
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind !== 'unavailable') throw failure;
      // Not its fault: the attempt does not count, and is made again later.
      const waitS = failure.retryAfterS ?? Math.min(LONGEST_WAIT_S, 2 ** claimed.attempts);
      await database.query(
        `update comparison set due_at = now() + make_interval(secs => $2), attempts = attempts - 1, node = null
         where object = $1`,
        [claimed.object, waitS],
      );
    }
  };

  /**
   * Writes what was found, unless the rows have moved on meanwhile; then it is compared again.
   * @returns the key of bytes that are to be removed
   */
  const conclude = async (
    version: StoredVersion,
    other: StoredVersion,
    finding: Finding,
  ): Promise<string | undefined> => {
    const equal = 'difference' in finding && finding.difference.length === 0;
    const header =
      version.role === 'undecided' && !equal && parts.policy === 'replace'
        ? toDicomJson((await readHeader(parts.reader, version)).dataSet, { bulkDataUri: () => undefined })
        : {};
    return database.transaction(async (tx) => {
      await lockUids(tx, [version.studyUid, version.seriesUid]);
      const now = await findVersion(tx, { id: version.id });
      const against = now && (await counterpart(tx, now));
      if (!now || now.role !== version.role || against?.id !== other.id) {
        await tx.query('update comparison set due_at = now(), attempts = attempts - 1 where object = $1', [
          version.id,
        ]);
        return undefined;
      }
      const { rows } = await tx.query<{ refusable: boolean }>(
        'select refusable from comparison where object = $1 for update',
        [version.id],
      );
      if (now.role === 'undecided' && !equal && rows[0]?.refusable) return refuse(tx, now);
      await tx.query('delete from comparison where object = $1', [version.id]);
      if (now.role !== 'undecided') await annotate(tx, now, other, finding, equal);
      else if (equal) await tx.query("update object set role = 'variant' where id = $1", [now.id]);
      else await appendChanges(tx, await enterConflict(tx, now, other, header, finding));
      return undefined;
    });
  };

  const enterConflict = async (
    tx: Queryable,
    version: StoredVersion,
    current: StoredVersion,
    header: ReturnType<typeof toDicomJson>,
    finding: Finding,
  ): Promise<NewChange[]> => {
    const replaces = parts.policy === 'replace';
    await insertConflicts(tx, [
      {
        kind: 'content',
        reason:
          'fault' in finding
            ? `another transfer syntax arrived under a (0008,0018) SOPInstanceUID that is already stored: ${finding.fault}`
            : 'other content arrived in another transfer syntax under a (0008,0018) SOPInstanceUID that is already stored',
        against: current.contentHash.toString('hex'),
        ...(replaces && { settled: 'replaced' as const }),
        studyUid: version.studyUid,
        seriesUid: version.seriesUid,
        sopUid: version.sopUid,
        object: version.id,
        sourceAe: version.sourceAe,
      },
    ]);
    await writeFinding(tx, version, finding);
    // What came earlier never takes the place of what came later, however long it took to compare it.
    const isNewer = version.id > current.id;
    if (replaces && isNewer) return makeCurrent(tx, contentOf(version, header), version.id);
    await tx.query('update object set role = $2 where id = $1', [
      version.id,
      replaces ? 'replaced' : 'conflict',
    ]);
    return [];
  };

  const compareDue = async (): Promise<number> => {
    let compared = 0;
    while (!stopping) {
      const claimed = await claim();
      if (!claimed) break;
      await compareOne(claimed);
      compared++;
    }
    return compared;
  };

  const run = async (): Promise<void> => {
    while (!stopping) {
      woken = false;
      try {
        await compareDue();
      } catch (err) {
        log.warn({ err }, 'versions could not be compared, trying again');
        await sleep(stopping ? 0 : 1000);
      }
      if (woken || stopping) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        wakeUp = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wakeUp = undefined;
    }
  };

  return {
    compareDue,
    async start() {
      // What this node was at when it ended is due at once.
      await database.query('update comparison set due_at = now() where node = $1', [nodeName]);
      listening = await database.listen(CHANNEL, wake);
      running = run();
    },
    async stop() {
      stopping = true;
      wake();
      // The frame under way fails as 'unavailable', and the comparison is made again at the next start.
      await workers?.stop();
      await running;
      await listening?.stop();
    },
  };
}

/** What a version is compared with: the current one; of the current one itself, the one it came against. */
async function counterpart(db: Queryable, version: StoredVersion): Promise<StoredVersion | undefined> {
  if (version.role !== 'current') return findCurrent(db, version.sopUid);
  const { rows } = await db.query<{ against: string }>(
    `select encode(against, 'hex') as against from conflict where object = $1 and against is not null order by id limit 1`,
    [version.id],
  );
  return rows[0] && findVersion(db, { sopUid: version.sopUid, contentHash: rows[0].against });
}

function contentOf(version: StoredVersion, header: ReturnType<typeof toDicomJson>) {
  return {
    sopClassUid: version.sopClass,
    sopInstanceUid: version.sopUid,
    studyInstanceUid: version.studyUid,
    seriesInstanceUid: version.seriesUid,
    header,
  };
}

/** Its sender was not answered, and is told now that it is not kept. */
async function refuse(tx: Queryable, version: StoredVersion): Promise<string> {
  if (version.location !== 'store')
    throw new Failure('unavailable', 'the version is on its way to the store', { retryAfterS: 1 });
  await removeVersion(tx, version, BY_POLICY);
  return version.key;
}

async function writeFinding(tx: Queryable, version: StoredVersion, finding: Finding): Promise<void> {
  const [difference, compared] =
    'fault' in finding ? [null, finding.fault] : [JSON.stringify(finding.difference), null];
  await tx.query('update conflict set difference = $2, compared = $3 where object = $1', [
    version.id,
    difference,
    compared,
  ]);
}

/** An alarm that was raised for the bytes alone: what differs, or that no value does. */
async function annotate(
  tx: Queryable,
  version: StoredVersion,
  other: StoredVersion,
  finding: Finding,
  equal: boolean,
): Promise<void> {
  await writeFinding(tx, version, finding);
  if (!equal) return;
  // The values are equal: what is not current of the two is a variant, and nobody need look at it.
  const { rowCount } = await tx.query(
    `update object set role = 'variant' where id = any($1) and role in ('conflict', 'replaced') and not exists (
       select 1 from conflict c where c.object = object.id and c.kind <> 'content')`,
    [[version.id, other.id]],
  );
  if (rowCount === 0) return;
  await tx.query(
    `update conflict set settled_at = now(), settled_by = '${BY_COMPARISON}', settlement = 'variant'
     where object = $1 and kind = 'content' and settled_at is null`,
    [version.id],
  );
}
