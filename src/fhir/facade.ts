/**
 * The read facade under /fhir: what we hold as FHIR R4, for whoever speaks FHIR and not DICOMweb.
 * GET /fhir/metadata, /fhir/ImagingStudy?identifier=…, /fhir/ImagingStudy/STUDYUID (the study UID is the id).
 * Mounted by http.ts through createFhirRoutes; every fault is an OperationOutcome.
 */
import Router, { type RouterContext } from '@koa/router';
import type { Next } from 'koa';
import type { Database } from '../archive/database/database.ts';
import { recordDisclosure } from '../archive/disclosure.ts';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { toEndpoint } from './endpoint.ts';
import { toImagingStudy } from './imaging-study.ts';
import { outcomeOf } from './outcome.ts';
import { patientIdentifier } from './patient-identifier.ts';
import { readStudy } from './read-study.ts';
import type { Bundle, ImagingStudy, Reference } from './resource.ts';
import { isFhirId, studyUidOfToken } from './uid-identifier.ts';

export interface FacadeParts {
  database: Database;
  publicUrl: () => string;
  patientSystem: string | undefined;
  zone: string;
  version: string;
  log: Log;
}

const FHIR_JSON = 'application/fhir+json';
/** Parameters that say how to answer, not what to look for. */
const IGNORED = new Set(['_format', '_pretty', '_count']);
/** Alternatives of one identifier parameter (search.html#combining). */
const MOST_TOKENS = 20;

export function createFacadeRoutes(parts: FacadeParts): Router {
  const router = new Router({ prefix: '/fhir' });
  router.use(answerInFhir(parts.log));

  router.get('/metadata', (ctx) => {
    ctx.body = JSON.stringify(capabilities(parts));
  });

  router.get('/ImagingStudy', async (ctx) => {
    const found: ImagingStudy[] = [];
    for (const studyUid of askedStudies(ctx)) {
      const study = await imagingStudy(parts, studyUid);
      if (study !== undefined && study !== 'held') found.push(study);
    }
    for (const study of found) await disclose(parts, ctx, study);
    ctx.body = JSON.stringify(searchset(parts.publicUrl(), ctx.search, found));
  });

  router.get('/ImagingStudy/:id', async (ctx) => {
    const { id = '' } = ctx.params;
    const study = await imagingStudy(parts, id);
    if (study === undefined) throw new Failure('not-found', 'There is no ImagingStudy with this id.');
    if (study === 'held')
      throw new Failure('conflict', 'This study is held until a person has settled its conflicts.');
    await disclose(parts, ctx, study);
    ctx.body = JSON.stringify(study);
  });

  router.all('/{*rest}', () => {
    throw new Failure('not-found', 'This server has GET of metadata and ImagingStudy alone.');
  });

  return router;
}

function answerInFhir(log: Log) {
  return async (ctx: RouterContext, next: Next): Promise<void> => {
    ctx.type = FHIR_JSON;
    try {
      const { _format: format } = ctx.query;
      const json =
        format === undefined ? ctx.accepts('application/fhir+json', 'json') : /json/.test(String(format));
      if (!json) throw new Failure('not-acceptable', 'This server answers application/fhir+json alone.');
      await next();
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'internal') log.error({ err: thrown }, 'a FHIR request failed');
      const { status, outcome } = outcomeOf(failure);
      ctx.status = status;
      if (failure.retryAfterS !== undefined) ctx.set('Retry-After', String(failure.retryAfterS));
      ctx.body = JSON.stringify(outcome);
    }
    ctx.type = FHIR_JSON;
  };
}

/** @throws Failure 'unsupported' for a parameter we would have to ignore: ignoring it would answer too much */
function askedStudies(ctx: RouterContext): string[] {
  for (const name of Object.keys(ctx.query))
    if (name !== 'identifier' && !IGNORED.has(name))
      throw new Failure('unsupported', 'ImagingStudy is searched by the parameter identifier alone.');
  const { identifier } = ctx.query;
  if (typeof identifier !== 'string' || identifier === '')
    throw new Failure(
      'invalid',
      'The search needs one parameter identifier, such as urn:dicom:uid|urn:oid:1.2.3.',
    );
  const tokens = identifier.split(',');
  if (tokens.length > MOST_TOKENS)
    throw new Failure('invalid', `The parameter identifier takes at most ${MOST_TOKENS} alternatives.`);
  return [...new Set(tokens.flatMap((token) => studyUidOfToken(token) ?? []))];
}

async function imagingStudy(
  parts: FacadeParts,
  studyUid: string,
): Promise<ImagingStudy | 'held' | undefined> {
  const study = isFhirId(studyUid) ? await readStudy(parts.database, studyUid) : undefined;
  if (study === undefined) return undefined;
  if (study.record.held !== null) return 'held';
  const { attributes } = study.mapped;
  const resource = toImagingStudy(
    study.mapped,
    { subject: subjectOf(attributes, parts.patientSystem), endpoint: { reference: '#dicomweb' } },
    parts.zone,
  );
  return {
    ...resource,
    id: studyUid,
    meta: { versionId: String(study.record.version), lastUpdated: study.record.lastReceivedAt.toISOString() },
    contained: [{ ...toEndpoint(parts.publicUrl()), id: 'dicomweb' }],
  };
}

/** We hold no Patient resources: the subject is named by its identifier. */
function subjectOf(
  attributes: Parameters<typeof patientIdentifier>[0],
  system: string | undefined,
): Reference {
  const identifier = patientIdentifier(attributes, system);
  if (!('reason' in identifier)) return { type: 'Patient', identifier };
  return { type: 'Patient', display: 'A patient without a known identifier system' };
}

function searchset(publicUrl: string, search: string, found: ImagingStudy[]): Bundle<ImagingStudy> {
  const base = `${publicUrl}/fhir`;
  return {
    resourceType: 'Bundle',
    type: 'searchset',
    total: found.length,
    link: [{ relation: 'self', url: `${base}/ImagingStudy${search}` }],
    ...(found.length > 0 && {
      entry: found.map((resource) => ({
        fullUrl: `${base}/ImagingStudy/${resource.id}`,
        resource,
        search: { mode: 'match' },
      })),
    }),
  };
}

async function disclose(parts: FacadeParts, ctx: RouterContext, study: ImagingStudy): Promise<void> {
  const { name, address } = (ctx.state as { actor?: { name: string; address: string } }).actor ?? {
    name: 'anonymous',
    address: ctx.ip,
  };
  await recordDisclosure(parts.database, {
    channel: 'fhir',
    recipient: name,
    address,
    studyUid: study.id ?? '',
    instances: study.numberOfInstances,
    detail: { action: 'read', resource: 'ImagingStudy' },
  });
}

function capabilities(parts: FacadeParts): object {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: '2026-01-01',
    kind: 'instance',
    software: { name: 'Isocenter', version: parts.version },
    implementation: { description: 'Isocenter', url: `${parts.publicUrl()}/fhir` },
    fhirVersion: '4.0.1',
    format: ['json'],
    rest: [
      {
        mode: 'server',
        resource: [
          {
            type: 'ImagingStudy',
            interaction: [{ code: 'read' }, { code: 'search-type' }],
            searchParam: [
              {
                name: 'identifier',
                definition: 'http://hl7.org/fhir/SearchParameter/clinical-identifier',
                type: 'token',
              },
            ],
          },
        ],
      },
    ],
  };
}
