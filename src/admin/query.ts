/**
 * What the lists of this room may be asked: pages of rows, newest first, and their filters.
 * Called by routes.ts; an unknown parameter is refused, since a filter that is ignored answers too much.
 */
import { z } from 'zod';
import { CONFLICT_ACTIONS } from '../archive/settle-conflict.ts';
import { isUid } from '../dicom/uid.ts';
import { type Refused, refusalCodes } from '../dimse/refusal-code.ts';
import { invalid, sentences } from '../routing/faults.ts';

/** `limit` rows before the row with the id `before`. */
export interface Page {
  limit: number;
  before?: number | undefined;
}

const id = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
const page = { limit: z.coerce.number().int().min(1).max(1000).default(100), before: id.optional() };
const uid = z.string().min(1).max(64).optional();

export const pageQuery = z.strictObject(page);
export const refusalQuery = z.strictObject({
  ae: z.string().max(16).optional(),
  address: z.string().max(64).optional(),
  what: z.enum(Object.keys(refusalCodes) as Refused[]).optional(),
  code: z.string().max(64).optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  ...page,
});
export const conflictQuery = z.strictObject({
  study: uid,
  settled: z.enum(['true', 'false', 'all']).default('false'),
  ...page,
});
export const conflictPath = z.object({ id, action: z.enum(CONFLICT_ACTIONS) });
export const conflictDetailQuery = z.strictObject({ values: z.enum(['true', 'false']).default('false') });
export const settleQuery = z.strictObject({
  version: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'a version: 64 hex digits, as the lists give them')
    .optional(),
});
export const settleStudyPath = z.object({
  study: z.string().refine(isUid, 'a (0020,000D) StudyInstanceUID'),
  action: z.enum(['keep', 'make-current', 'release', 'set-aside']),
});
export const disclosureQuery = z.strictObject({
  study: uid,
  recipient: z.string().max(300).optional(),
  ...page,
});
export const deletionQuery = z.strictObject({ study: uid, ...page });
export const changeQuery = z.strictObject({
  since: z
    .string()
    .regex(/^(\d{1,19}-\d{1,15}|latest)$/, 'a cursor as "next" gave it, or latest')
    .optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
export const timelineQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(1000),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
});
export const idPath = z.object({ id });

/** @throws Failure 'invalid' that names each parameter at fault */
export function parsed<T extends z.ZodType>(given: object, schema: T, what: string): z.output<T> {
  const result = schema.safeParse({ ...given });
  if (!result.success) throw invalid(what, sentences(result.error));
  return result.data;
}
