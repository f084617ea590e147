/**
 * The front door: starts the receiver threads on the DICOM ports, starts one anew when it fails, drains them at the
 * end, and tells them all who may call. Made by main.ts. Counts and refusals of the threads come together here.
 */
import net from 'node:net';
import type { Worker } from 'node:worker_threads';
import type Router from '@koa/router';
import type { Archive } from '../archive/archive.ts';
import type { Config } from '../config.ts';
import type { CloseReason } from '../dimse/inbound-association.ts';
import { Failure, type FailureKind } from '../failure.ts';
import type { Log } from '../log.ts';
import type { CommitmentLedger } from '../routing/commitment.ts';
import { hearReport } from '../routing/hear-report.ts';
import { startThread, threadEnd } from '../thread.ts';
import type { AdmissionPolicy } from './admission.ts';
import { createAeRoutes } from './ae-routes.ts';
import { createAeTable } from './ae-table.ts';
import { countOpen, createSlotMemory, freeSlotsOf } from './association-slots.ts';
import { callAe } from './call-ae.ts';
import { type Commitment, type CommitmentPatience, createCommitment } from './commitment.ts';
import { bootstrapAe } from './known-ae.ts';
import { createKnownList } from './known-list.ts';
import { listenFailure } from './listener.ts';
import { MainRelay } from './operation-relay.ts';
import { createPolicyNews } from './policy-news.ts';
import type { FromReceiver, ReceiverData, ToReceiver } from './receiver-thread.ts';
import type { TlsMaterial } from './tls.ts';
import { followTlsFiles, readTlsFiles } from './tls-files.ts';

export interface ScpParts {
  archive: Pick<
    Archive,
    'seat' | 'seated' | 'database' | 'refusals' | 'store' | 'nodeName' | 'journal' | 'replayed'
  >;
  /** Where reports on what we asked others to commit to are written. */
  commitments: Pick<CommitmentLedger, 'report'>;
  dicom: Config['dicom'];
  /** Where the last known AE titles are kept for a start without the database. */
  knownAesFile: string;
  logLevel: string;
  log: Log;
  /** Of storage commitment; shorter in tests. */
  patience?: CommitmentPatience;
}

export interface ScpCounters {
  associations: Record<CloseReason, number>;
  stored: number;
  refused: number;
  bytes: number;
}

export interface Scp {
  /** @throws Failure 'conflict' when a port is taken, 'invalid' with what is wrong with the TLS files */
  start(): Promise<void>;
  /** Of the plain port; undefined when it is closed. */
  readonly port: number | undefined;
  readonly tlsPort: number | undefined;
  readonly routes: Router;
  /** Storage Commitment as SCP. */
  readonly commitment: Pick<Commitment, 'table' | 'routes'>;
  readonly counters: ScpCounters;
  /** Associations open now. */
  open(): number;
  stop(limitMs: number): Promise<void>;
}

const RESTART_MS = 1000;
/** After the drain, for a receiver to close its journal and end. */
const ENDING_MS = 5000;

