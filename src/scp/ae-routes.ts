/**
 * The administration of known AEs over HTTP: /api/aes. A change is answered once it holds on every receiver of this
 * node; the others hear of it in the same breath. Mounted by http.ts; what it throws is a Failure.
 */
import Router from '@koa/router';
import { Failure } from '../failure.ts';
import { actorOf, bodyOf, json, nameOf } from '../routing/named-json.ts';
import type { AeTable, KnownAeRecord } from './ae-table.ts';

export interface AeRoutesParts {
  table: AeTable;
  /** Makes the change hold here. */
  refresh(): Promise<void>;
  /** Associations this node has open with an AE title. */
  open(aeTitle: string): number;
}

export function createAeRoutes({ table, refresh, open }: AeRoutesParts): Router {
  const router = new Router({ prefix: '/api' });
  const show = ({ name, settings, changedAt, changedBy }: KnownAeRecord): object => {
    const { aeTitle, addresses, ...rules } = settings;
    return { name, aeTitle, addresses, ...rules, changedAt, changedBy, open: open(aeTitle) };
  };
  const found = async (name: string): Promise<KnownAeRecord> => {
    const record = await table.find(name);
    if (!record) throw new Failure('not-found', `There is no known AE ${name}`);
    return record;
  };

  router.get('/aes', async (ctx) => {
    ctx.body = (await table.list()).map(show);
  });

  router.get('/aes/:name', async (ctx) => {
    ctx.body = show(await found(nameOf(ctx.params.name)));
  });

  router.put('/aes/:name', json, async (ctx) => {
    const name = nameOf(ctx.params.name);
    const { created } = await table.put(name, bodyOf(ctx), actorOf(ctx));
    await refresh();
    ctx.status = created ? 201 : 200;
    ctx.body = show(await found(name));
  });

  router.delete('/aes/:name', async (ctx) => {
    await table.remove(nameOf(ctx.params.name));
    await refresh();
    ctx.status = 204;
  });

  return router;
}
