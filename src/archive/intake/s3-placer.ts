/**
 * Uploads records to S3 behind the index: the row points at this node's journal until the upload is verified.
 * Made by placer.ts for the settler; until then read-object.ts reads them from the journal, and other nodes say 503.
 */
import path from 'node:path';
import type { ObjectPlace } from '../incoming-object.ts';
import type { Placer, PlacerParts } from './placer.ts';
import { incoming, keyOf, ONE_PIECE, pieces, readRecord } from './read-record.ts';
import { createUploadQueue } from './upload-queue.ts';

/** What S3_UPLOADS is when nothing is said. */
const PARALLEL_UPLOADS = 8;
/** With S3 away this many objects wait for their upload (about 1 KB of memory each), the others for the index. */
const MOST_UPLOADS = 50_000;

export function createS3Placer(parts: PlacerParts): Placer {
  const { store, database, log } = parts;
  const buffer = Buffer.allocUnsafeSlow(ONE_PIECE);
  const uploads = createUploadQueue(parts.uploads ?? PARALLEL_UPLOADS, log);

  return {
    async place(record, replayed) {
      const { body } = record;
      const read = readRecord(record, buffer);
      const key = keyOf(record);
      const sha256 = read.sha256();
      const place: ObjectPlace = {
        in: 'journal',
        node: parts.nodeName,
        path: path.relative(parts.dataFolder, body.path),
        nonce: body.nonce,
        offset: body.offset,
      };
      return {
        object: { ...incoming(record, key, read, place), replayed },
        put: () => store.put(key, { length: body.length, sha256, open: () => pieces(body) }),
      };
    },
    follow({ object, put }, done) {
      // Only what the upload needs: the header would be held for as long as S3 is away.
      const { sopInstanceUid, contentHash } = object;
      uploads.add(async () => {
        await put();
        await database.query(
          `update object set location = 'store', node = null, journal = null
           where sop_uid = $1 and content_hash = $2 and location = 'journal' and node = $3`,
          [sopInstanceUid, contentHash, parts.nodeName],
        );
        done();
      });
    },
    pending: () => uploads.size,
    full: () => uploads.size >= MOST_UPLOADS,
    away: () => uploads.away,
    flush: async () => {},
    async stop() {
      uploads.stop();
    },
  };
}
