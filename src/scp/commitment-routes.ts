/** What others asked us to commit to, over HTTP: /api/commitments. Made by commitment.ts, mounted by http.ts. */
import Router from '@koa/router';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { invalid, sentences } from '../routing/faults.ts';
import type { CommitmentTable } from './commitment-table.ts';

const listQuery = z.strictObject({
  state: z.enum(['deciding', 'reporting', 'reported', 'given-up']).optional(),
  ae: z.string().max(16).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  offset: z.coerce.number().int().min(0).max(10_000_000).default(0),
});
/** What is answered, for the description of the API; a test parses answers with it. */
export const commitmentSchema = z.strictObject({
  id: z.int(),
  transaction: z.string().describe('(0008,1195) TransactionUID'),
  aeTitle: z.string().describe('Who asked'),
  state: z
    .enum(['deciding', 'reporting', 'reported', 'given-up'])
    .describe('given-up: it could not be told; retry does it again'),
  askedAt: z.iso.datetime(),
  instances: z.int().describe('Asked for'),
  committed: z.int().nullable().describe('Of those; null while it is not decided'),
  tries: z.int().describe('Attempts at the report'),
  nextTry: z.iso.datetime().nullable().describe('Null when nothing is to be done any more'),
  lastError: z.string().nullable(),
  reportedAt: z.iso.datetime().nullable(),
});
const idSchema = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

export function createCommitmentRoutes(table: CommitmentTable): Router {
  const router = new Router({ prefix: '/api' });

  router.get('/commitments', async (ctx) => {
    const query = listQuery.safeParse(ctx.query);
    if (!query.success) throw invalid('The query', sentences(query.error));
    ctx.body = await table.list(query.data);
  });

  router.post('/commitments/:id/retry', async (ctx) => {
    const id = idSchema.safeParse(ctx.params.id);
    if (!id.success)
      throw new Failure('invalid', `"${ctx.params.id}" is no id: expected a positive whole number`);
    ctx.body = await table.retry(id.data);
  });

  return router;
}
