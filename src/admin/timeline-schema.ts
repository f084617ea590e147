/**
 * What GET /api/studies/STUDY/timeline answers, as a JSON Schema for the description of the API (openapi.ts): one shape
 * per kind of step, as timeline.ts reads them. Tests parse timelines of a running house with it. A detail that is
 * not known is left out.
 */
import { z } from 'zod';

const moment = z.iso.datetime({ offset: true });
const first = moment.describe('Of the first of them; "at" is of the last');
const instances = z.int();
const delivery = { delivery: z.int().describe('As at /api/deliveries/ID'), destination: z.string() };
const reason = z.string().describe('In words, without patient data');

const step = <Name extends string, Shape extends z.ZodRawShape>(
  names: readonly [Name, ...Name[]],
  shape: Shape,
) => z.strictObject({ at: moment, step: z.enum(names), ...shape });

const stepSchema = z.discriminatedUnion('step', [
  step(['reception-opened'], {
    reception: z.string().describe('An association, or a STOW-RS request'),
    kind: z.enum(['dimse', 'stow', 'reindex']),
    callingAe: z.string().optional(),
    calledAe: z.string().optional(),
    address: z.string().optional(),
    actor: z.string().optional().describe('User of STOW-RS'),
  }),
  step(['instances-stored'], { reception: z.string(), instances, series: z.int(), first }),
  step(['reception-closed'], {
    reception: z.string(),
    outcome: z.enum(['released', 'aborted', 'lost', 'answered']).optional(),
    objects: z.int().describe('Of this study'),
    refused: z.int().describe('Of any study'),
  }),
  step(['conflict'], {
    conflict: z.int().describe('As at /api/conflicts/ID'),
    kind: z.enum(['content', 'patient', 'series-study', 'instance-series']),
    reason,
    sop: z.string().describe('SOPInstanceUID'),
    sourceAe: z.string().optional(),
  }),
  step(['conflict-settled'], {
    conflict: z.int(),
    by: z.string().optional(),
    settlement: z
      .enum(['kept', 'made-current', 'dropped', 'released', 'set-aside', 'variant', 'replaced'])
      .optional(),
  }),
  step(['study-stable', 'study-held', 'study-released', 'study-deleted'], {
    version: z.int().describe('Of the study'),
  }),
  step(['instances-replaced', 'instances-removed'], { instances, version: z.int(), first }),
  step(['deleted'], {
    by: z.string(),
    address: z.string().optional(),
    series: z.string().optional(),
    sop: z.string().optional(),
    instances,
  }),
  step(['rule-decided'], {
    rule: z.string(),
    ruleVersion: z.int(),
    unit: z.enum(['instance', 'series-stable', 'study-stable']),
    series: z.string().optional().describe('SeriesInstanceUID, of a rule at series-stable'),
    matched: z.boolean(),
    reason,
    version: z.int().describe('Of the study'),
    decided: z
      .array(z.strictObject({ path: z.string(), attribute: z.string(), held: z.boolean() }))
      .optional()
      .describe('The conditions that decided; absent where none was asked'),
    held: z.literal(true).optional().describe('Not asked: the study waited for a person'),
    lookedAt: z.int().describe('Instances'),
    met: z.int().optional().describe('Of a rule at instance: how many met it'),
    last: moment.optional().describe('Of a rule at instance: when the last one was decided'),
  }),
  step(['delivery-owed'], {
    ...delivery,
    rules: z.array(z.string()),
    waits: z.literal(true).optional().describe('A rule holds it until a person releases it'),
    waitsFor: z.string().optional().describe('What keeps it, in words; absent when it is its turn'),
  }),
  step(['delivery-released'], { ...delivery, by: z.string().optional() }),
  step(['instances-let-go'], { by: z.string(), why: z.string(), instances }),
  step(['delivery-tried'], { ...delivery, attempts: z.int() }),
  step(['instances-delivered', 'instances-warning', 'instances-failed'], {
    ...delivery,
    via: z.string().optional().describe('Of a group: the member that answered'),
    instances,
    first,
    status: z.int().optional().describe("The peer's DIMSE or HTTP status, the lowest of them"),
  }),
  step(['commitment-asked', 'instances-committed', 'commitment-refused'], {
    ...delivery,
    instances,
    first,
    reason: z.int().optional().describe('(0008,1197) FailureReason, the lowest of them'),
  }),
  step(['delivery-delivered', 'delivery-failed', 'delivery-parked', 'delivery-cancelled'], {
    ...delivery,
    attempts: z.int(),
    reason: reason.optional(),
    nextAttempt: moment.optional(),
  }),
  step(['ehr-link-owed'], {}),
  step(['ehr-waiting', 'ehr-linked', 'ehr-unlinked', 'ehr-parked', 'ehr-withdrawn'], {
    reason: reason.optional(),
    attempts: z.int(),
    nextAttempt: moment.optional(),
    resource: z.string().optional().describe('ImagingStudy/ID in the EHR'),
    version: z.int().optional().describe('Of the study, as the EHR was told last'),
  }),
  step(['disclosed'], {
    channel: z.string(),
    recipient: z.string(),
    address: z.string().optional(),
    action: z.string().optional(),
    times: z.int().describe('Within the hour'),
    first,
    instances: z.int().optional().describe('At most, of one time'),
  }),
]);

export const timelineSchema = z.strictObject({
  study: z.string().describe('StudyInstanceUID'),
  steps: z.array(stepSchema).describe('In order of time'),
  next: z.int().optional().describe('"offset" of the next page; absent on the last'),
});
