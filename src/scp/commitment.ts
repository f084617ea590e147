/**
 * Storage Commitment as SCP (PS3.4 Annex J): takes an AE's request down durably, waits until what it names is in its
 * place, and reports on the same association while that is open, otherwise on one to the AE's known address, again and
 * again within bounds. Made by scp.ts, which brings the operations of the receiver threads and knows the AEs.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type Router from '@koa/router';
import type { Archive } from '../archive/archive.ts';
import { STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE } from '../dicom/sop-class.ts';
import type { Operation, OperationOutcome } from '../dimse/operation.ts';
import { status, statusClass, statusWord } from '../dimse/status.ts';
import {
  type CommitmentReport,
  type InstanceReference,
  readCommitmentRequest,
  requestCommitment,
} from '../dimse/storage-commitment.ts';
import { asFailure, Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { type BackoffSettings, backoffMs } from '../routing/backoff.ts';
import { createCommitmentRoutes } from './commitment-routes.ts';
import {
  type Asker,
  type ClaimedRequest,
  COMMITMENT_CHANNEL,
  type CommitmentTable,
  createCommitmentTable,
} from './commitment-table.ts';
import { vouchFor } from './vouch.ts';

/** Tells an AE; what it answers, whatever it says. @throws Failure when it cannot be told */
export type Tell = (report: CommitmentReport) => Promise<OperationOutcome>;

export interface CommitmentParts {
  archive: Pick<Archive, 'database' | 'store' | 'nodeName' | 'journal' | 'replayed'>;
  /** A new association to the AE. @throws Failure 'not-found' while its address is not known */
  call(to: Asker, report: CommitmentReport): Promise<OperationOutcome>;
  log: Log;
  patience?: CommitmentPatience;
}

export interface CommitmentPatience {
  /** For an instance that nobody has heard of: it may just have been received. */
  missingMs: number;
  /** For one that is on its way to the store. */
  placingMs: number;
  report: BackoffSettings;
}

