/**
 * What the API says of rules and of their try-out, as JSON Schemas for its description (admin/openapi.ts). A test parses
 * answers of a running house with them, so they say what is answered.
 */
import { z } from 'zod';
import { conditionSchema } from './condition.ts';
import { nameSchema, RULE_UNITS } from './rule.ts';
import { transformSchema } from './rule-transform.ts';

const moment = z.iso.datetime({ offset: true });

/** A part of a rule that refers to itself: described once, where rules are published. */
const asPublished = (part: 'when' | 'transform', schema: z.ZodType) =>
  z
    .unknown()
    .refine((value) => schema.safeParse(value).success, `expected ${part} as a rule has it`)
    .meta({ $ref: `/api/rules/schema#/properties/${part}` });

/** Unlike in what is put, nothing that has a default is left out. */
const ruleBody = z.strictObject({
  when: asPublished('when', conditionSchema),
  at: z.enum(RULE_UNITS),
  send: z.array(nameSchema).describe('Names of destinations'),
  transform: asPublished('transform', transformSchema).optional(),
  hold: z.boolean().optional(),
  priority: z.int(),
  enabled: z.boolean(),
  description: z.string(),
});

const changed = { changedAt: moment, changedBy: z.string().describe('User; anonymous where nobody logs in') };

export const shownRuleSchema = ruleBody.extend({
  name: nameSchema,
  version: z.int().describe('Counts the changes of this name, deletions included'),
  ...changed,
});

export const ruleVersionSchema = z.strictObject({
  version: z.int(),
  body: ruleBody.nullable().describe('Null: this version deleted the rule'),
  ...changed,
  changes: z
    .array(z.string())
    .optional()
    .describe('Against the version before, a line each; absent where that one is not in the list any more'),
});

const decision = z.strictObject({
  rule: z.string(),
  draft: z.literal(true).optional().describe('It is the one that was tried'),
  series: z.string().optional().describe('SeriesInstanceUID, of a rule at series-stable'),
  matched: z.boolean(),
  reason: z.string().describe('The condition that decided, as a sentence without patient data'),
  decided: z
    .array(
      z.strictObject({
        path: z.string().describe('Where the condition stands in the rule: when.any[0].Modality'),
        attribute: z.string(),
        held: z.boolean(),
      }),
    )
    .describe('The same for programs; empty where no condition was asked'),
  met: z.int().optional().describe('Of a rule at instance: how many instances met it'),
});

const going = z.strictObject({
  destination: z.string(),
  instances: z.int(),
  changed: z.literal(true).optional().describe('The rule changes them on the way out'),
  waits: z.literal(true).optional().describe('Once a person releases them'),
});

const incomplete = z
  .literal(true)
  .optional()
  .describe('The time was up before every instance was looked at: what stands here is of those that were');
const held = z.literal(true).optional().describe('The study waits for a person: until then nothing goes');

const triedOne = z.strictObject({
  study: z.string().optional().describe('StudyInstanceUID, of a stored study'),
  held,
  instances: z.int().describe('Instances looked at'),
  incomplete,
  decisions: z.array(decision),
  goes: z.array(going).describe('With the draft in force'),
  more: z.array(going).describe('Goes with the draft and does not go today'),
  less: z.array(going).describe('Goes today and would not with the draft'),
});

const goingOfMany = going.extend({ studies: z.int() });

const triedDays = z.strictObject({
  days: z.int(),
  studies: z
    .array(triedOne.omit({ goes: true }).extend({ study: z.string().describe('StudyInstanceUID') }))
    .describe('Studies for which the draft makes a difference, with its own decisions'),
  more: z.array(goingOfMany).describe('Of this page'),
  less: z.array(goingOfMany).describe('Of this page'),
  looked: z.int().describe('Studies looked at so far, over all pages'),
  of: z.int().describe('Studies there were when it began'),
  next: z.string().optional().describe('"cursor" of the next call; absent on the last page'),
});

export const triedSchema = z.union([
  triedOne.describe('Of an uploaded object or a stored study'),
  triedDays.describe('Of the last days'),
]);
