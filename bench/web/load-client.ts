/**
 * The web client of `bench dicomweb`, a process of its own: so many connections kept alive, one request at a time on each,
 * bodies counted and thrown away. It costs the same whichever server answers. Started by load.ts.
 */
import { connect, type Socket } from 'node:net';
import { createAnswerReader } from './answer-reader.ts';
import type { LoadJob, LoadOutcome, LoadReply, Request } from './load-job.ts';

/** A server that is silent for so long fails the measurement. */
const SILENCE_MS = 60_000;
const READ_BYTES = 256 * 1024;

process.on('message', (job: LoadJob) => {
  perform(job).then(
    (outcome) => reply({ outcome }),
    (thrown: unknown) => reply({ error: thrown instanceof Error ? thrown.message : String(thrown) }),
  );
});
process.on('disconnect', () => process.exit(0));

function reply(message: LoadReply): void {
  process.send?.(message);
}

async function perform(job: LoadJob): Promise<LoadOutcome> {
  if (job.warmUp > 0) await run({ ...job, atMost: job.warmUp, keepFirst: false });
  return run(job);
}

async function run(job: LoadJob): Promise<LoadOutcome> {
  const ms: number[] = [];
  const statuses: Record<number, number> = {};
  const all = { ms, statuses, bytes: 0, first: undefined as LoadOutcome['first'] };
  const written = job.requests.map((request) => writeRequest(request, job.port));
  let sent = 0;
  const began = performance.now();
  const until = began + job.seconds * 1000;
  const next = (): Buffer | undefined =>
    sent < job.atMost && performance.now() < until ? written[sent++ % written.length] : undefined;
  const lanes = Math.min(job.connections, job.atMost);
  await Promise.all(Array.from({ length: lanes }, () => connection(job, next, all)));
  return { ...all, wallSeconds: (performance.now() - began) / 1000 };
}

interface Tally {
  ms: number[];
  statuses: Record<number, number>;
  bytes: number;
  first: LoadOutcome['first'];
}

/** One connection, opened again when the server ends it, until there is no next request. */
function connection(job: LoadJob, next: () => Buffer | undefined, all: Tally): Promise<void> {
  return new Promise((resolve, reject) => {
    let socket: Socket;
    let asked = 0;
    let waiting = false;
    const fail = (thrown: Error): void => {
      socket.destroy();
      reject(thrown);
    };
    const ask = (): void => {
      const request = next();
      if (!request) {
        socket.destroy();
        resolve();
        return;
      }
      reader.keepBodies(job.keepFirst && all.first === undefined);
      waiting = true;
      asked = performance.now();
      socket.write(request);
    };
    const reader = createAnswerReader((answer) => {
      all.ms.push(performance.now() - asked);
      all.statuses[answer.status] = (all.statuses[answer.status] ?? 0) + 1;
      all.bytes += answer.bytes;
      if (answer.body) all.first ??= { head: answer.head, body: answer.body };
      waiting = false;
      if (answer.last) open();
      else ask();
    });
    const guarded = (step: () => void): void => {
      try {
        step();
      } catch (thrown) {
        fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    };
    const open = (): void => {
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      const opened = connect({
        host: '127.0.0.1',
        port: job.port,
        noDelay: true,
        onread: {
          buffer,
          callback(length) {
            guarded(() => reader.feed(buffer.subarray(0, length)));
            return true;
          },
        },
      });
      socket = opened;
      opened.setTimeout(SILENCE_MS, () =>
        fail(new Error(`The server was silent for ${SILENCE_MS / 1000} s`)),
      );
      opened.once('connect', ask);
      opened.once('error', fail);
      opened.once('close', () => {
        // One that was replaced says nothing any more.
        if (opened !== socket || !waiting) return;
        guarded(() => reader.closed());
        if (waiting) reject(new Error('The server closed the connection in the middle of an answer'));
      });
    };
    open();
  });
}

function writeRequest({ path, headers }: Request, port: number): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${lines.join('')}\r\n`, 'latin1');
}
