/**
 * Pages through what a delivery owes, as stored objects to be read. A bounded number at a time, however large the
 * study. Used by storage-scu.ts and stow-client's caller; the bytes themselves come from the archive's reader.
 */
import type { Database } from '../archive/database/database.ts';
import { findStoredObjects, type StoredObject } from '../archive/stored-object.ts';
import type { Lease, Ledger } from '../routing/ledger.ts';

export interface OwedObject {
  /** Of the debt, for its outcome. */
  readonly id: number;
  readonly sopUid: string;
  /** Undefined when the archive's current version is another by now. */
  readonly object: StoredObject | undefined;
}

/** Rows of multi-frame objects carry an offset per frame, so a page is short. */
const PAGE = 32;

export async function* owedObjects(
  parts: { ledger: Ledger; database: Database },
  lease: Lease,
): AsyncGenerator<OwedObject[]> {
  for (let after = 0; ; ) {
    const owed = await parts.ledger.owedInstances(lease, after, PAGE);
    const last = owed.at(-1);
    if (!last) return;
    after = last.id;
    const objects = await findStoredObjects(
      parts.database,
      { objectIds: owed.map(({ object }) => object) },
      { limit: PAGE },
    );
    const byId = new Map(objects.map((object) => [object.id, object]));
    yield owed.map(({ id, sopUid, object }) => ({ id, sopUid, object: byId.get(object) }));
  }
}

export const NOT_CURRENT = 'the archive has another version of this instance by now; its own debt sends that';