export function createScp(parts: ScpParts): Scp {
  const { archive, dicom, log } = parts;
  const { limits } = dicom;
  const slots = createSlotMemory(limits.maxAssociations);
  const threads = new Set<Worker>();
  const counters: ScpCounters = {
    associations: { released: 0, aborted: 0, lost: 0, rejected: 0 },
    stored: 0,
    refused: 0,
    bytes: 0,
  };
  let { port } = dicom;
  let tlsPort = dicom.tls?.port;
  let material: TlsMaterial | undefined;
  let tlsFiles: { stop(): void } | undefined;
  let stopping = false;

  const table = createAeTable(archive.database);
  const policies = createPolicyNews(threads);
  const known = createKnownList({
    database: archive.database,
    table,
    file: parts.knownAesFile,
    async onChange() {
      await policies.tell(policyNow());
      // Somebody may have named where a report that waits is to go.
      commitment.hurry();
    },
    log,
  });
  const commitment = createCommitment({
    archive,
    call: (to, report) => callAe(known.current() ?? [], material, to, report),
    log,
    ...(parts.patience && { patience: parts.patience }),
  });
  const relay = new MainRelay((operation, from, tell) =>
    operation.kind === 'action'
      ? commitment.ask(operation, from, tell)
      : hearReport(parts.commitments, operation, from.aeTitle, log),
  );
  const policyNow = (): AdmissionPolicy => {
    const list = known.current();
    const knownAes = [...dicom.knownAes.map(bootstrapAe), ...(list ?? [])];
    // Without a list the machine itself may call, where nobody else can; a list that cannot be read is not none.
    const open = dicom.mayBeOpen && list !== undefined && knownAes.length === 0;
    return {
      aeTitle: dicom.aeTitle,
      strangers: dicom.promiscuous || open ? 'accept' : 'refuse',
      knownAes,
      maxAssociations: limits.maxAssociations,
      maxAssociationsPerAe: limits.maxAssociationsPerAe,
      privateSopClasses: dicom.privateSopClasses,
    };
  };

  const startReceiver = (n: number, shared: boolean): Promise<Ports> => {
    const seat = archive.seat(`receiver-${n}`);
    const data: ReceiverData = {
      host: dicom.host,
      port,
      tls: material && tlsPort !== undefined ? { port: tlsPort, material } : undefined,
      shared,
      policy: policyNow(),
      limits: {
        maxPduLength: limits.maxPduLength,
        maxRequestLength: limits.maxRequestLength,
        artimMs: limits.artimS * 1000,
        idleMs: limits.idleS * 1000,
      },
      maxWaiting: Math.ceil(limits.maxWaiting / (shared ? dicom.receivers : 1)),
      intake: seat.intake,
      settlerPort: seat.settlerPort,
      slots,
      thread: n,
      logLevel: parts.logLevel,
    };
    const thread = startThread(new URL('./receiver-thread.ts', import.meta.url), {
      workerData: data,
      transferList: [seat.settlerPort],
    });
    threads.add(thread);
    const { promise, resolve, reject } = Promise.withResolvers<Ports>();
    thread.on('message', (message: FromReceiver) => {
      if (message.type === 'listening') resolve(message);
      else if (message.type === 'policy-taken') policies.taken(thread, message.number);
      else if (message.type === 'failed') {
        reject(new Failure(message.kind as FailureKind, message.message));
        void threadEnd(thread);
      } else if (message.type === 'refusal') {
        log.warn(message.refusal, `refused: ${message.refusal.what}`);
        archive.refusals.record(message.refusal);
      } else if (message.type === 'operation' || message.type === 'told' || message.type === 'not-told')
        relay.take(thread, message);
      else if (message.type === 'association-end') {
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
      policies.gone(thread);
      relay.gone(thread);
      freeSlotsOf(slots, n);
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
        startReceiver(n, shared).catch(failed);
      } catch (thrown) {
        failed(thrown);
        restart(n, shared);
      }
    }, RESTART_MS);
  };

  const startTls = async (config: NonNullable<Config['dicom']['tls']>): Promise<TlsMaterial> => {
    const first = await readTlsFiles(config);
    for (const warning of first.warnings) log.warn(warning);
    tlsFiles = followTlsFiles(config, first.material, log, (changed) => {
      material = changed;
      for (const thread of threads)
        thread.postMessage({ type: 'tls', material: changed } satisfies ToReceiver);
    });
    return first.material;
  };

  return {
    get port() {
      return port;
    },
    get tlsPort() {
      return tlsPort;
    },
    routes: createAeRoutes({
      table,
      refresh: known.refresh,
      open: (aeTitle) => countOpen(slots, aeTitle),
    }),
    commitment,
    counters,
    open: () => countOpen(slots),
    async start() {
      const { host, receivers } = dicom;
      if (dicom.tls) material = await startTls(dicom.tls);
      if (port !== undefined) await refuseTakenPort(host, port, 'DICOM_PORT');
      if (tlsPort !== undefined) await refuseTakenPort(host, tlsPort, 'DICOM_TLS_PORT');
      await known.start();
      const { strangers, knownAes } = policyNow();
      if (strangers === 'refuse' && knownAes.length === 0)
        log.warn('nobody may send yet: name the modalities (PUT /api/aes/NAME, or KNOWN_AES)');
      const shared = receivers > 1 && (await canSharePort(host));
      try {
        ({ port, tlsPort } = await startReceiver(0, shared));
        if (shared)
          await Promise.all(Array.from({ length: receivers - 1 }, (_, n) => startReceiver(n + 1, true)));
        archive.seated();
        await commitment.start();
      } catch (thrown) {
        stopping = true;
        throw thrown;
      }
    },
    async stop(limitMs) {
      stopping = true;
      tlsFiles?.stop();
      await known.stop();
      await commitment.stop();
      await Promise.all(
        [...threads].map(async (thread) => {
          thread.postMessage({ type: 'drain', limitMs } satisfies ToReceiver);
          if (!(await threadEnd(thread, limitMs + ENDING_MS)))
            log.warn('a receiver was told to end and did not end by itself');
        }),
      );
    },
  };
}

interface Ports {
  port: number | undefined;
  tlsPort: number | undefined;
}

/** With SO_REUSEPORT a second program of the same user would share our port unseen: ask once without it. */
async function refuseTakenPort(host: string, port: number, setting: string): Promise<void> {
  const cause = await tryListen({ host, port });
  if (cause?.code === 'EADDRINUSE') throw listenFailure(host, port, setting, cause);
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
