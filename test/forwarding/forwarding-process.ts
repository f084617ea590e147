/**
 * Forwarding alone in a process of its own, to be killed: `node forwarding-process.ts '{"connection", "folder", ...}'`.
 * Says "ready" on standard output and works until it is ended.
 */
import type { PoolConfig } from 'pg';
import { openDatabase } from '../../src/archive/database/database.ts';
import { createSpool } from '../../src/archive/intake/spool.ts';
import { createFileStore } from '../../src/archive/object-store/file-store.ts';
import { createObjectReader } from '../../src/archive/read-object.ts';
import { createForwarding } from '../../src/forwarding/forwarding.ts';
import { createLog } from '../../src/log.ts';
import { createRouting } from '../../src/routing/routing.ts';

export interface ProcessOptions {
  connection: PoolConfig;
  folder: string;
  nodeName: string;
  redisUrl?: string;
  redisPrefix?: string;
}

const options = JSON.parse(process.argv[2] ?? '{}') as ProcessOptions;
const { nodeName, folder, redisUrl, redisPrefix } = options;
const log = createLog('silent', 'test');
const database = openDatabase(options.connection, { log, max: 5 });
const store = createFileStore({ folder });
const reader = createObjectReader({ store, database, nodeName, dataFolder: folder });
const routing = createRouting({ database, reader, nodeName, stableAgeS: 0, leaseS: 3, log });
const forwarding = createForwarding({
  database,
  reader,
  routing,
  aeTitle: 'ISOCENTER',
  spool: createSpool({ folder, limitBytes: 2 ** 30, reserveBytes: 0 }),
  redisUrl,
  ...(redisPrefix !== undefined && { redisPrefix }),
  pollMs: 500,
  log,
});
await forwarding.start();
process.stdout.write('ready\n');
