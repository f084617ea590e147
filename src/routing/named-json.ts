/**
 * What every PUT /api/.../NAME of the administration is made of: a name in the path, a JSON body, AE titles in it, somebody
 * who asks. Used by routes.ts and destination.ts here, and by scp/ae-routes.ts and scp/known-ae.ts.
 */
import { bodyParser } from '@koa/bodyparser';
import type { Context } from 'koa';
import { z } from 'zod';
import { parseAeTitle } from '../dicom/ae-title.ts';
import { asFailure, Failure } from '../failure.ts';
import { nameSchema } from './rule.ts';

/** An AE title (PS3.5 6.2, VR AE) as a value of such a body. */
export const aeTitle = z.string().transform((text, context) => {
  try {
    return parseAeTitle(text);
  } catch (thrown) {
    context.addIssue({ code: 'custom', message: asFailure(thrown).message });
    return z.NEVER;
  }
});

/** A middleware that reads the body. */
export const json = bodyParser({ enableTypes: ['json'], jsonLimit: '1mb', encoding: 'utf-8' });

/** @throws Failure 'invalid' */
export function nameOf(given: string | undefined): string {
  const parsed = nameSchema.safeParse(given);
  if (!parsed.success)
    throw new Failure('invalid', `The name is "${given}": ${parsed.error.issues[0]?.message}`);
  return parsed.data;
}

/** @throws Failure 'invalid' when it is empty or of another media type */
export function bodyOf(ctx: Context): unknown {
  const { body } = ctx.request as { body?: unknown };
  // For any other media type, curl's own among them, the parser leaves an empty object.
  if (body === undefined || !ctx.request.is('json', '+json'))
    throw new Failure(
      'invalid',
      'The body is empty or not JSON: send it with Content-Type: application/json',
    );
  return body;
}

export function actorOf(ctx: Context): string {
  const { actor } = ctx.state as { actor?: { name?: string } };
  return actor?.name ?? '';
}
