/**
 * What looks across the doors, over HTTP: a study's timeline, the overview, the lists to work off, the description
 * of the whole API. Mounted by http.ts last, since it describes the other doors' routes.
 */
import Router from '@koa/router';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import type { TryOut } from '../routing/try-rule.ts';
import { listChanges } from './change-list.ts';
import { addConflictRoutes, type ConflictRoutesParts } from './conflict-routes.ts';
import { openApi } from './openapi.ts';
import { overview } from './overview.ts';
import {
  changeQuery,
  deletionQuery,
  disclosureQuery,
  pageQuery,
  parsed,
  refusalQuery,
  timelineQuery,
} from './query.ts';
import { listDeletions, listDisclosures, listQuarantine, listRefusals } from './reconcile-lists.ts';
import { studyTimeline } from './timeline.ts';
import { addTryRoutes } from './try-routes.ts';

export interface AdminRoutesParts {
  archive: ConflictRoutesParts;
  tryOut: TryOut;
  /** Ours, as package.json says it. */
  version: string;
  /** The other doors' routers, for the description of the API. */
  routers: readonly Router[];
}

export function createAdminRoutes({ archive, tryOut, version, routers }: AdminRoutesParts): Router {
  const { database } = archive;
  const router = new Router({ prefix: '/api' });

  router.get('/studies/:study/timeline', async (ctx) => {
    const { study = '' } = ctx.params;
    if (!isUid(study)) throw new Failure('invalid', 'The path needs a (0020,000D) StudyInstanceUID.');
    ctx.body = await studyTimeline(database, study, parsed(ctx.query, timelineQuery, 'The query'));
  });

  router.get('/overview', async (ctx) => {
    ctx.body = await overview(database);
  });

  router.get('/changes', async (ctx) => {
    ctx.body = await listChanges(database, parsed(ctx.query, changeQuery, 'The query'));
  });

  router.get('/deletions', async (ctx) => {
    ctx.body = await listDeletions(database, parsed(ctx.query, deletionQuery, 'The query'));
  });

  addConflictRoutes(router, archive);
  addTryRoutes(router, { database, tryOut });

  router.get('/refusals', async (ctx) => {
    ctx.body = await listRefusals(database, parsed(ctx.query, refusalQuery, 'The query'));
  });

  router.get('/quarantine', async (ctx) => {
    ctx.body = await listQuarantine(database, parsed(ctx.query, pageQuery, 'The query'));
  });

  router.get('/disclosures', async (ctx) => {
    ctx.body = await listDisclosures(database, parsed(ctx.query, disclosureQuery, 'The query'));
  });

  router.get('/openapi.json', (ctx) => {
    ctx.body = openApi([...routers, router], version);
  });

  return router;
}
