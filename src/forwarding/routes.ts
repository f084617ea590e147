/**
 * The ledger over HTTP: /api/deliveries, with retry and cancel, and the test of a destination.
 * Mounted by http.ts; what it throws is a Failure, answered there as {"error", "message"}.
 */
import Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import type { DeliveryList } from '../routing/delivery-list.ts';
import type { DestinationSettings } from '../routing/destination.ts';
import { invalid, sentences } from '../routing/faults.ts';
import type { RoutingTable } from '../routing/routing-table.ts';
import type { DestinationTest } from './test-destination.ts';

export interface ForwardingRoutesParts {
  deliveries: DeliveryList;
  table: RoutingTable;
  test(settings: DestinationSettings): Promise<DestinationTest>;
}

const paging = {
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  offset: z.coerce.number().int().min(0).max(10_000_000).default(0),
};
const listQuery = z.strictObject({
  study: z.string().refine(isUid, 'expected a UID').optional(),
  destination: z.string().max(100).optional(),
  state: z.enum(['owed', 'sending', 'delivered', 'parked', 'cancelled']).optional(),
  ...paging,
});
const instancesQuery = z.strictObject(paging);
const idSchema = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

export function createForwardingRoutes({ deliveries, table, test }: ForwardingRoutesParts): Router {
  const router = new Router({ prefix: '/api' });

  router.get('/deliveries', async (ctx) => {
    ctx.body = await deliveries.list(queryOf(ctx, listQuery));
  });

  router.get('/deliveries/:id', async (ctx) => {
    const { limit, offset } = queryOf(ctx, instancesQuery);
    const delivery = await deliveries.find(idOf(ctx.params.id));
    ctx.body = { ...delivery, instances: await deliveries.instances(delivery.id, limit, offset) };
  });

  router.post('/deliveries/:id/retry', async (ctx) => {
    ctx.body = await deliveries.retry(idOf(ctx.params.id));
  });

  router.post('/deliveries/:id/cancel', async (ctx) => {
    const { actor } = ctx.state as { actor?: { name?: string } };
    ctx.body = await deliveries.cancel(idOf(ctx.params.id), actor?.name ?? '');
  });

  router.post('/destinations/:name/test', async (ctx) => {
    const destination = await table.destination(ctx.params.name ?? '');
    if (!destination) throw new Failure('not-found', `There is no destination ${ctx.params.name}`);
    ctx.body = await test(destination.settings);
  });

  return router;
}

function idOf(given: string | undefined): number {
  const parsed = idSchema.safeParse(given);
  if (!parsed.success)
    throw new Failure('invalid', `"${given}" is no delivery id: expected a positive whole number`);
  return parsed.data;
}

function queryOf<T extends z.ZodType>(ctx: Context, schema: T): z.output<T> {
  const parsed = schema.safeParse(ctx.query);
  if (!parsed.success) throw invalid('The query', sentences(parsed.error));
  return parsed.data;
}
