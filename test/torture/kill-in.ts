/** kill -9 after so many milliseconds, for the suites that kill at random moments. */
import { Worker } from 'node:worker_threads';

/** From a thread of its own: the test's makes objects, and would come late. */
export function killIn(pid: number, ms: number): Promise<void> {
  const script = `
    const { workerData: { pid, ms } } = require('node:worker_threads');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    try { process.kill(pid, 'SIGKILL') } catch (thrown) { if (thrown.code !== 'ESRCH') throw thrown }`;
  const worker = new Worker(script, { eval: true, workerData: { pid, ms } });
  return new Promise((resolve, reject) => {
    worker.once('exit', () => resolve());
    worker.once('error', reject);
  });
}
