/**
 * What the API says of deliveries, as JSON Schemas for its description (admin/openapi.ts). A test parses answers of the
 * running routes with them, so they say what is answered.
 */
import { z } from 'zod';

const moment = z.iso.datetime({ offset: true });

export const deliverySchema = z.strictObject({
  id: z.int(),
  study: z.string().describe('StudyInstanceUID'),
  destination: z.string(),
  via: z.string().nullable().describe('Of a group: the member it goes, or last went, through'),
  rule: z.string().describe('Names of the rules that owe it, separated by commas'),
  state: z
    .enum(['owed', 'sending', 'committing', 'delivered', 'parked', 'cancelled'])
    .describe('committing: all is sent, and the storage commitment is awaited; parked: a person has to act'),
  total: z.int().describe('Instances'),
  delivered: z.int().describe('Of those, answered with Success or a warning'),
  committed: z.int().describe('Of those, by storage commitment'),
  failed: z.int(),
  toLook: z.int().describe('Of those that failed: a person has to look first, for text in the picture'),
  attempts: z.int(),
  waits: z.boolean().describe('A rule holds it until a person releases it'),
  waitsFor: z
    .string()
    .nullable()
    .describe('While it is owed: what keeps it, in words; null when it is its turn'),
  nextAttempt: moment.nullable().describe('Null unless it is owed, and while only a person can let it go'),
  lastError: z.string().nullable(),
});

export const deliveryDetailSchema = deliverySchema.extend({
  instances: z.array(
    z.strictObject({
      sop: z.string().describe('SOPInstanceUID, as it is stored'),
      sentSop: z.string().nullable().describe('The one that the peer got, where it is another'),
      state: z.enum(['owed', 'delivered', 'warning', 'failed']),
      status: z.int().nullable().describe("The peer's DIMSE or HTTP status"),
      comment: z.string().nullable(),
      at: moment.nullable(),
      via: z.string().nullable().describe('Of a group: the member that answered'),
      commitment: z.enum(['asked', 'committed', 'refused']).nullable(),
      commitmentAt: moment.nullable(),
      toLook: z.boolean(),
      lookedAt: z
        .strictObject({ at: z.string(), by: z.string(), why: z.string() })
        .nullable()
        .describe('Who looked at it and let it go, and why'),
    }),
  ),
});

export const resentSchema = z.strictObject({
  study: z.string(),
  resent: z.array(z.strictObject({ destination: z.string(), instances: z.int(), message: z.string() })),
});

export const testedSchema = z.object({
  ok: z.boolean(),
  message: z.string().describe('What was answered, or the fault and what to do'),
  milliseconds: z.number().optional(),
  members: z
    .array(z.object({ member: z.string(), ok: z.boolean(), message: z.string() }))
    .optional()
    .describe('Of a group'),
});

/** Of orders to all that a destination is owed. */
export const retriedAllSchema = z.strictObject({
  destination: z.string(),
  retried: z.int().describe('Deliveries'),
});

export const cancelledAllSchema = z.strictObject({
  destination: z.string(),
  cancelled: z.int().describe('Deliveries'),
});
