/**
 * The ledger over HTTP: /api/deliveries, what people order of it (retry, resend, cancel), and the test of a destination.
 * Mounted by http.ts; what it throws is a Failure, answered there as {"error", "message"}.
 */
import Router from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import { isUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import type { DeliveryList } from '../routing/delivery-list.ts';
import type { DeliveryOrders } from '../routing/delivery-orders.ts';
import type { Destination, PeerSettings } from '../routing/destination.ts';
import { invalid, sentences } from '../routing/faults.ts';
import { actorOf, bodyOf, json, nameOf } from '../routing/named-json.ts';
import type { RoutingTable } from '../routing/routing-table.ts';
import { nameSchema } from '../routing/rule.ts';
import type { DestinationTest } from './test-destination.ts';

export interface ForwardingRoutesParts {
  deliveries: DeliveryList;
  orders: DeliveryOrders;
  table: RoutingTable;
  test(name: string, settings: PeerSettings): Promise<DestinationTest>;
}

const paging = {
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  offset: z.coerce.number().int().min(0).max(10_000_000).default(0),
};
const onlyTrue = z
  .literal('true')
  .transform(() => true)
  .optional();
const listQuery = z.strictObject({
  study: z.string().refine(isUid, 'expected a UID').optional(),
  destination: z.string().max(100).optional(),
  state: z.enum(['owed', 'sending', 'committing', 'delivered', 'parked', 'cancelled']).optional(),
  waits: onlyTrue,
  toLook: onlyTrue,
  ...paging,
});
const instancesQuery = z.strictObject(paging);
/** The body of a resend, also for the description of the API. */
export const resendOrder = z.strictObject({
  destinations: z
    .array(nameSchema)
    .min(1)
    .max(50)
    .optional()
    .describe('Names; without them, wherever it was owed before'),
});
/** The body of letting go what a person has looked at, also for the description of the API. */
export const letGoOrder = z.strictObject({
  why: z.string().trim().min(1).max(500).describe('In your words, for the record: not who the patient is'),
});
const idSchema = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

export function createForwardingRoutes({ deliveries, orders, table, test }: ForwardingRoutesParts): Router {
  const router = new Router({ prefix: '/api' });

  async function known(name: string): Promise<Destination> {
    const destination = await table.destination(name);
    if (!destination) throw new Failure('not-found', `There is no destination ${name}`);
    return destination;
  }

  router.get('/deliveries', async (ctx) => {
    ctx.body = await deliveries.list(queryOf(ctx, listQuery));
  });

  router.get('/deliveries/:id', async (ctx) => {
    const { limit, offset } = queryOf(ctx, instancesQuery);
    const delivery = await deliveries.find(idOf(ctx.params.id));
    ctx.body = { ...delivery, instances: await deliveries.instances(delivery.id, limit, offset) };
  });

  router.post('/deliveries/:id/retry', async (ctx) => {
    ctx.body = await orders.retry(idOf(ctx.params.id));
  });

  router.post('/deliveries/:id/release', async (ctx) => {
    ctx.body = await orders.release(idOf(ctx.params.id), actorOf(ctx));
  });

  router.post('/deliveries/:id/instances/release', json, async (ctx) => {
    ctx.body = await orders.letGo({ ...letGoOf(ctx), delivery: idOf(ctx.params.id) });
  });

  router.post('/deliveries/:id/instances/:instance/release', json, async (ctx) => {
    const { instance: sopUid = '' } = ctx.params;
    if (!isUid(sopUid)) throw new Failure('invalid', 'The path needs a (0008,0018) SOPInstanceUID.');
    ctx.body = await orders.letGo({ ...letGoOf(ctx), delivery: idOf(ctx.params.id), sopUid });
  });

  router.post('/deliveries/:id/cancel', async (ctx) => {
    ctx.body = await orders.cancel(idOf(ctx.params.id), actorOf(ctx));
  });

  router.post('/destinations/:name/retry', async (ctx) => {
    const destination = nameOf(ctx.params.name);
    ctx.body = { destination, retried: await orders.retryAll(destination) };
  });

  router.post('/destinations/:name/cancel', async (ctx) => {
    const destination = nameOf(ctx.params.name);
    ctx.body = { destination, cancelled: await orders.cancelAll(destination, actorOf(ctx)) };
  });

  router.post('/studies/:study/resend', json, async (ctx) => {
    const { study = '' } = ctx.params;
    if (!isUid(study)) throw new Failure('invalid', 'The path needs a (0020,000D) StudyInstanceUID.');
    const parsed = resendOrder.safeParse(ctx.request.length ? bodyOf(ctx) : {});
    if (!parsed.success) throw invalid('The order', sentences(parsed.error));
    const { destinations } = parsed.data;
    const names = destinations && [...new Set(destinations)];
    ctx.body = { study, resent: await orders.resend(study, names, actorOf(ctx)) };
  });

  router.post('/destinations/:name/test', async (ctx) => {
    const { name, settings } = await known(ctx.params.name ?? '');
    if (settings.kind !== 'group') {
      ctx.body = await test(name, settings);
      return;
    }
    const members = await Promise.all(
      settings.members.map(async (member) => {
        const { settings: own } = await known(member);
        if (own.kind === 'group') throw new Failure('internal', `${member} of the group ${name} is a group`);
        return { member, ...(await test(member, own)) };
      }),
    );
    const up = members.filter(({ ok }) => ok).length;
    ctx.body = { ok: up > 0, message: `${up} of ${members.length} members answered`, members };
  });

  return router;
}

function idOf(given: string | undefined): number {
  const parsed = idSchema.safeParse(given);
  if (!parsed.success)
    throw new Failure('invalid', `"${given}" is no delivery id: expected a positive whole number`);
  return parsed.data;
}

function letGoOf(ctx: Context): { by: string; why: string } {
  const parsed = letGoOrder.safeParse(bodyOf(ctx));
  if (!parsed.success) throw invalid('The order', sentences(parsed.error));
  return { by: actorOf(ctx), why: parsed.data.why };
}

function queryOf<T extends z.ZodType>(ctx: Context, schema: T): z.output<T> {
  const parsed = schema.safeParse(ctx.query);
  if (!parsed.success) throw invalid('The query', sentences(parsed.error));
  return parsed.data;
}