export interface Commitment {
  readonly table: CommitmentTable;
  readonly routes: Router;
  /** Answers an N-ACTION; never rejects. @param reply the way back on its own association */
  ask(operation: Operation, from: Asker, reply: Tell): Promise<OperationOutcome>;
  /** An address may have become known: reports that wait are tried now. */
  hurry(): void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const PATIENCE: CommitmentPatience = {
  missingMs: 10_000,
  placingMs: 600_000,
  report: { firstMs: 30_000, capMs: 3_600_000, horizonMs: 7 * 24 * 3_600_000 },
};
const AT_ONCE = 4;
const POLL_MS = 5000;
const LOOK_AGAIN_MS = 300;
const LOOK_SELDOM_MS = 3000;
const SWEEP_MS = 3_600_000;
/** Ways back that are remembered; each is a number and a function. */
const MAX_REPLIES = 10_000;

export function createCommitment(parts: CommitmentParts): Commitment {
  const { archive, log, patience = PATIENCE } = parts;
  const table = createCommitmentTable(archive.database, archive.nodeName);
  /** By request: the association it came on. */
  const replies = new Map<number, Tell>();
  const busy = new Map<number, Promise<void>>();
  let listening: { stop(): Promise<void> } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let sweeping: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let asked = false;
  const stopping = new AbortController();
  let startedAt = performance.now();
  /** What an earlier run left in the journals is in the index. */
  let replayed = false;

  function look(): void {
    asked = true;
    if (stopping.signal.aborted) return;
    looking ??= lookWhileAsked().finally(() => {
      looking = undefined;
      if (asked) look();
    });
  }

  async function lookWhileAsked(): Promise<void> {
    while (asked && !stopping.signal.aborted) {
      asked = false;
      clearTimeout(timer);
      let nextMs: number = POLL_MS;
      try {
        while (busy.size < AT_ONCE && !stopping.signal.aborted) {
          const claimed = await table.claim([...busy.keys()]);
          if (!claimed) break;
          const work = workOn(claimed).finally(() => {
            busy.delete(claimed.id);
            look();
          });
          busy.set(claimed.id, work);
        }
        nextMs = Math.min(POLL_MS, Math.max(20, (await table.nextDueMs()) ?? POLL_MS));
      } catch (err) {
        log.warn({ err }, 'requests for storage commitment could not be looked for, trying again');
      }
      // One that is due and under way, or all hands busy: its end looks again.
      timer = setTimeout(look, busy.size > 0 ? Math.max(nextMs, LOOK_AGAIN_MS) : nextMs);
    }
  }

  /** Never rejects. */
  async function workOn(claimed: ClaimedRequest): Promise<void> {
    const { id, aeTitle, transactionUid } = claimed;
    try {
      const failed = claimed.state === 'deciding' ? await decide(claimed) : claimed.failed;
      if (failed) await report({ ...claimed, failed });
    } catch (err) {
      // Postgres or the store is away; the lease runs out, or this node takes it up again.
      log.warn({ err, id, aeTitle, transactionUid }, 'a storage commitment is looked at again');
      await sleep(LOOK_SELDOM_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  /** @returns undefined while something is waited for */
  async function decide(claimed: ClaimedRequest): Promise<ClaimedRequest['failed'] | undefined> {
    const { id, instances, ageMs, aeTitle, transactionUid } = claimed;
    // After an outage nothing is given up for the time that nobody could have placed it in.
    const waitedMs = Math.min(ageMs, performance.now() - startedAt);
    const notOver = waitedMs < patience.placingMs;
    const verdict = await vouchFor(
      { database: archive.database, store: archive.store },
      instances,
      { missing: notOver && (waitedMs < patience.missingMs || receivedBefore(ageMs)), placing: notOver },
      async () => {
        if (!(await table.extend(claimed)))
          throw new Failure('conflict', 'The lease on a storage commitment is lost');
      },
    );
    for (const { sopInstanceUid } of verdict.lost)
      log.error({ sopUid: sopInstanceUid }, 'the bytes of an instance are not where the index says they are');
    if (verdict.waiting > 0) {
      await table.wait(claimed, waitedMs < patience.missingMs ? LOOK_AGAIN_MS : LOOK_SELDOM_MS);
      return undefined;
    }
    await table.decide(claimed, verdict.failed);
    const committed = instances.length - verdict.failed.length;
    log.info(
      { id, aeTitle, transactionUid, committed, failed: verdict.failed.length },
      'committed to storage',
    );
    return verdict.failed;
  }

  /** Something that this node received before the request is not in the index yet. */
  const receivedBefore = (ageMs: number): boolean =>
    !replayed || archive.journal().oldestUnindexedS * 1000 > ageMs;

  async function report(claimed: ClaimedRequest): Promise<void> {
    const { id, aeTitle, transactionUid } = claimed;
    const about = { id, aeTitle, transactionUid };
    const failed = new Set(claimed.failed.map(keyOf));
    const committed = claimed.instances.filter((one) => !failed.has(keyOf(one)));
    const said = { transactionUid, committed, failed: claimed.failed };
    try {
      const outcome = (await onSameAssociation(id, said)) ?? (await parts.call(claimed, said));
      const answer = statusClass(outcome.status);
      if (answer === 'success' || answer === 'warning') {
        await table.reported(claimed);
        log.info(about, 'a storage commitment was reported');
        return;
      }
      const why = `${aeTitle} answered the report with ${statusWord(outcome.status)}`;
      const passes = answer === 'transient' || outcome.status === status.processingFailure;
      await later(claimed, why, passes);
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'unavailable' || failure.kind === 'internal') throw failure;
      const waitMs = await later(claimed, failure.message, true);
      if (waitMs !== undefined) await table.rest(claimed, waitMs);
    }
  }

  async function onSameAssociation(
    id: number,
    said: CommitmentReport,
  ): Promise<OperationOutcome | undefined> {
    const reply = replies.get(id);
    if (!reply) return undefined;
    try {
      const outcome = await reply(said);
      replies.delete(id);
      return outcome;
    } catch (thrown) {
      // A peer in the middle of a message can be told here later.
      if (asFailure(thrown).kind !== 'unavailable') replies.delete(id);
      log.debug({ err: thrown, id }, 'the association of a storage commitment is over; a new one is opened');
      return undefined;
    }
  }

  /** @returns for how long it waits now; undefined when it is given up */
  async function later(claimed: ClaimedRequest, why: string, passes: boolean): Promise<number | undefined> {
    const { id, aeTitle, transactionUid, tries, ageMs } = claimed;
    const goesOn = passes && ageMs < patience.report.horizonMs;
    const waitMs = goesOn ? backoffMs(patience.report, tries + 1, Math.random()) : undefined;
    await table.notReported(claimed, why, waitMs);
    const words = goesOn
      ? 'a storage commitment could not be reported, trying again'
      : 'a storage commitment was not reported and is given up';
    log.warn({ id, aeTitle, transactionUid, reason: why }, words);
    return waitMs;
  }

  return {
    table,
    routes: createCommitmentRoutes(table),
    async ask(operation, from, reply) {
      const refusal = refuse(operation);
      if (refusal) return refusal;
      try {
        const request = readCommitmentRequest(operation);
        const id = await table.add({ ...request, instances: distinct(request.instances) }, from);
        if (replies.size >= MAX_REPLIES) replies.clear();
        replies.set(id, reply);
        // Behind the answer: a report must not overtake it.
        setTimeout(look, 0);
        return { status: status.success };
      } catch (thrown) {
        return refusalOf(thrown, log);
      }
    },
    hurry() {
      if (sweeping === undefined) return;
      table.hurry().catch((err: unknown) => log.warn({ err }, 'reports that wait are tried in their time'));
    },
    async start() {
      startedAt = performance.now();
      archive.replayed().then(
        () => {
          replayed = true;
        },
        (err: unknown) => log.warn({ err }, 'what the last run left is not in the index yet'),
      );
      sweeping = setInterval(() => {
        table.sweep().catch((err: unknown) => log.warn({ err }, 'old storage commitments stay for now'));
      }, SWEEP_MS);
      try {
        listening = await archive.database.listen(COMMITMENT_CHANNEL, look);
      } catch (err) {
        log.warn({ err }, 'requests for storage commitment are looked for without notifications');
      }
      look();
    },
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      clearInterval(sweeping);
      await listening?.stop();
      await looking;
      await Promise.all(busy.values());
    },
  };
}

/** What the command alone makes impossible (PS3.7 10.1.4.1.10). */
function refuse({ sopClassUid, sopInstanceUid, typeId }: Operation): OperationOutcome | undefined {
  if (sopClassUid !== STORAGE_COMMITMENT)
    return { status: status.noSuchSopClass, errorComment: '(0000,0003) RequestedSOPClassUID is another' };
  if (sopInstanceUid !== STORAGE_COMMITMENT_INSTANCE)
    return {
      status: status.noSuchSopInstance,
      errorComment: '(0000,1001) RequestedSOPInstanceUID is another',
    };
  if (typeId !== requestCommitment)
    return { status: status.noSuchActionType, errorComment: '(0000,1008) ActionTypeID is not 1' };
  return undefined;
}

function refusalOf(thrown: unknown, log: Log): OperationOutcome {
  const failure = asFailure(thrown);
  const errorComment = failure.message;
  if (failure.kind === 'invalid') return { status: status.invalidArgumentValue, errorComment };
  if (failure.kind === 'no-space') return { status: status.resourceLimitation, errorComment };
  if (failure.kind === 'conflict') return { status: status.processingFailure, errorComment };
  log.error({ err: failure }, 'a request for storage commitment could not be taken');
  if (failure.kind === 'unavailable')
    return { status: status.resourceLimitation, errorComment: 'The index is away: ask again later' };
  return { status: status.processingFailure, errorComment: 'It could not be taken; the log has the cause' };
}

/** An instance named twice is reported once; of two classes for it both are, since one of them is wrong. */
function distinct(instances: readonly InstanceReference[]): InstanceReference[] {
  return [...new Map(instances.map((one) => [keyOf(one), one])).values()];
}

const keyOf = ({ sopClassUid, sopInstanceUid }: InstanceReference): string =>
  `${sopClassUid} ${sopInstanceUid}`;
