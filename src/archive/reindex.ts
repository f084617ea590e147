/**
 * Rebuilds the index from the stored objects alone. Called by `isocenter reindex` while the archive is stopped.
 * What the index has already stays as it is; what is missing is added. Nothing is announced to routing or the EHR:
 * these objects were delivered when they came, or their debts were lost with the index and are a person's decision.
 */
import { randomUUID } from 'node:crypto';
import { readFileMeta } from '../dicom/part10.ts';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { Database } from './database/database.ts';
import type { IncomingObject } from './incoming-object.ts';
import { checkObject } from './intake/check-object.ts';
import { earlyPiece, HeaderReading } from './intake/prepare-object.ts';
import { contentHash, type Provenance } from './intake/record.ts';
import type { ObjectStore } from './object-store/object-store.ts';
import { indexObjects } from './study-index.ts';

const BATCH = 64;
/** File Meta lies within this many bytes of the start (PS3.10 7.1). */
const FILE_META_BYTES = 64 * 1024;

export interface ReindexCounts {
  objects: number;
  added: number;
  /** keys that are no readable object; left where they are */
  unreadable: { key: string; reason: string }[];
}

/** @param onProgress called after each batch */
export async function reindex(
  parts: { database: Database; store: ObjectStore; nodeName: string; log: Log },
  onProgress: (counts: ReindexCounts) => void,
): Promise<ReindexCounts> {
  const counts: ReindexCounts = { objects: 0, added: 0, unreadable: [] };
  const from: Provenance = { reception: randomUUID(), kind: 'reindex', openedAt: new Date().toISOString() };
  const removals = await parts.database.query<{ count: number }>('select count(*)::int from removal');
  const toBeRemoved = removals.rows[0]!.count;
  let batch: IncomingObject[] = [];
  const flush = async (): Promise<void> => {
    const objects = batch;
    batch = [];
    counts.added += await indexBatch(objects);
    onProgress(counts);
  };
  /** @returns how many were missing; one that the index cannot take is named, the others go on */
  const indexBatch = async (objects: IncomingObject[]): Promise<number> => {
    if (objects.length === 0) return 0;
    try {
      const { outcomes } = await indexObjects(parts.database, parts.nodeName, objects, { announce: false });
      return outcomes.filter((outcome) => outcome !== 'same').length;
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'unavailable') throw failure;
      const [only, ...others] = objects;
      if (others.length === 0) {
        counts.unreadable.push({ key: only!.key, reason: failure.message });
        return 0;
      }
      let added = 0;
      for (const object of objects) added += await indexBatch([object]);
      return added;
    }
  };
  /** Deleted or dropped: its bytes were to follow. */
  const isToBeRemoved = async (key: string): Promise<boolean> => {
    if (toBeRemoved === 0) return false;
    return (await parts.database.query('select 1 from removal where key = $1', [key])).rows.length > 0;
  };
  for await (const { key, length } of parts.store.list()) {
    if (await isToBeRemoved(key)) continue;
    counts.objects++;
    try {
      batch.push(await readStored(parts.store, key, length, from));
    } catch (thrown) {
      const failure = asFailure(thrown);
      // One file that the disk does not give back is named; a store that is away ends it all.
      if (failure.kind === 'unavailable') await parts.store.check();
      counts.unreadable.push({ key, reason: failure.message });
    }
    if (batch.length === BATCH) await flush();
  }
  await flush();
  await parts.database.query("update reception set closed_at = now(), outcome = 'answered' where id = $1", [
    from.reception,
  ]);
  return counts;
}

async function readStored(
  store: ObjectStore,
  key: string,
  length: number,
  from: Provenance,
): Promise<IncomingObject> {
  const head = await store.readRange(key, 0, Math.min(length, FILE_META_BYTES));
  const meta = readFileMeta(head);
  const { transferSyntaxUid, dataSetOffset } = meta;
  const reading = new HeaderReading(transferSyntaxUid);
  const hash = contentHash(transferSyntaxUid);
  for await (const piece of store.read(key, { offset: dataSetOffset, length: length - dataSetOffset })) {
    reading.push(piece);
    hash.update(piece);
  }
  const parsed = reading.end();
  const { scan, header } = parsed;
  const identity = checkObject(
    {
      transferSyntaxUid,
      sopClassUid: meta.sopClassUid ?? '',
      sopInstanceUid: meta.sopInstanceUid ?? '',
    },
    scan,
  );
  const digest = hash.digest();
  if (!key.includes(digest.toString('hex').slice(0, 32)))
    throw new Failure('mismatch', 'its bytes are not those its name was made of: the file is damaged');
  return {
    ...identity,
    transferSyntaxUid,
    contentHash: digest,
    length,
    dataSetOffset,
    pixel: scan.pixelData,
    key,
    place: { in: 'store' },
    receivedAt: new Date().toISOString(),
    from,
    header,
    piece: earlyPiece(parsed, {
      transferSyntaxUid,
      pixel: scan.pixelData,
      length: length - dataSetOffset,
    }),
  };
}
