/**
 * What each HTTP route is for, in words, by method and path: the hand-kept part of /api/openapi.json.
 * A test holds it to the routes that are mounted, none missing and none left over.
 */
import { z } from 'zod';
import { letGoOrder, resendOrder } from '../forwarding/routes.ts';
import {
  cancelledAllSchema,
  deliveryDetailSchema,
  deliverySchema,
  resentSchema,
  retriedAllSchema,
  testedSchema,
} from '../routing/delivery-schema.ts';
import { destinationJsonSchema } from '../routing/destination.ts';
import { DESTINATION_EXAMPLES } from '../routing/destination-examples.ts';
import { restoreSchema } from '../routing/routes.ts';
import { ruleJsonSchema } from '../routing/rule.ts';
import { ruleVersionSchema, shownRuleSchema, triedSchema } from '../routing/rule-answers.ts';
import { RULE_EXAMPLES, TRY_EXAMPLES } from '../routing/rule-examples.ts';
import { askJsonSchema } from '../routing/try-rule.ts';
import { commitmentSchema } from '../scp/commitment-routes.ts';
import { KNOWN_AE_EXAMPLES, knownAeJsonSchema, shownAeSchema } from '../scp/known-ae.ts';
import { disclosureSchema } from './reconcile-lists.ts';
import { timelineSchema } from './timeline-schema.ts';

export type ParameterText =
  | string
  | { description: string; type?: 'string' | 'integer' | 'boolean'; required?: boolean };

export interface RouteText {
  tag: 'administration' | 'routing' | 'EHR' | 'FHIR' | 'DICOMweb';
  summary: string;
  query?: Record<string, ParameterText>;
  /** Media types of the request's body. */
  body?: string | readonly string[];
  bodyIsOptional?: boolean;
  /** JSON Schema of the request's body, where a door has one. */
  schema?: object;
  /** Bodies, for people. */
  examples?: Readonly<Record<string, { summary: string; value: object }>>;
  /** Default 200. */
  status?: number;
  answer?: string;
  /** JSON Schema of the answer, where a door has one. */
  answerSchema?: object;
  /** Media types of the answer; default application/json, null for none. */
  type?: string | readonly string[] | null;
  /** Other statuses whose answers are of the same media type. */
  also?: Readonly<Record<number, string>>;
}

const PAGE: Record<string, ParameterText> = {
  limit: { description: 'Rows at most (100; 1000 at most)', type: 'integer' },
  before: {
    description: 'Only rows before the one with this id: the last id of the page before',
    type: 'integer',
  },
};
const WINDOW: Record<string, ParameterText> = {
  limit: { description: 'Rows at most', type: 'integer' },
  offset: { description: 'Rows to skip', type: 'integer' },
};
const STUDY: ParameterText = 'A StudyInstanceUID';
const LET_GO = { looked: { summary: 'What you saw', value: { why: 'no text in these pictures' } } };
const answered = (schema: z.ZodType): object => z.toJSONSchema(schema);
const FHIR_JSON = 'application/fhir+json';
const JSON_BODY = 'application/json';

const admin = (summary: string, more: Partial<RouteText> = {}): RouteText => ({
  tag: 'administration',
  summary,
  ...more,
});

const routing = (summary: string, more: Partial<RouteText> = {}): RouteText => ({
  tag: 'routing',
  summary,
  ...more,
});

const qido = (what: string): RouteText => ({
  tag: 'DICOMweb',
  summary: `${what} (QIDO-RS, PS3.18 10.6)`,
  query: {
    limit: { description: 'Matches at most', type: 'integer' },
    offset: { description: 'Matches to skip', type: 'integer' },
    includefield: 'Attributes to include, by keyword, tag or path, or all',
    fuzzymatching: { description: 'Whether names match word by word', type: 'boolean' },
    emptyvaluematching: { description: 'Whether "" means an empty value', type: 'boolean' },
  },
  type: ['application/dicom+json', 'multipart/related; type="application/dicom+xml"'],
});

