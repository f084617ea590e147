/**
 * The DICOMweb door (PS3.18): QIDO-RS, WADO-RS and STOW-RS under /dicom-web, WADO-URI at /wado, and the stored files under /api/instances.
 * Made by http.ts with the archive's parts; bytes and rows come from the archive, pictures from pixels/.
 */
import Router from '@koa/router';
import type { Archive } from '../archive/archive.ts';
import { createDisclosureLog } from '../archive/disclosure-log.ts';
import { createObjectFinder } from '../archive/find-object.ts';
import { createPieceBuffers } from '../archive/object-store/piece-buffers.ts';
import { inTurns } from '../archive/search-turns.ts';
import type { Log } from '../log.ts';
import { createPixelWorkers, type PixelWorkers } from '../pixels/pixel-workers.ts';
import { retrieveBulkData } from './bulk-data.ts';
import { createByteBudget } from './byte-budget.ts';
import { retrieveCapabilities } from './capabilities.ts';
import { deleteStored, tellDeleted } from './delete.ts';
import { retrieveFrames } from './frames.ts';
import { retrieveMetadata, warmMetadata } from './metadata.ts';
import { retrieveOriginal } from './original.ts';
import { searchFor } from './qido.ts';
import { createSearchPages } from './qido-pages.ts';
import { retrieveRendered, retrieveThumbnail } from './rendered.ts';
import { retrieveInstances } from './retrieve.ts';
import { answerFailures } from './status.ts';
import { store } from './stow.ts';
import { retrieveByUri } from './wado-uri.ts';

export interface DicomwebParts {
  readonly archive: Pick<
    Archive,
    'database' | 'reader' | 'packs' | 'openReception' | 'packs' | 'spool' | 'refusals' | 'removeDropped'
  >;
  /** Where clients reach us, without trailing slash; undefined: as each request says. */
  readonly publicUrl: string | undefined;
  /** Whether DELETE is taken. */
  readonly allowDelete: boolean;
  readonly log: Log;
}

export interface DicomwebDoor {
  readonly router: Router;
  /** Before the first request: it finds connections open and code compiled. */
  warmUp(): Promise<void>;
  /** Ends the worker threads, after the last request. */
  stop(): Promise<void>;
}

const WARM_UP_MS = 200;
/** Of all requests together; a single frame may be as large as frame-bytes.ts allows. */
const HELD_FRAME_BYTES = 1024 ** 3;
/** Buffers of each size that wait for their next use. */
const KEPT_BUFFER_BYTES = 8 * 1024 * 1024;
/** On their way to clients at once, over all requests, before each of them gets small pieces. */
const PLENTY_BYTES = 64 * 1024 * 1024;
/** Of STOW's metadata form, of all requests together. */
const HELD_METADATA_BYTES = 96 * 1024 * 1024;
const STUDY = '/dicom-web/studies/:study';
const SERIES = `${STUDY}/series/:series`;
const INSTANCE = `${SERIES}/instances/:instance`;

export function createDicomwebRoutes({ archive, publicUrl, allowDelete, log }: DicomwebParts): DicomwebDoor {
  const workers: PixelWorkers = createPixelWorkers();
  const { database, reader, packs } = archive;
  const parts = {
    database,
    reader,
    publicUrl,
    log,
    workers,
    budget: createByteBudget(HELD_FRAME_BYTES),
    buffers: createPieceBuffers(KEPT_BUFFER_BYTES, PLENTY_BYTES),
    finder: createObjectFinder(database),
    disclosures: createDisclosureLog(database),
  };
  const searchParts = { ...parts, database: inTurns(database), pages: createSearchPages() };
  const { openReception, spool, refusals, removeDropped } = archive;
  const metadataBudget = createByteBudget(HELD_METADATA_BYTES, 'metadata of other requests');
  const stowParts = { publicUrl, log, openReception, spool, metadataBudget, refusals };
  const router = new Router();
  router.use(answerFailures(log));
  router.use(tellDeleted(database));

  router.get('/dicom-web/studies', searchFor(searchParts, 'study'));
  router.get('/dicom-web/series', searchFor(searchParts, 'series'));
  router.get('/dicom-web/instances', searchFor(searchParts, 'instance'));
  router.get(`${STUDY}/series`, searchFor(searchParts, 'series'));
  router.get(`${STUDY}/instances`, searchFor(searchParts, 'instance'));
  router.get(`${SERIES}/instances`, searchFor(searchParts, 'instance'));

  for (const resource of [STUDY, SERIES, INSTANCE]) {
    router.get(resource, retrieveInstances(parts));
    router.delete(resource, deleteStored({ database, allowed: allowDelete, removeDropped }));
    router.get(`${resource}/metadata`, retrieveMetadata({ ...parts, packs }));
    router.get(`${resource}/rendered`, retrieveRendered(parts));
    router.get(`${resource}/thumbnail`, retrieveThumbnail(parts));
  }
  router.get(`${INSTANCE}/frames/:frames`, retrieveFrames(parts));
  router.get(`${INSTANCE}/frames/:frames/rendered`, retrieveRendered(parts));
  router.get(`${INSTANCE}/frames/:frames/thumbnail`, retrieveThumbnail(parts));
  router.get(`${INSTANCE}/bulkdata/*path`, retrieveBulkData(parts));

  router.post('/dicom-web/studies', store(stowParts));
  router.post(STUDY, store(stowParts));

  router.options('/dicom-web', retrieveCapabilities(router, publicUrl));
  router.options('/dicom-web/*path', retrieveCapabilities(router, publicUrl));

  router.get('/wado', retrieveByUri(parts));
  router.get('/api/instances/:instance/original', retrieveOriginal(parts));
  return {
    router,
    async warmUp() {
      try {
        router.match('/dicom-web/studies/0/series/0/metadata', 'GET');
        await warmMetadata({ ...parts, packs }, WARM_UP_MS);
      } catch (err) {
        // Only a head start is lost.
        log.warn({ err }, 'the first requests will take longer');
      }
    },
    stop: () => workers.stop(),
  };
}
