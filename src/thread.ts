/**
 * Starts a worker thread whose code comes from the compile cache, as the main thread's does (cli.ts): Node gives each
 * thread its own type stripper (12 MB) and compiles anew unless the thread itself asks for the cache.
 * Used by every room that has threads.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';

const BOOT = `
  const { NODE_COMPILE_CACHE: cache } = process.env;
  if (cache) require('node:module').enableCompileCache(cache);
  import(process.argv[2]);
`;

/** Our threads hold little for long; what V8 would take for young objects by default is several times their heap. */
const YOUNG_MB = 6;

/** @param module the thread's code; what it throws while it loads comes as the thread's 'error' */
export function startThread(module: URL, options: WorkerOptions = {}): Worker {
  return new Worker(BOOT, {
    ...options,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB, ...options.resourceLimits },
    eval: true,
    argv: [module.href],
  });
}