/** The XML form of PS3.18 10.5.2 is not taken (415). */
const STOW_BODIES = [
  'multipart/related; type="application/dicom"',
  'multipart/related; type="application/dicom+json"',
];

const stow = (summary: string): RouteText => ({
  tag: 'DICOMweb',
  summary: `${summary} (STOW-RS, PS3.18 10.5)`,
  body: STOW_BODIES,
  answer: 'All are stored',
  also: {
    202: 'Some are stored, or all and one of them with a warning: a reason for each',
    409: 'None is stored: a reason for each',
  },
  type: 'application/dicom+json',
});

const wado = (path: string, what: string): Record<string, RouteText> => ({
  [`DELETE ${path}`]: {
    tag: 'DICOMweb',
    summary: `Deletes ${what} for good, where ALLOW_DELETE is set; 409 while it is owed or waits for a person`,
    status: 204,
    answer: 'Deleted; a study that the EHR knows from us is told of there as cancelled',
    also: { 410: 'It was deleted before' },
    type: null,
  },
  [`GET ${path}`]: {
    tag: 'DICOMweb',
    summary: `The instances of ${what} (WADO-RS, PS3.18 10.4)`,
    ...(!path.endsWith('{instance}') && {
      also: {
        206: 'Without those that cannot be had in the transfer syntaxes asked for: a Warning says how many',
      },
    }),
    type: 'multipart/related; type="application/dicom"',
  },
  [`GET ${path}/metadata`]: {
    tag: 'DICOMweb',
    summary: `The metadata of ${what}`,
    type: 'application/dicom+json',
  },
  [`GET ${path}/rendered`]: {
    tag: 'DICOMweb',
    summary: `What a browser shows of ${what}: pictures, reports as HTML, documents as themselves`,
    type: 'image/jpeg',
  },
  [`GET ${path}/thumbnail`]: { tag: 'DICOMweb', summary: `A small picture of ${what}`, type: 'image/jpeg' },
});

const frames = (path: string): Record<string, RouteText> => ({
  [`GET ${path}/frames/{frames}`]: {
    tag: 'DICOMweb',
    summary: 'Frames by number, separated by commas',
    type: 'multipart/related; type="application/octet-stream"',
  },
  [`GET ${path}/frames/{frames}/rendered`]: {
    tag: 'DICOMweb',
    summary: 'Frames as pictures',
    type: 'image/jpeg',
  },
  [`GET ${path}/frames/{frames}/thumbnail`]: {
    tag: 'DICOMweb',
    summary: 'A frame as a small picture',
    type: 'image/jpeg',
  },
  [`GET ${path}/bulkdata/{path}`]: {
    tag: 'DICOMweb',
    summary: 'A large value that metadata points to',
    type: 'application/octet-stream',
  },
});

