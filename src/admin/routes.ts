/**
 * What looks across the doors, over HTTP: a study's timeline, the overview, the lists to work off, the description
 * of the whole API. Mounted by http.ts last, since it describes the other doors' routes.
 */
import Router from '@koa/router';
import { releaseConflict } from '../archive/conflict.ts';
import type { Database } from '../archive/database/database.ts';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import { openApi } from './openapi.ts';
import { overview } from './overview.ts';
import { MOST_LIMIT, oneText, pageOf, type Query, wholeNumber } from './page.ts';
import { listConflicts, listDisclosures, listQuarantine, listRefusals } from './reconcile-lists.ts';
import { studyTimeline } from './timeline.ts';

export interface AdminRoutesParts {
  database: Database;
  /** Ours, as package.json says it. */
  version: string;
  /** The other doors' routers, for the description of the API. */
  routers: readonly Router[];
}

const MOST_OFFSET = 1_000_000;

export function createAdminRoutes({ database, version, routers }: AdminRoutesParts): Router {
  const router = new Router({ prefix: '/api' });

  router.get('/studies/:study/timeline', async (ctx) => {
    const { study = '' } = ctx.params;
    if (!isUid(study)) throw new Failure('invalid', 'The path needs a (0020,000D) StudyInstanceUID.');
    ctx.body = await studyTimeline(database, study, {
      limit: wholeNumber(ctx.query, 'limit', 1, MOST_LIMIT) ?? MOST_LIMIT,
      offset: wholeNumber(ctx.query, 'offset', 0, MOST_OFFSET) ?? 0,
    });
  });

  router.get('/overview', async (ctx) => {
    ctx.body = await overview(database);
  });

  router.get('/conflicts', async (ctx) => {
    const where = { study: oneText(ctx.query, 'study'), settled: settledOf(ctx.query) };
    ctx.body = await listConflicts(database, where, pageOf(ctx.query));
  });

  router.post('/conflicts/:id/release', async (ctx) => {
    const id = wholeNumber(ctx.params, 'id', 1, Number.MAX_SAFE_INTEGER) ?? 0;
    const { actor } = ctx.state as { actor?: { name: string } };
    ctx.body = { id, ...(await releaseConflict(database, id, actor?.name ?? 'anonymous')) };
  });

  router.get('/refusals', async (ctx) => {
    ctx.body = await listRefusals(database, pageOf(ctx.query));
  });

  router.get('/quarantine', async (ctx) => {
    ctx.body = await listQuarantine(database, pageOf(ctx.query));
  });

  router.get('/disclosures', async (ctx) => {
    const where = { study: oneText(ctx.query, 'study'), recipient: oneText(ctx.query, 'recipient') };
    ctx.body = await listDisclosures(database, where, pageOf(ctx.query));
  });

  router.get('/openapi.json', (ctx) => {
    ctx.body = openApi([...routers, router], version);
  });

  return router;
}

/** Open ones unless it is asked otherwise. */
function settledOf(query: Query): boolean | undefined {
  const text = oneText(query, 'settled') ?? 'false';
  if (text === 'all') return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw new Failure('invalid', 'The parameter settled is true, false or all.');
}
