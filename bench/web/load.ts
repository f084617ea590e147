/**
 * Starts the client process (load-client.ts) and gives it jobs, one at a time. Called by the measurements of
 * `bench dicomweb`; one process serves the whole run, so that it is as warm for the first server as for the last.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LoadJob, LoadOutcome, LoadReply, Request } from './load-job.ts';

export interface Load {
  /**
   * @throws Error when the server fails or an answer has another status than 200 or 204
   */
  run(
    url: string,
    requests: readonly Request[],
    job?: Partial<Omit<LoadJob, 'port' | 'requests'>>,
  ): Promise<LoadOutcome>;
  stop(): Promise<void>;
}

const program = fileURLToPath(new URL('./load-client.ts', import.meta.url));
/** One request over one connection, counted. */
const ONE: Omit<LoadJob, 'port' | 'requests'> = {
  connections: 1,
  warmUp: 0,
  seconds: 60,
  atMost: 1,
  keepFirst: false,
};

export function startLoad(signal: AbortSignal): Load {
  const child = fork(program, [], { serialization: 'advanced', signal, killSignal: 'SIGKILL' });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`The web client ended with ${code}`)));
  });
  // It is raced against each job; at the end nobody waits for it.
  ended.catch(() => undefined);
  return {
    async run(url, requests, job = {}) {
      const replied = once(child, 'message') as Promise<[LoadReply]>;
      child.send({ ...ONE, ...job, port: Number(new URL(url).port), requests } satisfies LoadJob);
      const [reply] = await Promise.race([replied, ended]);
      const [first] = requests;
      if ('error' in reply) throw new Error(`GET ${first?.path}: ${reply.error}`);
      const bad = Object.entries(reply.outcome.statuses).filter(
        ([status]) => !['200', '204'].includes(status),
      );
      if (bad.length > 0)
        throw new Error(`GET ${first?.path}: ${bad.map(([s, n]) => `${n} × ${s}`).join(', ')}`);
      return reply.outcome;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.disconnect();
      await exit;
    },
  };
}
