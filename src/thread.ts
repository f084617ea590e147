/**
 * Starts and ends worker threads, for every room that has them. Their code comes from the compile cache, as the main
 * thread's does (cli.ts): Node gives each thread its own type stripper (12 MB) and compiles anew unless the thread
 * itself asks for the cache.
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

/** What a thread that was told to end is given: it closes what it has open, and Node takes it down by itself. */
const END_LIMIT_MS = 5000;

/**
 * Resolves when a thread that was told to end has ended by itself. One that is terminated is stopped amid whatever it
 * does, native code that takes its leave included, and can take the process with it: that is kept for a thread that
 * has not ended in time.
 * @returns false when it had to be terminated
 */
export async function threadEnd(thread: Worker, limitMs = END_LIMIT_MS): Promise<boolean> {
  if (hasEnded(thread)) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onExit = (): void => resolve(true);
  thread.once('exit', onExit);
  const timer = setTimeout(() => resolve(false), limitMs);
  const byItself = await promise;
  clearTimeout(timer);
  thread.off('exit', onExit);
  if (!byItself) await thread.terminate();
  return byItself;
}

/** Node gives a thread that is gone the number -1. */
function hasEnded({ threadId }: Worker): boolean {
  return threadId === -1;
}
