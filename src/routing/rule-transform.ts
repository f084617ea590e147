/**
 * The `transform` of a rule: its schema, its form (a stable name of what is changed, '' for the bytes as stored), and
 * where a form is kept, so that a debt is paid as it was owed when the rule is another by then.
 * rule.ts parses with it, evaluate.ts owes by it, forwarding reads it back.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Queryable } from '../archive/database/database.ts';
import { NAMED } from '../dicom/encodings.ts';
import { Failure } from '../failure.ts';
import { RETAIN_OPTIONS } from '../transform/de-identify.ts';
import {
  type CompiledTransform,
  compileTransform,
  deidentifies,
  type Transform,
} from '../transform/transform.ts';
import { maskSchema } from './mask-schema.ts';

const path = z
  .string()
  .min(1)
  .max(500)
  .describe('A keyword of PS3.6, or a path of keywords through sequences');
const value = z.union([z.string().max(10_000), z.number()]);
const identity = z.strictObject({
  id: z.string().min(1).max(64),
  issuer: z.string().max(64).optional(),
  name: z.string().max(200).optional(),
  birthDate: z.string().max(8).optional(),
  sex: z.string().max(16).optional(),
});
const allowedTexts = z.array(z.string().min(1).max(200)).max(1000).optional();

const actionSchema = z.union([
  z
    .strictObject({ set: z.record(path, z.union([value, z.array(value).min(1).max(100)])) })
    .describe('Replaces or adds values; in the items of sequences that are there'),
  z
    .strictObject({
      remove: z
        .array(z.union([path, z.literal('private')]))
        .min(1)
        .max(1000),
    })
    .describe('Removes attributes; "private" is every private element'),
  z
    .strictObject({ prefix: z.record(path, z.string().min(1).max(64)) })
    .describe('Goes before values that are there'),
  z
    .strictObject({
      map: z.strictObject({
        attribute: path,
        table: z.record(z.string().max(1000), value),
        otherwise: z.enum(['keep', 'empty']).default('keep').describe('Of values that are not in the table'),
      }),
    })
    .describe('Replaces values by a table'),
  z
    .strictObject({
      patient: z.strictObject({
        table: z.record(z.string().max(64), identity).optional().describe('By Patient ID'),
        prefix: z.string().min(1).max(32).optional(),
        issuer: z.string().min(1).max(64).optional(),
        otherwise: z
          .enum(['send', 'refuse'])
          .default('send')
          .describe('Patients whom the table does not name'),
      }),
    })
    .describe(
      'Gives the patient another identity; the issuer of an ID that is replaced by the table goes with it',
    ),
  z
    .strictObject({
      deidentify: z.strictObject({
        retain: z.array(z.enum(RETAIN_OPTIONS)).max(RETAIN_OPTIONS.length).default([]),
        descriptors: z
          .array(z.string().min(1).max(200))
          .max(1000)
          .optional()
          .describe('Clean Descriptors Option: texts that may stay, all others go'),
        privateElements: z
          .array(
            z.strictObject({
              creator: z.string().min(1).max(64),
              elements: z.array(z.string().max(9)).min(1).max(256),
            }),
          )
          .max(1000)
          .optional()
          .describe(
            'With safe-private: more that may stay, as "0019,xx0C" in the block of its private creator',
          ),
        content: z
          .strictObject({ texts: allowedTexts, concepts: allowedTexts, codingSchemes: allowedTexts })
          .optional()
          .describe(
            'Clean Structured Content Option; texts, concepts whose text ("DCM:121071") and private coding schemes whose codes may stay',
          ),
        graphics: z
          .strictObject({ texts: allowedTexts })
          .optional()
          .describe('Clean Graphics Option: annotations keep their shapes, and of their texts those listed'),
        burnedIn: z
          .enum(['hold', 'send'])
          .default('hold')
          .describe('Objects that may show text which names the patient, where no mask is drawn on them'),
      }),
    })
    .describe('The Basic Application Level Confidentiality Profile with its options (PS3.15 Annex E)'),
  z
    .strictObject({ mask: maskSchema })
    .describe('Blanks regions of the pixels; of a list, the first mask whose "when" holds'),
  z
    .strictObject({
      transcode: z.strictObject({
        to: z
          .string()
          .max(64)
          .describe(`A transfer syntax by UID or keyword of PS3.6: ${Object.keys(NAMED).join(', ')}`),
        quality: z.number().int().min(1).max(100).optional().describe('Of JPEGBaseline8Bit'),
        ratio: z.number().min(1).max(1000).optional().describe('Of JPEG2000: so many times smaller'),
        maxError: z
          .number()
          .int()
          .min(1)
          .max(255)
          .optional()
          .describe('Of JPEGLSNearLossless: no sample differs by more'),
        otherwise: z
          .enum(['send', 'refuse'])
          .default('send')
          .describe(
            'Images that cannot be sent so, or that the peer does not take so: as without this, or not at all',
          ),
      }),
    })
    .describe(
      'Compresses or decompresses the pixels; with loss only where the rule says how much, as a new instance. Stands last',
    ),
]);

export const transformSchema = z
  .array(actionSchema)
  .min(1)
  .max(100)
  .describe('Done in this order to what is sent; the archived object stays as it is');

/** @throws Failure 'invalid' when the transform needs a key that is not set */
export function refuseWithoutKey(transform: Transform | undefined, key: string | undefined): void {
  if (key === undefined && transform && deidentifies(transform))
    throw new Failure(
      'invalid',
      'The rule has a fault: transform: de-identification needs the setting DEIDENTIFY_KEY, from which its pseudonyms are made',
    );
}

/** @returns the faults, each a sentence; none when it can be done */
export function transformFaults(transform: Transform | undefined): string[] {
  if (!transform) return [];
  const compiled = compileTransform(transform);
  return 'faults' in compiled ? compiled.faults : [];
}

/** '' without a transform; the same for the same actions in the same order, however the JSON was written. */
export function formOf(transform: Transform | undefined): string {
  if (!transform) return '';
  return createHash('sha256').update(canonical(transform)).digest('hex').slice(0, 32);
}

/** In the transaction that owes something in this form. @returns the form */
export async function keepForm(tx: Queryable, transform: Transform | undefined): Promise<string> {
  const form = formOf(transform);
  if (form !== '')
    await tx.query('insert into delivery_form (form, transform) values ($1, $2) on conflict do nothing', [
      form,
      JSON.stringify(transform),
    ]);
  return form;
}

/** @returns undefined for the bytes as stored. @throws Failure 'invalid' when this version cannot do it any more */
export async function compiledForm(
  db: Queryable,
  form: string,
  key: string | undefined,
): Promise<CompiledTransform | undefined> {
  if (form === '') return undefined;
  const { rows } = await db.query<{ transform: unknown }>(
    'select transform from delivery_form where form = $1',
    [form],
  );
  const parsed = transformSchema.safeParse(rows[0]?.transform);
  const compiled = parsed.success ? compileTransform(parsed.data, key, form) : undefined;
  // Never as stored instead: that may be what the rule keeps from leaving.
  if (!compiled || 'faults' in compiled)
    throw new Failure(
      'invalid',
      'What the rule changes on the way out cannot be done by this version; put the rule anew',
    );
  return compiled;
}

/** JSON with the names of every object in order: the database does not keep the order they were written in. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, one]) => `${JSON.stringify(name)}:${canonical(one)}`)
    .join(',')}}`;
}
