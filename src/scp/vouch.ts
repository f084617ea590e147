/**
 * Which instances we commit to (PS3.4 J.3.2.2): those of which every version we keep lies in its final place and is
 * indexed, bytes there to be read. What is still on its way there is waited for. Pure but for kept(), which looks.
 * Called by commitment.ts.
 */
import type { Queryable } from '../archive/database/database.ts';
import type { ObjectStore } from '../archive/object-store/object-store.ts';
import { type FailedReference, failureReason, type InstanceReference } from '../dimse/storage-commitment.ts';

/** A stored version of an instance, current or not: all of them are kept, so all of them must be in place. */
export interface KeptVersion {
  sopUid: string;
  sopClass: string;
  location: 'journal' | 'store';
  key: string;
  length: number;
  /** Whether the instance stands in the index. */
  indexed: boolean;
}

export type Vouched = 'kept' | 'missing' | 'on-its-way' | 'conflict';

export function vouch({ sopClassUid }: InstanceReference, versions: readonly KeptVersion[]): Vouched {
  if (versions.length === 0) return 'missing';
  if (versions.some(({ location, indexed }) => location === 'journal' || !indexed)) return 'on-its-way';
  return versions.some(({ sopClass }) => sopClass === sopClassUid) ? 'kept' : 'conflict';
}

export interface Patience {
  /** What is not here at all may be in a journal. */
  missing: boolean;
  /** What is here may have to be placed. */
  placing: boolean;
}

export interface Verdict {
  failed: FailedReference[];
  /** Instances that are waited for. */
  waiting: number;
  /** Instances whose bytes are not where the index says. */
  lost: InstanceReference[];
}

const PAGE = 500;
const LOOKS_AT_ONCE = 8;

/**
 * @param patience whether there is still time
 * @param onPage after each page, so that the caller can keep its lease
 * @throws Failure 'unavailable' while the store cannot be asked
 */
export async function vouchFor(
  parts: { database: Queryable; store: Pick<ObjectStore, 'stat'> },
  instances: readonly InstanceReference[],
  patience: Patience,
  onPage: () => Promise<void>,
): Promise<Verdict> {
  const verdict: Verdict = { failed: [], waiting: 0, lost: [] };
  const fail = (one: InstanceReference, reason: number): void => void verdict.failed.push({ ...one, reason });
  for (let at = 0; at < instances.length; at += PAGE) {
    const page = instances.slice(at, at + PAGE);
    const versions = await keptVersions(parts.database, page);
    const held: { one: InstanceReference; kept: KeptVersion[] }[] = [];
    for (const one of page) {
      const kept = versions.get(one.sopInstanceUid) ?? [];
      const vouched = vouch(one, kept);
      if (vouched === 'kept') held.push({ one, kept });
      else if (vouched === 'conflict') fail(one, failureReason.classInstanceConflict);
      else if (vouched === 'missing' ? patience.missing : patience.placing) verdict.waiting++;
      else if (vouched === 'missing') fail(one, failureReason.noSuchObjectInstance);
      else fail(one, failureReason.processingFailure);
    }
    for (let first = 0; first < held.length; first += LOOKS_AT_ONCE) {
      const some = held.slice(first, first + LOOKS_AT_ONCE);
      const there = await Promise.all(some.map(({ kept }) => areThere(parts.store, kept)));
      for (const [index, { one }] of some.entries())
        if (!there[index]) {
          fail(one, failureReason.processingFailure);
          verdict.lost.push(one);
        }
    }
    await onPage();
  }
  return verdict;
}

async function keptVersions(
  db: Queryable,
  page: readonly InstanceReference[],
): Promise<Map<string, KeptVersion[]>> {
  const { rows } = await db.query<KeptVersion>(
    `select o.sop_uid as "sopUid", o.sop_class as "sopClass", o.location, o.key, o.length,
       exists (select 1 from instance i where i.sop_uid = o.sop_uid) as indexed
     from object o where o.sop_uid = any($1)`,
    [page.map(({ sopInstanceUid }) => sopInstanceUid)],
  );
  return Map.groupBy(rows, ({ sopUid }) => sopUid);
}

async function areThere(store: Pick<ObjectStore, 'stat'>, kept: readonly KeptVersion[]): Promise<boolean> {
  for (const { key, length } of kept) if ((await store.stat(key))?.length !== length) return false;
  return true;
}
