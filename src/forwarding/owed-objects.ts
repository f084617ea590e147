/**
 * Pages through what a delivery owes, as stored objects to be read. A bounded number at a time, however large the
 * study. Used by storage-scu.ts and stow-client's caller; the bytes themselves come from the archive's reader.
 */
import { type Database, preparing } from '../archive/database/database.ts';
import { findObjectsToRead, findStoredObjects } from '../archive/stored-object.ts';
import { LOSSLESS } from '../dicom/encodings.ts';
import { cameFrom, sendersOf } from '../routing/came-from.ts';
import type { ClaimedDelivery } from '../routing/claim.ts';
import type { Ledger } from '../routing/ledger.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import type { Attempt } from './attempt.ts';
import type { SendableObject } from './object-bytes.ts';

export interface OwedObject {
  /** Of the debt, for its outcome. */
  readonly id: number;
  readonly sopUid: string;
  /** Undefined when it is not sent. */
  readonly object: SendableObject | undefined;
  /** Why not, then. */
  readonly why: string;
}

/** Rows of multi-frame objects carry an offset per frame, so a page is short. */
const PAGE = 32;

export async function* owedObjects(parts: {
  ledger: Ledger;
  database: Database;
  claimed: ClaimedDelivery;
  transform: CompiledTransform | undefined;
}): AsyncGenerator<OwedObject[]> {
  const { lease, destination } = parts.claimed;
  const find = mayCompress(parts) ? findStoredObjects : findObjectsToRead;
  const peer = sendersOf([destination.settings]);
  for (let after = 0; ; ) {
    const owed = await parts.ledger.owedInstances(lease, after, PAGE);
    const last = owed.at(-1);
    if (!last) return;
    after = last.id;
    const objects = await find(
      preparing(parts.database),
      { objectIds: owed.map(({ object }) => object) },
      { limit: PAGE },
    );
    const byId = new Map(objects.map((object) => [object.id, object]));
    yield owed.map(({ id, sopUid, object: objectId, released }) => {
      const object = byId.get(objectId);
      if (!object) return { id, sopUid, object, why: NOT_CURRENT };
      const { sourceKind: kind, sourceAe: aeTitle, sourceAddress: address } = object;
      // It had not when it was owed; the destination's AE title or address is another by now.
      if (cameFrom(peer, { kind, aeTitle, address })) return { id, sopUid, object: undefined, why: NOT_BACK };
      return { id, sopUid, object: { ...object, released }, why: '' };
    });
  }
}

/** Then what is native has to say how its pixels lie. */
function mayCompress({ claimed, transform }: Pick<Attempt, 'claimed' | 'transform'>): boolean {
  const { settings } = claimed.destination;
  const allowed = settings.kind === 'dimse' ? (settings.transferSyntaxes ?? []) : [];
  return transform?.transcode !== undefined || allowed.some((uid) => LOSSLESS.includes(uid));
}

const NOT_CURRENT = 'the archive has another version of this instance by now; its own debt sends that';
const NOT_BACK = 'it came from there, and is not sent back';
