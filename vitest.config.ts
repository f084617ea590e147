/**
 * How the tests run: real parts in real processes, so forks, few of them, and patient limits.
 * `npm test` (test/run.ts) and `npx vitest run test/ROOM` both read it.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    // Several suites start servers of their own; more workers than this only make each other late.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    retry: 0,
    globalSetup: ['test/support/global-setup.ts', 'test/support/shared-peers.ts'],
  },
});
