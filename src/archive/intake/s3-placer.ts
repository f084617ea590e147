/**
 * Uploads records to S3 behind the index: the row points at this node's journal until the upload is verified.
 * Made by placer.ts for the settler; until then read-object.ts reads them from the journal.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asFailure } from '../../failure.ts';
import type { ObjectPlace } from '../incoming-object.ts';
import type { Placer, PlacerParts } from './placer.ts';
import { incoming, keyOf, ONE_PIECE, pieces, readRecord } from './read-record.ts';

const PARALLEL_UPLOADS = 8;
const UPLOAD_RETRY_MS = 2000;
/** With S3 away this many objects wait for their upload (about 1 KB of memory each), the others for the index. */
const MOST_UPLOADS = 10_000;

interface Upload {
  sopUid: string;
  contentHash: Buffer;
  put: () => Promise<void>;
  done: () => void;
}

export function createS3Placer(parts: PlacerParts): Placer {
  const { store, database, log } = parts;
  const buffer = Buffer.allocUnsafeSlow(ONE_PIECE);
  const waiting: Upload[] = [];
  let active = 0;
  let stopped = false;

  const finish = async ({ sopUid, contentHash, put, done }: Upload): Promise<void> => {
    await put();
    await database.query(
      `update object set location = 'store', node = null, journal = null
       where sop_uid = $1 and content_hash = $2 and location = 'journal' and node = $3`,
      [sopUid, contentHash, parts.nodeName],
    );
    done();
  };
  const pump = (): void => {
    while (!stopped && active < PARALLEL_UPLOADS && waiting.length > 0) {
      const item = waiting.shift()!;
      active++;
      finish(item)
        .catch((thrown: unknown) => {
          log.warn({ err: asFailure(thrown) }, 'an object could not be put into the store, trying again');
          waiting.push(item);
          return sleep(stopped ? 0 : UPLOAD_RETRY_MS);
        })
        .finally(() => {
          active--;
          pump();
        });
    }
  };

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
      const { sopInstanceUid: sopUid, contentHash } = object;
      waiting.push({ sopUid, contentHash, put, done });
      pump();
    },
    pending: () => active + waiting.length,
    full: () => active + waiting.length >= MOST_UPLOADS,
    flush: async () => {},
    async stop() {
      stopped = true;
    },
  };
}
