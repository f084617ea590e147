/**
 * What every destination has beside its address: how much at once and how fast, when, and how often again.
 * Schemas of destination.ts; the ledger and forwarding go by them.
 */
import { z } from 'zod';
import { retrySchema } from './backoff.ts';
import { timeWindowSchema } from './time-window.ts';

const rate = z
  .strictObject({
    instancesPerMinute: z.number().min(1).max(1_000_000).optional(),
    bytesPerSecond: z.number().min(10_000).max(1e10).optional(),
  })
  .refine(
    ({ instancesPerMinute, bytesPerSecond }) =>
      instancesPerMinute !== undefined || bytesPerSecond !== undefined,
    'name instancesPerMinute, bytesPerSecond or both',
  )
  .describe('No faster than this, over all associations and processes');

export type SendRate = z.infer<typeof rate>;

/** For destinations that answer. */
export const answerSettings = {
  answerS: z
    .number()
    .int()
    .min(1)
    .max(3600)
    .optional()
    .describe('Seconds that it may take to answer, or to take any bytes at all (60)'),
};

export const sendingSettings = {
  maxAssociations: z
    .number()
    .int()
    .min(1)
    .max(8)
    .default(1)
    .describe('Deliveries sent to it at the same time'),
  rate: rate.optional(),
  windows: z
    .array(timeWindowSchema)
    .min(1)
    .max(20)
    .optional()
    .describe(
      'When it may be sent to; always when absent. What is under way at the end stops after its instance',
    ),
  retry: retrySchema.optional().describe('How often and for how long is tried again'),
  enabled: z.boolean().default(true).describe('While false, what is owed waits'),
};
