/**
 * The front door: starts the receiver threads on one DICOM port, starts one anew when it fails, drains them at the end.
 * Made by main.ts. Counts and refusals of the threads come together here.
 */
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import type { Archive } from '../archive/archive.ts';
import type { CloseReason } from '../dimse/inbound-association.ts';
import { Failure, type FailureKind } from '../failure.ts';
import type { Log } from '../log.ts';
import type { AdmissionPolicy } from './admission.ts';
import { countOpen } from './listener.ts';
import type { FromReceiver, ReceiverData, ToReceiver } from './receiver-thread.ts';

export interface ScpParts {
  archive: Pick<Archive, 'seat' | 'refusals'>;
  host: string;
  port: number;
  receivers: number;
  policy: AdmissionPolicy;
  logLevel: string;
  log: Log;
}

export interface ScpCounters {
  associations: Record<CloseReason, number>;
  stored: number;
  refused: number;
  bytes: number;
}

export interface Scp {
  /** @throws Failure 'conflict' when the port is taken */
  start(): Promise<void>;
  readonly port: number;
  readonly counters: ScpCounters;
  /** Associations open now. */
  open(): number;
  stop(limitMs: number): Promise<void>;
}

const RESTART_MS = 1000;

export function createScp(parts: ScpParts): Scp {
  const { archive, log } = parts;
  const openCounts = new SharedArrayBuffer(4 * parts.receivers);
  const threads = new Set<Worker>();
  const counters: ScpCounters = {
    associations: { released: 0, aborted: 0, lost: 0, rejected: 0 },
    stored: 0,
    refused: 0,
    bytes: 0,
  };
  let port = parts.port;
  let stopping = false;

  const startThread = (n: number, shared: boolean): Promise<number> => {
    const seat = archive.seat(`receiver-${n}`);
    const data: ReceiverData = {
      host: parts.host,
      port,
      shared,
      policy: parts.policy,
      intake: seat.intake,
      settlerPort: seat.settlerPort,
      openCounts,
      slot: n,
      logLevel: parts.logLevel,
    };
    const thread = new Worker(new URL('./receiver-thread.ts', import.meta.url), {
      workerData: data,
      transferList: [seat.settlerPort],
    });
    threads.add(thread);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    thread.on('message', (message: FromReceiver) => {
      if (message.type === 'listening') resolve(message.port);
      else if (message.type === 'failed') {
        reject(new Failure(message.kind as FailureKind, message.message));
        void thread.terminate();
      } else if (message.type === 'refusal') {
        log.warn(message.refusal, `refused: ${message.refusal.what}`);
        archive.refusals.record(message.refusal);
      } else if (message.type === 'association-end') {
        counters.associations[message.how]++;
        counters.stored += message.stored;
        counters.refused += message.refused;
        counters.bytes += message.bytes;
      }
    });
    thread.on('error', (err) => {
      log.error({ err }, 'a receiver failed and is started anew; its associations are lost');
      reject(err);
    });
    thread.on('exit', () => {
      threads.delete(thread);
      Atomics.store(new Int32Array(openCounts), n, 0);
      restart(n, shared);
    });
    return promise;
  };
  const restart = (n: number, shared: boolean): void => {
    if (stopping) return;
    setTimeout(() => {
      if (stopping) return;
      const failed = (err: unknown): void => log.error({ err }, 'a receiver could not be started');
      try {
        // A thread that was made and failed has ended, and its end restarts it.
        startThread(n, shared).catch(failed);
      } catch (thrown) {
        failed(thrown);
        restart(n, shared);
      }
    }, RESTART_MS);
  };

  return {
    get port() {
      return port;
    },
    counters,
    open: () => countOpen(new Int32Array(openCounts)),
    async start() {
      await refuseTakenPort(parts.host, port);
      const shared = parts.receivers > 1 && (await canSharePort(parts.host));
      try {
        port = await startThread(0, shared);
        if (shared)
          await Promise.all(Array.from({ length: parts.receivers - 1 }, (_, n) => startThread(n + 1, true)));
      } catch (thrown) {
        stopping = true;
        throw thrown;
      }
    },
    async stop(limitMs) {
      stopping = true;
      await Promise.all(
        [...threads].map(
          (thread) =>
            new Promise<void>((resolve) => {
              thread.once('exit', () => resolve());
              thread.postMessage({ type: 'drain', limitMs } satisfies ToReceiver);
            }),
        ),
      );
    },
  };
}

/** With SO_REUSEPORT a second program of the same user would share our port unseen: ask once without it. */
async function refuseTakenPort(host: string, port: number): Promise<void> {
  const cause = await tryListen({ host, port });
  if (cause?.code === 'EADDRINUSE')
    throw new Failure(
      'conflict',
      `DICOM port ${port} on ${host} is in use by another program: set DICOM_PORT`,
      { cause },
    );
}

/** Linux, FreeBSD and some others; elsewhere one receiver listens alone. */
async function canSharePort(host: string): Promise<boolean> {
  return (await tryListen({ host, port: 0, reusePort: true })) === undefined;
}

function tryListen(options: net.ListenOptions): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', (cause) => resolve(cause));
    server.listen(options, () => server.close(() => resolve(undefined)));
  });
}