export const ROUTE_DESCRIPTIONS: Readonly<Record<string, RouteText>> = {
  'GET /api/studies/{study}/timeline': admin(
    'Every step of a study, from the association to the EHR link, with times',
    { query: WINDOW, answerSchema: answered(timelineSchema) },
  ),
  'GET /api/overview': admin('What the archive holds and owes, and what a person should look at'),
  'GET /api/conflicts': admin('Objects that contradict what is known, newest first', {
    query: { study: STUDY, settled: 'true, false (the default) or all', ...PAGE },
  }),
  'GET /api/conflicts/{id}': admin(
    'A conflict with all versions of the instance and what differs between the two, attribute by attribute',
    { query: { values: 'true: with the values, which are patient data; recorded as a disclosure' } },
  ),
  'POST /api/conflicts/{id}/{action}': admin(
    'Settles a conflict: keep (the current version), make-current, drop (a version that is not current, with its ' +
      'bytes), release (the study goes on; a patient is the same), set-aside (kept apart from the study)',
    { query: { version: 'Which version is meant, by its hash; the one that came when absent' } },
  ),
  'POST /api/studies/{study}/conflicts/{action}': admin(
    'Settles all open conflicts of a study alike: keep, make-current, release or set-aside',
  ),
  'GET /api/instances/{instance}/versions': admin(
    'Every stored version of an instance, the current one first',
  ),
  'GET /api/refusals': admin('What was refused, to whom and why, in whole sentences, newest first', {
    query: {
      ae: 'Calling or called AE title',
      address: 'IP address of the sender',
      what: 'association, context, operation, object (DIMSE), request or part (STOW-RS)',
      code: 'Reason code, as at /metrics in isocenter_refusals_total',
      since: 'Seen at or after this time (ISO 8601)',
      ...PAGE,
    },
  }),
  'GET /api/quarantine': admin('Objects that turned out wrong after Success', { query: PAGE }),
  'GET /api/disclosures': admin('Every exit of patient data: when, by which channel, to whom', {
    query: { study: STUDY, recipient: 'User, AE title or host', ...PAGE },
    answerSchema: answered(z.array(disclosureSchema)),
  }),
  'GET /api/changes': admin(
    'What changed in the archive (instances stored, replaced, removed, deleted; conflicts settled; studies stable, held, ' +
      'released, deleted), oldest first. Ask again with since = "next": nothing is left out, and nothing comes twice',
    {
      query: {
        since:
          'Where the last answer ended (its "next"); latest: only where the feed ends now; from the beginning when absent',
        limit: { description: 'Changes at most (100; 1000 at most)', type: 'integer' },
      },
      answer: '{ changes: [{ at, kind, study, series, sop, studyVersion }], next, more }',
    },
  ),
  'GET /api/deletions': admin('Who deleted what by DICOMweb, newest first', {
    query: { study: STUDY, ...PAGE },
  }),
  'GET /api/aes': admin('Known AEs: who may open a DICOM association, and how many each has open here', {
    answerSchema: answered(z.array(shownAeSchema)),
  }),
  'GET /api/aes/{name}': admin('A known AE', { answerSchema: answered(shownAeSchema) }),
  'PUT /api/aes/{name}': admin('Creates or changes a known AE; answered once it holds on this node', {
    body: JSON_BODY,
    schema: knownAeJsonSchema(),
    examples: KNOWN_AE_EXAMPLES,
    answerSchema: answered(shownAeSchema),
    also: { 201: 'Created' },
  }),
  'DELETE /api/aes/{name}': admin('Deletes a known AE; its open associations go on', {
    status: 204,
    answer: 'Deleted',
    type: null,
  }),
  'GET /api/commitments': admin('Storage commitments that others asked us for, newest first', {
    query: {
      state: 'deciding, reporting, reported or given-up',
      ae: 'AE title of who asked',
      ...WINDOW,
    },
    answerSchema: answered(z.array(commitmentSchema)),
  }),
  'POST /api/commitments/{id}/retry': admin('Looks again at what was asked for, and reports it now', {
    answerSchema: answered(commitmentSchema),
  }),
  'GET /api/openapi.json': admin('This description'),

  'GET /api/fhir/unlinked': {
    tag: 'EHR',
    summary: 'Studies that could not be linked to the EHR so far, with the reason, longest first',
    query: WINDOW,
  },
  'POST /api/fhir/unlinked/{study}/retry': {
    tag: 'EHR',
    summary: 'Tries to link a study now',
    status: 202,
    answer: 'The link, which is due',
  },
  'POST /api/fhir/unlinked/retry': {
    tag: 'EHR',
    summary: 'Tries to link everything that is not linked',
    status: 202,
    answer: 'How many are due',
  },
  'GET /api/fhir/links': {
    tag: 'EHR',
    summary: "A study's link to the EHR",
    query: { study: { description: 'A StudyInstanceUID', required: true } },
  },
  'GET /fhir/metadata': { tag: 'FHIR', summary: 'The CapabilityStatement (FHIR R4)', type: FHIR_JSON },
  'GET /fhir/ImagingStudy': {
    tag: 'FHIR',
    summary: 'Search by identifier: a searchset Bundle',
    query: {
      identifier: { description: 'urn:dicom:uid|urn:oid:UID, up to 20 separated by commas', required: true },
    },
    type: FHIR_JSON,
  },
  'GET /fhir/ImagingStudy/{id}': {
    tag: 'FHIR',
    summary: 'A study as ImagingStudy; its id is the StudyInstanceUID',
    type: FHIR_JSON,
  },

  'GET /api/destinations': routing('Destinations with their health'),
  'GET /api/destinations/{name}': routing('A destination'),
  'PUT /api/destinations/{name}': routing('Creates or changes a destination', {
    body: JSON_BODY,
    schema: destinationJsonSchema(),
    examples: DESTINATION_EXAMPLES,
    also: { 201: 'Created' },
  }),
  'DELETE /api/destinations/{name}': routing('Deletes a destination', {
    query: {
      force: { description: 'Also when deliveries are owed to it: they are cancelled', type: 'boolean' },
    },
  }),
  'GET /api/rules': routing('Rules', { answerSchema: answered(z.array(shownRuleSchema)) }),
  'GET /api/rules/schema': routing('The JSON Schema of a rule', { type: 'application/schema+json' }),
  'GET /api/rules/{name}': routing('A rule', { answerSchema: answered(shownRuleSchema) }),
  'GET /api/rules/{name}/versions': routing(
    'Every version a rule had: who made it, when, and in lines what it changed; newest first',
    { answerSchema: answered(z.array(ruleVersionSchema)) },
  ),
  'PUT /api/rules/{name}': routing('Creates or changes a rule', {
    body: JSON_BODY,
    // Its references are its own, so it is a resource of its own (JSON Schema 2020-12, 8.2.1).
    schema: { $id: '/api/rules/schema', ...ruleJsonSchema() },
    examples: RULE_EXAMPLES,
    answerSchema: answered(shownRuleSchema),
    also: { 201: 'Created' },
  }),
  'POST /api/rules/try': routing(
    'What would go where that does not go today, by a draft rule: for an uploaded object, a stored study, or the studies ' +
      'of the last days (page by page). Nothing is written but the record of who asked',
    {
      body: [JSON_BODY, 'application/dicom', 'multipart/form-data', 'multipart/related'],
      schema: askJsonSchema(),
      examples: TRY_EXAMPLES,
      answer:
        'Every decision with the conditions that decided (decisions), what goes with the draft (goes), what goes that ' +
        'does not go today (more), what goes today and would not (less)',
      answerSchema: answered(triedSchema),
    },
  ),
  'POST /api/rules/{name}/restore': routing(
    'Makes a rule what it was in an earlier version, also after it was deleted',
    {
      body: JSON_BODY,
      schema: z.toJSONSchema(restoreSchema, { io: 'input' }),
      examples: { version: { summary: 'Back to version 3, as a new version', value: { version: 3 } } },
      answerSchema: answered(shownRuleSchema),
    },
  ),
  'DELETE /api/rules/{name}': routing('Deletes a rule', { status: 204, answer: 'Deleted', type: null }),

  'POST /api/destinations/{name}/test': routing('Asks a destination whether it is there', {
    answerSchema: answered(testedSchema),
  }),
  'POST /api/destinations/{name}/retry': routing('Owes what is parked or waits for it, now', {
    answerSchema: answered(retriedAllSchema),
  }),
  'POST /api/destinations/{name}/cancel': routing('Cancels everything it is still owed', {
    answerSchema: answered(cancelledAllSchema),
  }),
  'POST /api/studies/{study}/resend': routing(
    'Owes the whole study again: to "destinations", or wherever it was owed before',
    {
      body: JSON_BODY,
      bodyIsOptional: true,
      schema: z.toJSONSchema(resendOrder, { io: 'input' }),
      examples: { some: { summary: 'To these', value: { destinations: ['pacs', 'research'] } } },
      answerSchema: answered(resentSchema),
    },
  ),
  'GET /api/deliveries': routing('What is owed, sent and delivered, newest first', {
    answerSchema: answered(z.array(deliverySchema)),
    query: {
      study: STUDY,
      destination: 'Name of a destination',
      state: 'owed, sending, committing, delivered, parked or cancelled',
      waits: 'true: only those that wait for a person, because a rule says hold',
      toLook: 'true: only those with instances that a person has to look at first, for text in the picture',
      ...WINDOW,
    },
  }),
  'GET /api/deliveries/{id}': routing('A delivery with its instances', {
    query: WINDOW,
    answerSchema: answered(deliveryDetailSchema),
  }),
  'POST /api/deliveries/{id}/retry': routing('Sends what is not delivered now', {
    answerSchema: answered(deliverySchema),
  }),
  'POST /api/deliveries/{id}/release': routing('Lets go what waits for a person, late images included', {
    answerSchema: answered(deliverySchema),
  }),
  'POST /api/deliveries/{id}/instances/release': routing(
    'Lets go every instance that waits for a person to look at it; who, when and why is on record, and holds for the same objects in this form to every destination',
    { body: JSON_BODY, schema: z.toJSONSchema(letGoOrder, { io: 'input' }), examples: LET_GO },
  ),
  'POST /api/deliveries/{id}/instances/{instance}/release': routing('The same for one instance', {
    body: JSON_BODY,
    examples: LET_GO,
    schema: z.toJSONSchema(letGoOrder, { io: 'input' }),
  }),
  'POST /api/deliveries/{id}/cancel': routing('Sends nothing more of it', {
    answerSchema: answered(deliverySchema),
  }),

  'GET /dicom-web/studies': qido('Studies'),
  'GET /dicom-web/series': qido('Series of all studies'),
  'GET /dicom-web/instances': qido('Instances of all studies'),
  'GET /dicom-web/studies/{study}/series': qido('Series of a study'),
  'GET /dicom-web/studies/{study}/instances': qido('Instances of a study'),
  'GET /dicom-web/studies/{study}/series/{series}/instances': qido('Instances of a series'),
  ...wado('/dicom-web/studies/{study}', 'a study'),
  ...wado('/dicom-web/studies/{study}/series/{series}', 'a series'),
  ...wado('/dicom-web/studies/{study}/series/{series}/instances/{instance}', 'an instance'),
  ...frames('/dicom-web/studies/{study}/series/{series}/instances/{instance}'),
  'OPTIONS /dicom-web': {
    tag: 'DICOMweb',
    summary: 'What this service offers (Retrieve Capabilities, PS3.18 8.9), as WADL or JSON',
    type: 'application/vnd.sun.wadl+xml',
  },
  'OPTIONS /dicom-web/{path}': {
    tag: 'DICOMweb',
    summary: 'What one resource offers',
    type: 'application/vnd.sun.wadl+xml',
  },
  'POST /dicom-web/studies': stow('Stores instances'),
  'POST /dicom-web/studies/{study}': stow('Stores instances of one study'),
  'GET /wado': {
    tag: 'DICOMweb',
    summary: 'One instance as DICOM or rendered (WADO-URI, PS3.18 9)',
    query: {
      requestType: { description: 'WADO', required: true },
      studyUID: { description: 'StudyInstanceUID', required: true },
      seriesUID: { description: 'SeriesInstanceUID', required: true },
      objectUID: { description: 'SOPInstanceUID', required: true },
      contentType: 'Media types, best first; without it what a browser shows of the instance',
      transferSyntax: 'Of contentType=application/dicom (1.2.840.10008.1.2.1)',
      frameNumber: { description: 'Counted from 1', type: 'integer' },
      rows: { description: 'Height of the picture', type: 'integer' },
      columns: { description: 'Width of the picture', type: 'integer' },
      region: 'left,top,right,bottom, each from 0 to 1',
      windowCenter: 'With windowWidth, instead of the own window of the object',
      windowWidth: 'With windowCenter',
      imageQuality: { description: '1 to 100', type: 'integer' },
      annotation: 'patient, technique or both: burned into the picture',
    },
    type: 'image/jpeg',
  },
  'GET /api/instances/{instance}/original': {
    tag: 'DICOMweb',
    summary: 'The stored Part 10 file, byte for byte',
    query: { version: 'A version by its hash, 64 hex digits; the current one when absent' },
    type: 'application/dicom',
  },
};
