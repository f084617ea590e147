/**
 * The EHR link's HTTP routes: the work list of what could not be linked under /api/fhir, and the facade under /fhir.
 * Mounted by http.ts, also when no FHIR_BASE_URL is set (the list is empty then).
 */
import Router from '@koa/router';
import { z } from 'zod';
import type { Database } from '../archive/database/database.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { createFacadeRoutes } from './facade.ts';
import { findLink, findOpenLinks, retry } from './link-ledger.ts';

export interface FhirRoutesParts {
  database: Database;
  publicUrl: () => string;
  /** FHIR_PATIENT_SYSTEM */
  patientSystem: string | undefined;
  /** Ours, as package.json says it. */
  version: string;
  log: Log;
  zone?: string;
}

const unlinkedQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
});
const linksQuery = z.strictObject({ study: z.string().min(1).max(64) });

export function createFhirRoutes(parts: FhirRoutesParts): Router {
  const { database } = parts;
  const router = new Router();

  router.get('/api/fhir/unlinked', async (ctx) => {
    ctx.body = await findOpenLinks(database, queryOf(ctx.query, unlinkedQuery));
  });

  router.post('/api/fhir/unlinked/:study/retry', async (ctx) => {
    const { study = '' } = ctx.params;
    if ((await retry(database, study)) === 0)
      throw new Failure(
        'not-found',
        'There is no link of this study: it was not stable yet, or is not in the index.',
      );
    ctx.status = 202;
    ctx.body = await findLink(database, study);
  });

  /** After an outage that parked many, such as an expired token. */
  router.post('/api/fhir/unlinked/retry', async (ctx) => {
    ctx.status = 202;
    ctx.body = { due: await retry(database, undefined) };
  });

  router.get('/api/fhir/links', async (ctx) => {
    const { study } = queryOf(ctx.query, linksQuery);
    const link = await findLink(database, study);
    ctx.body = link ? [link] : [];
  });

  const zone = parts.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  router.use(createFacadeRoutes({ ...parts, zone }).routes());
  return router;
}

/** An unknown parameter is refused too: a filter that is ignored answers too much. */
function queryOf<T extends z.ZodType>(query: object, schema: T): z.output<T> {
  const parsed = schema.safeParse({ ...query });
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => [...issue.path.map(String), issue.message].join(': '));
  throw new Failure('invalid', `The query has a fault: ${faults.join('; ')}`);
}
