/**
 * Works the ledger of links off: claims what is due, links it, settles. Any number of processes may run one.
 * Started by fhir.ts; woken when a link becomes due by the change feed or a person, and by itself when the next link is due.
 */
import { randomUUID } from 'node:crypto';
import type { Listening } from '../archive/database/listener.ts';
import { asFailure, Failure } from '../failure.ts';
import { type Backoff, retryDelayMs } from './backoff.ts';
import { ensureEndpoint, hasOldAddress } from './link-endpoint.ts';
import {
  type Claim,
  claimDue,
  DUE_CHANNEL,
  type LinkOutcome,
  nextDueMs,
  renewLease,
  settle,
} from './link-ledger.ts';
import { type LinkParts, linkStudy } from './link-study.ts';

export interface WorkerParts extends LinkParts {
  backoff: Backoff;
  /** Links worked on at a time. */
  concurrency: number;
  /** Longer than one request may take. */
  leaseMs: number;
}

export interface Worker {
  start(): Promise<void>;
  /** No new claims; resolves when those under way are settled. */
  stop(): Promise<void>;
}

const LONGEST_PAUSE_MS = 5_000;
const AFTER_FAILURE_MS = 2_000;

export function createWorker(parts: WorkerParts): Worker {
  const { database, client, concurrency, leaseMs, log } = parts;
  const owner = randomUUID();
  let stopping = false;
  let woken = false;
  let resume: (() => void) | undefined;
  let running: Promise<void> = Promise.resolve();
  let listening: Listening | undefined;

  const wake = (): void => {
    woken = true;
    resume?.();
  };

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      if (stopping || woken) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        resume = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      resume = done;
    });

  async function run(): Promise<void> {
    let addressTold = false;
    while (!stopping) {
      woken = false;
      try {
        if (!addressTold) addressTold = await tellAddress();
        const claims = await claimDue(database, owner, concurrency, leaseMs);
        await Promise.all(claims.map(work));
        if (claims.length > 0) continue;
        await pause(Math.min((await nextDueMs(database)) ?? LONGEST_PAUSE_MS, LONGEST_PAUSE_MS));
      } catch (err) {
        log.warn({ err }, 'the links could not be worked off, trying again');
        woken = false;
        await pause(AFTER_FAILURE_MS);
      }
    }
  }

  /** After a change of PUBLIC_URL the linked studies are right as they are; only the Endpoint moves. */
  async function tellAddress(): Promise<boolean> {
    try {
      if (await hasOldAddress(database, client, parts.publicUrl()))
        await ensureEndpoint(database, client, parts.publicUrl());
      return true;
    } catch (err) {
      log.warn({ err }, 'the EHR could not be told our new address, trying again');
      return false;
    }
  }

  async function work(claim: Claim): Promise<void> {
    // Before each request, so that a slow server does not cost the lease, and a lost one costs the request.
    const leased = client.guarded(async () => {
      if (!(await renewLease(database, claim, leaseMs)))
        throw new Failure('unavailable', 'Another worker took this link over.');
    });
    let outcome: LinkOutcome;
    try {
      outcome = await linkStudy({ ...parts, client: leased }, claim);
    } catch (thrown) {
      outcome = outcomeOf(asFailure(thrown), claim.attempts);
      log.warn({ err: thrown, study: claim.studyUid, state: outcome.state }, 'a study could not be linked');
    }
    if (outcome.state === 'unlinked') {
      const { unlinkedFirstMs, unlinkedLongestMs } = parts.backoff;
      outcome.delayMs = retryDelayMs(unlinkedFirstMs, unlinkedLongestMs, claim.attempts);
    }
    try {
      await settle(database, claim, client.baseUrl, outcome);
    } catch (err) {
      // The lease runs out and the link is tried again; the search finds what was written.
      log.warn({ err, study: claim.studyUid }, 'the outcome of a link could not be written');
    }
  }

  function outcomeOf(failure: Failure, attempts: number): LinkOutcome {
    const reason =
      failure.kind === 'internal' ? 'This failed on our side; the log says why.' : failure.message;
    if (failure.kind === 'peer-refused' || failure.kind === 'not-found') return { state: 'parked', reason };
    const { firstMs, longestMs } = parts.backoff;
    return {
      state: 'waiting',
      reason,
      delayMs: retryDelayMs(firstMs, longestMs, attempts, failure.retryAfterS),
    };
  }

  return {
    async start() {
      listening = await database.listen(DUE_CHANNEL, wake);
      running = run();
    },
    async stop() {
      stopping = true;
      resume?.();
      await running;
      await listening?.stop();
    },
  };
}
