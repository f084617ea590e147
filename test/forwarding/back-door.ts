/**
 * Routing and forwarding as main.ts opens them, over a test's own database and file store, with short waits.
 */
import { randomUUID } from 'node:crypto';
import type { Database } from '../../src/archive/database/database.ts';
import { openDatabase } from '../../src/archive/database/database.ts';
import { createSpool, type Spool } from '../../src/archive/intake/spool.ts';
import { createFileStore, type FileStore } from '../../src/archive/object-store/file-store.ts';
import { createObjectReader } from '../../src/archive/read-object.ts';
import { createForwarding, type Forwarding, type ForwardingParts } from '../../src/forwarding/forwarding.ts';
import { createLog } from '../../src/log.ts';
import type { BackoffSettings } from '../../src/routing/backoff.ts';
import type { DeliveryView } from '../../src/routing/delivery-list.ts';
import { createRouting, type Routing } from '../../src/routing/routing.ts';
import type { SecretsKeys } from '../../src/routing/sealed-secrets.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { tempFolder } from '../support/temp-folder.ts';

export interface BackDoorOptions {
  backoff?: BackoffSettings;
  leaseS?: number;
  timeouts?: ForwardingParts['timeouts'];
  redisUrl?: string;
  concurrency?: number;
  /** Where destinations of kind folder lie. */
  folderRoot?: string;
  deidentifyKey?: string;
  secretsKeys?: SecretsKeys;
  /** Where compressed frames wait; default one of its own. */
  spool?: Spool;
  /** Forwarding is left for the test to start. */
  idle?: boolean;
}

export interface BackDoor {
  readonly db: TestDatabase;
  readonly database: Database;
  readonly store: FileStore;
  readonly folder: string;
  readonly routing: Routing;
  readonly forwarding: Forwarding;
  /** Another process on the same database and store, as far as the ledger can tell. */
  another(nodeName?: string): {
    routing: Routing;
    forwarding: Forwarding;
    database: Database;
    close(): Promise<void>;
  };
  /** PUT, as an administrator does. */
  destination(name: string, settings: object): Promise<void>;
  rule(name: string, body: object): Promise<void>;
  deliveries(): Promise<DeliveryView[]>;
  /** Waits until every change is routed, and every delivery in one of these states. */
  settled(...states: DeliveryView['state'][]): Promise<DeliveryView[]>;
  /** Waits until a delivery has told of a fault. */
  failing(): Promise<DeliveryView>;
  instances(): Promise<{ sop_uid: string; state: string; status: number | null; comment: string | null }[]>;
  close(): Promise<void>;
}

const QUICK: BackoffSettings = { firstMs: 300, capMs: 1000, horizonMs: 3_600_000 };

export async function openBackDoor(options: BackDoorOptions = {}): Promise<BackDoor> {
  const { timeouts = { connectMs: 2000, answerMs: 5000 }, backoff = QUICK, leaseS } = options;
  const [db, folder] = [await testDatabase(), await tempFolder('back-door')];
  const store = createFileStore({ folder: folder.path });
  await store.start();
  const log = createLog(process.env.TEST_LOG_LEVEL ?? 'silent', 'test');
  const redisPrefix = `test-${randomUUID()}`;
  const opened: { routing: Routing; forwarding: Forwarding; database: Database }[] = [];

  const open = (database: Database, nodeName: string) => {
    const reader = createObjectReader({ store, database, nodeName, dataFolder: folder.path });
    const { folderRoot, deidentifyKey, secretsKeys } = options;
    const common = { database, reader, log, folderRoot, deidentifyKey, secretsKeys };
    const routing = createRouting({
      ...common,
      nodeName,
      stableAgeS: 0,
      backoff,
      ...(leaseS !== undefined && { leaseS }),
    });
    const forwarding = createForwarding({
      ...common,
      routing,
      aeTitle: 'ISOCENTER',
      spool: options.spool ?? createSpool({ folder: folder.path, limitBytes: 2 ** 30, reserveBytes: 0 }),
      redisUrl: options.redisUrl,
      redisPrefix,
      pollMs: 500,
      timeouts,
      ...(options.concurrency !== undefined && { concurrency: options.concurrency }),
    });
    const room = { routing, forwarding, database };
    opened.push(room);
    return room;
  };

  const { routing, forwarding } = open(db.database, 'one');
  await routing.start();
  if (!options.idle) await forwarding.start();
  const deliveries = () => routing.deliveries.list({ limit: 1000, offset: 0 });
  const allRouted = async (): Promise<boolean> => {
    const { rowCount } = await db.database.query(
      `select 1 from change left join follower on name = 'routing'
       where (change.xid, change.id) > (coalesce(follower.xid, '0'), coalesce(follower.id, 0)) limit 1`,
    );
    return rowCount === 0;
  };

  return {
    db,
    database: db.database,
    store,
    folder: folder.path,
    routing,
    forwarding,
    another(nodeName = `node-${randomUUID()}`) {
      const room = open(openDatabase(db.connection, { log, max: 5 }), nodeName);
      return {
        ...room,
        async close() {
          await room.forwarding.stop(2000);
          await room.database.close();
        },
      };
    },
    async destination(name, settings) {
      await routing.table.putDestination(name, settings, 'test');
    },
    async rule(name, body) {
      await routing.table.putRule(name, body, 'test');
    },
    deliveries,
    async settled(...states) {
      const until = Date.now() + 40_000;
      for (;;) {
        const routed = await allRouted();
        const now = await deliveries();
        if (routed && now.length > 0 && now.every((one) => states.includes(one.state))) return now;
        if (Date.now() > until)
          throw new Error(`not ${states.join(' or ')} within 40 s: ${JSON.stringify(now)}`);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    },
    async failing() {
      for (const until = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
        const found = (await deliveries()).find((one) => one.lastError !== null);
        if (found) return found;
        if (Date.now() > until) throw new Error('no delivery failed within 20 s');
      }
    },
    async instances() {
      const { rows } = await db.database.query<{
        sop_uid: string;
        state: string;
        status: number | null;
        comment: string | null;
      }>('select sop_uid, state, status, comment from delivery_instance order by id');
      return rows;
    },
    async close() {
      for (const room of opened.reverse()) {
        await room.forwarding.stop(2000);
        await room.routing.stop();
      }
      await db.drop();
      await store.stop();
      await folder.remove();
    },
  };
}
