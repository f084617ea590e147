/**
 * The routing room: follows the change feed, decides by rules and writes the debts that forwarding pays.
 * Opened by main.ts after the archive; its routes are mounted by http.ts, its ledger is given to forwarding.
 */
import type Router from '@koa/router';
import { createFollower } from '../archive/change-feed.ts';
import type { Database } from '../archive/database/database.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { Log } from '../log.ts';
import type { BackoffSettings } from './backoff.ts';
import { type CommitmentLedger, createCommitmentLedger } from './commitment.ts';
import { createDeliveryList, type DeliveryList } from './delivery-list.ts';
import { createDeliveryOrders, type DeliveryOrders } from './delivery-orders.ts';
import type { OwnListener } from './destination.ts';
import { type Breaker, breakerOf, currentMember } from './health.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createQuietSeries } from './quiet-series.ts';
import { ROUTED_KINDS, routeChanges } from './route-study.ts';
import { createRoutingRoutes } from './routes.ts';
import { createRoutingTable, type RoutingTable } from './routing-table.ts';
import { createSealedSecrets, type SecretsKeys } from './sealed-secrets.ts';
import { createTryOut, type TryOut } from './try-rule.ts';

export interface RoutingParts {
  database: Database;
  /** For rules that ask for attributes the index does not keep. */
  reader: ObjectReader;
  nodeName: string;
  stableAgeS: number;
  /** Where we listen ourselves, which is no destination. */
  ourselves?: () => OwnListener;
  /** Below it lie the folders that are destinations. */
  folderRoot?: string | undefined;
  /** Rules may de-identify when there is one. */
  deidentifyKey?: string | undefined;
  /** Credentials of destinations stand in the clear in the database without. */
  secretsKeys?: SecretsKeys | undefined;
  log: Log;
  leaseS?: number;
  backoff?: BackoffSettings;
}

export interface Routing {
  readonly table: RoutingTable;
  readonly ledger: Ledger;
  readonly deliveries: DeliveryList;
  readonly orders: DeliveryOrders;
  readonly commitments: CommitmentLedger;
  readonly tryOut: TryOut;
  readonly routes: Router;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Numbers for /metrics, asked when they are scraped. */
  numbers(): Promise<RoutingNumbers>;
}

export interface RoutingNumbers {
  /** Of those that are sent to themselves. */
  destinations: { destination: string; up: boolean; breaker: Breaker; faults: number }[];
  groups: { group: string; member: string; current: boolean }[];
}

export function createRouting(given: RoutingParts): Routing {
  const { database, log } = given;
  const secrets = createSealedSecrets(given.secretsKeys ?? { seal: undefined });
  const parts = { ...given, secrets };
  const table = createRoutingTable(parts);
  const ledger = createLedger(parts);
  const deliveries = createDeliveryList(parts);
  const orders = createDeliveryOrders({ database, table, deliveries });
  const evaluateParts = { ...parts, table };
  const follower = createFollower({
    database,
    name: 'routing',
    kinds: ROUTED_KINDS,
    log,
    handle: (tx, changes) => routeChanges(evaluateParts, tx, changes),
  });
  const quietSeries = createQuietSeries(evaluateParts);

  return {
    table,
    ledger,
    deliveries,
    orders,
    commitments: createCommitmentLedger(parts),
    tryOut: createTryOut(evaluateParts),
    routes: createRoutingRoutes({ table }),
    async start() {
      await secrets.sealAll(database, log);
      await follower.start();
      quietSeries.start();
    },
    async stop() {
      await Promise.all([follower.stop(), quietSeries.stop()]);
    },
    async numbers() {
      const destinations = await table.destinations();
      const byName = new Map(destinations.map((one) => [one.name, one]));
      const now = new Date();
      return {
        destinations: destinations
          .filter(({ settings }) => settings.kind !== 'group')
          .map((record) => ({
            destination: record.name,
            up: record.downUntil === null || record.faults === 0,
            breaker: breakerOf(record, now),
            faults: record.faults,
          })),
        groups: destinations.flatMap(({ name, settings }) => {
          if (settings.kind !== 'group') return [];
          const current = currentMember(settings.members, byName, now);
          return settings.members.map((member) => ({ group: name, member, current: member === current }));
        }),
      };
    },
  };
}
