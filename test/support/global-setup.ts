/**
 * Starts the one Postgres of a test run, in a temporary folder, and tells the workers where it is.
 * Named as globalSetup by vitest.config.ts; test/support/database.ts makes each test's own database in it.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/archive/database/embedded-postgres.ts';
import { createLog } from '../../src/log.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    postgres: { host: string; port: number; database: string; user: string; ssl: false };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-test-postgres-'));
  const log = createLog('warn', 'test-postgres');
  const postgres = await startEmbeddedPostgres({ folder, log });
  project.provide('postgres', postgres.connection);
  // A test run that is killed takes its Postgres and its folder with it: this shell sees its input end.
  const script = 'read -r line; if [ "$line" != stopped ]; then kill -INT "$1"; sleep 2; rm -rf "$2"; fi';
  const guard = spawn('sh', ['-c', script, 'sh', String(postgres.pid()), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  return async () => {
    await postgres.stop();
    guard.stdin.end('stopped\n');
    await rm(folder, { recursive: true, force: true });
  };
}
