/**
 * Uploads indexed records to S3: the row points at this node's journal until the upload is verified.
 * Made by placer.ts for the settler; until then read-object.ts reads them from the journal, and other nodes say 503.
 */
import { createHash } from 'node:crypto';
import { markPlaced, type Placer, type PlacerParts } from './placement.ts';
import { keyOf, pieces, readPiece } from './read-record.ts';
import type { RecordBody } from './segment-reader.ts';
import { createUploadQueue } from './upload-queue.ts';

/** What S3_UPLOADS is when nothing is said. */
const PARALLEL_UPLOADS = 8;
/** With S3 away this many objects wait for their upload (about 1 KB of memory each), the others for the index. */
const MOST_UPLOADS = 50_000;

export function createS3Placer(parts: PlacerParts): Placer {
  const { store, log } = parts;
  const uploads = createUploadQueue(parts.uploads ?? PARALLEL_UPLOADS, log);

  return {
    add(placement) {
      const { record, described } = placement;
      const { body } = record;
      uploads.add(async () => {
        const sha256 = await sha256Of(body);
        await store.put(keyOf(record), { length: body.length, sha256, open: () => pieces(body) });
        await markPlaced(parts, [{ record, piece: described ? undefined : await readPiece(record) }]);
        placement.done();
      });
    },
    pending: () => uploads.size,
    full: () => uploads.size >= MOST_UPLOADS,
    away: () => uploads.away,
    // Uploads go on by themselves.
    step: async () => {},
    async stop() {
      uploads.stop();
    },
  };
}

async function sha256Of(body: RecordBody): Promise<Buffer> {
  const hash = createHash('sha256');
  for await (const piece of pieces(body)) hash.update(piece);
  return hash.digest();
}
