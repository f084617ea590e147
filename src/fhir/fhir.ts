/**
 * The way to the EHR: follows the change feed, keeps the ledger of links, and works it off.
 * Built by main.ts when FHIR_BASE_URL is set. The store path does not know that it exists.
 */
import { createFollower } from '../archive/change-feed.ts';
import type { Database } from '../archive/database/database.ts';
import type { Log } from '../log.ts';
import { BACKOFF, type Backoff } from './backoff.ts';
import { createFhirClient } from './fhir-client.ts';
import { countLinks, markDue, moveToServer, type StateCount } from './link-ledger.ts';
import { createWorker } from './worker.ts';

export interface FhirParts {
  database: Database;
  /** FHIR_BASE_URL, no trailing slash. */
  baseUrl: string;
  token: string | undefined;
  patientSystem: string | undefined;
  /** PUBLIC_URL, or where we listen; asked when it is needed, since a port may be known late. */
  publicUrl: () => string;
  log: Log;
  backoff?: Backoff;
  /** Default the process' own. */
  zone?: string;
  concurrency?: number;
  leaseMs?: number;
  requestTimeoutMs?: number;
  /** How long stop() lets requests under way finish. */
  drainMs?: number;
}

export interface Fhir {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Links by state, for /metrics. */
  counts(): Promise<StateCount[]>;
}

export function createFhir(parts: FhirParts): Fhir {
  const { database, log } = parts;
  const abort = new AbortController();
  const client = createFhirClient({
    baseUrl: parts.baseUrl,
    token: parts.token,
    timeoutMs: parts.requestTimeoutMs ?? 20_000,
    signal: abort.signal,
  });
  const worker = createWorker({
    database,
    client,
    publicUrl: parts.publicUrl,
    patientSystem: parts.patientSystem,
    zone: parts.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    log,
    backoff: parts.backoff ?? BACKOFF,
    concurrency: parts.concurrency ?? 2,
    leaseMs: parts.leaseMs ?? 60_000,
  });
  const follower = createFollower({
    database,
    name: 'fhir',
    kinds: ['study-stable', 'study-released', 'study-deleted'],
    log,
    handle: (tx, changes) =>
      markDue(
        tx,
        changes.map((change) => change.studyUid),
      ),
  });
  return {
    async start() {
      const moved = await moveToServer(database, client.baseUrl);
      if (moved > 0) log.info({ studies: moved }, 'FHIR_BASE_URL changed: linking every study there');
      await follower.start();
      await worker.start();
    },
    async stop() {
      const timer = setTimeout(() => abort.abort(), parts.drainMs ?? 5_000);
      try {
        await Promise.all([follower.stop(), worker.stop()]);
      } finally {
        clearTimeout(timer);
      }
    },
    counts: () => countLinks(database),
  };
}
