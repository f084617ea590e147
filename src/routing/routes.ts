/**
 * The administration of destinations and rules over HTTP: /api/destinations, /api/rules.
 * Mounted by http.ts under /api; what it throws is a Failure, answered there as {"error", "message"}.
 */
import Router from '@koa/router';
import { z } from 'zod';
import { Failure } from '../failure.ts';
import { shownSettings } from './destination.ts';
import { invalid, sentences } from './faults.ts';
import { breakerOf, currentMember } from './health.ts';
import { actorOf, bodyOf, json, nameOf } from './named-json.ts';
import type { DestinationRecord, RoutingTable, RuleRecord } from './routing-table.ts';
import { ruleJsonSchema } from './rule.ts';
import { ruleChanges } from './rule-changes.ts';
import { standing } from './time-window.ts';

/** Of POST /api/rules/NAME/restore. */
export const restoreSchema = z
  .strictObject({ version: z.number().int().min(1).describe('As GET .../versions counts them') })
  .meta({ title: 'Which version' });

export interface RoutingRoutesParts {
  table: RoutingTable;
}

export function createRoutingRoutes({ table }: RoutingRoutesParts): Router {
  const router = new Router({ prefix: '/api' });

  router.get('/destinations', async (ctx) => {
    const all = await table.destinations();
    ctx.body = all.map((one) => showDestination(one, all));
  });

  router.get('/destinations/:name', async (ctx) => {
    ctx.body = await shown(table, nameOf(ctx.params.name));
  });

  router.put('/destinations/:name', json, async (ctx) => {
    const name = nameOf(ctx.params.name);
    const existed = (await table.destination(name)) !== undefined;
    await table.putDestination(name, bodyOf(ctx), actorOf(ctx));
    ctx.status = existed ? 200 : 201;
    ctx.body = await shown(table, name);
  });

  router.delete('/destinations/:name', async (ctx) => {
    const name = nameOf(ctx.params.name);
    const { force } = ctx.query;
    const cancelled = await table.deleteDestination(
      name,
      actorOf(ctx),
      force !== undefined && force !== 'false' && force !== '0',
    );
    ctx.body = {
      deleted: name,
      cancelled,
      message:
        cancelled === 0
          ? `The destination ${name} is deleted; nothing was owed to it.`
          : `The destination ${name} is deleted; ${cancelled} ${cancelled === 1 ? 'delivery to it was' : 'deliveries to it were'} cancelled.`,
    };
  });

  // Before /rules/:name, so that no rule can be called "schema" by accident of order.
  router.get('/rules/schema', (ctx) => {
    ctx.type = 'application/schema+json';
    ctx.body = JSON.stringify(ruleJsonSchema());
  });

  router.get('/rules', async (ctx) => {
    ctx.body = (await table.rules()).map(showRule);
  });

  router.get('/rules/:name', async (ctx) => {
    ctx.body = showRule(await ruleOf(table, nameOf(ctx.params.name)));
  });

  router.get('/rules/:name/versions', async (ctx) => {
    const name = nameOf(ctx.params.name);
    const versions = await table.versions(name);
    if (versions.length === 0) throw new Failure('not-found', `There never was a rule ${name}`);
    ctx.body = versions.map((one, place) => {
      const before = versions[place + 1];
      // The list is bounded: of its oldest the one before may not be in it.
      const known = before !== undefined || one.version === 1;
      return { ...one, ...(known && { changes: ruleChanges(before?.body, one.body) }) };
    });
  });

  router.post('/rules/:name/restore', json, async (ctx) => {
    const name = nameOf(ctx.params.name);
    const parsed = restoreSchema.safeParse(bodyOf(ctx));
    if (!parsed.success) throw invalid('The body', sentences(parsed.error));
    await table.restoreRule(name, parsed.data.version, actorOf(ctx));
    ctx.body = showRule(await ruleOf(table, name));
  });

  router.put('/rules/:name', json, async (ctx) => {
    const name = nameOf(ctx.params.name);
    if (name === 'schema')
      throw new Failure('invalid', '"schema" is the address of the schema and cannot name a rule');
    const { version, changed } = await table.putRule(name, bodyOf(ctx), actorOf(ctx));
    ctx.status = changed && version === 1 ? 201 : 200;
    ctx.body = showRule(await ruleOf(table, name));
  });

  router.delete('/rules/:name', async (ctx) => {
    await table.deleteRule(nameOf(ctx.params.name), actorOf(ctx));
    ctx.status = 204;
  });

  return router;
}

async function shown(table: RoutingTable, name: string): Promise<object> {
  const record = await destinationOf(table, name);
  return showDestination(record, record.settings.kind === 'group' ? await table.destinations() : []);
}

function showDestination(record: DestinationRecord, all: readonly DestinationRecord[]): object {
  const { name, settings, changedAt, changedBy, faults, downUntil, lastFault } = record;
  const common = { name, ...shownSettings(settings), changedAt, changedBy };
  const now = new Date();
  if (settings.kind === 'group') {
    const current = currentMember(settings.members, new Map(all.map((one) => [one.name, one])), now);
    return { ...common, health: { state: current === undefined ? 'down' : 'up', current: current ?? null } };
  }
  const down = downUntil !== null && faults > 0;
  return {
    ...common,
    health: {
      state: down ? 'down' : 'up',
      breaker: breakerOf(record, now),
      faults,
      nextAttempt: downUntil,
      lastFault,
    },
    ...(settings.windows && { window: standing(settings.windows, now) }),
  };
}

function showRule({ name, version, body, changedAt, changedBy }: RuleRecord): object {
  return { name, ...body, version, changedAt, changedBy };
}

async function destinationOf(table: RoutingTable, name: string): Promise<DestinationRecord> {
  const found = await table.destination(name);
  if (!found) throw new Failure('not-found', `There is no destination ${name}`);
  return found;
}

async function ruleOf(table: RoutingTable, name: string): Promise<RuleRecord> {
  const found = await table.rule(name);
  if (!found) throw new Failure('not-found', `There is no rule ${name}`);
  return found;
}
