/**
 * The EHR link's HTTP routes: the work list of what could not be linked under /api/fhir, and the facade under /fhir.
 * Mounted by http.ts, also when no FHIR_BASE_URL is set (the list is empty then).
 */
import Router from '@koa/router';
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

const DEFAULT_LIMIT = 100;
const MOST_LIMIT = 1000;
const MOST_OFFSET = 1_000_000;

export function createFhirRoutes(parts: FhirRoutesParts): Router {
  const { database } = parts;
  const router = new Router();

  router.get('/api/fhir/unlinked', async (ctx) => {
    const limit = integer(ctx.query, 'limit', DEFAULT_LIMIT, 1, MOST_LIMIT);
    const offset = integer(ctx.query, 'offset', 0, 0, MOST_OFFSET);
    ctx.body = await findOpenLinks(database, { limit, offset });
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
    const { study } = ctx.query;
    if (typeof study !== 'string' || study === '')
      throw new Failure('invalid', 'The query needs one parameter study: a (0020,000D) StudyInstanceUID.');
    const link = await findLink(database, study);
    ctx.body = link ? [link] : [];
  });

  const zone = parts.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  router.use(createFacadeRoutes({ ...parts, zone }).routes());
  return router;
}

function integer(
  query: NodeJS.Dict<string | string[]>,
  name: string,
  otherwise: number,
  least: number,
  most: number,
): number {
  const text = query[name];
  if (text === undefined) return otherwise;
  const number = typeof text === 'string' && /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new Failure('invalid', `The parameter ${name} is a whole number from ${least} to ${most}.`);
}
