/**
 * Works one delivery: claims it by lease, sends what it owes by DIMSE or STOW, keeps the lease while it does, and
 * writes how it ended. A lost lease stops it at once; a closing room ends it after the instance under way.
 * Called by forwarding.ts at the clock's word; bytes go from the archive's reader to the peer.
 */
import type { Database, Queryable } from '../archive/database/database.ts';
import { createPieceBuffers } from '../archive/object-store/piece-buffers.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import { asFailure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { AttemptEnd, DeliveryState } from '../routing/attempt-end.ts';
import type { ClaimedDelivery } from '../routing/claim.ts';
import type { CommitmentLedger } from '../routing/commitment.ts';
import type { DimseSettings } from '../routing/dimse-destination.ts';
import type { Ledger } from '../routing/ledger.ts';
import { compiledForm } from '../routing/rule-transform.ts';
import { refuseSealed } from '../routing/sealed-secrets.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import { anyOf } from './any-of.ts';
import type { Attempt, SendTimeouts } from './attempt.ts';
import { askCommitment } from './commitment-scu.ts';
import { sendToFolder } from './folder-scu.ts';
import type { TokenSource } from './oauth-token.ts';
import { createOutcomeLog, type OutcomeLog } from './outcome-log.ts';
import { createPace } from './pace.ts';
import type { RecodingParts } from './recoded-pixels.ts';
import { sendByDimse } from './storage-scu.ts';
import { sendByStow } from './stow-scu.ts';

export interface SenderParts {
  database: Database;
  ledger: Ledger;
  commitments: CommitmentLedger;
  reader: ObjectReader;
  /** Our AE title where a destination names no other. */
  aeTitle: string;
  timeouts: SendTimeouts;
  tokens: TokenSource;
  /** Below it lie the folders that are destinations. */
  folderRoot: string | undefined;
  /** Pseudonyms are made from it. */
  deidentifyKey?: string | undefined;
  recoding: RecodingParts;
  log: Log;
}

export interface AttemptCount {
  destination: string;
  state: DeliveryState;
  count: number;
}

export interface Sender {
  /** Works the most urgent due delivery of this one's destination, if it has room. */
  work(delivery: number): Promise<void>;
  /** Deliveries under way. */
  readonly active: number;
  /** Since the start, by destination and the state that was left. */
  attempts(): AttemptCount[];
  /** Ends what is under way after its current instance, at the limit at once; leases are given back. */
  stop(limitMs: number): Promise<void>;
}

/** Destinations are 1000 at most at a time, and states few. */
const MOST_COUNTS = 10_000;
/** After everything was told to end at once. */
const LAST_PATIENCE_MS = 2000;
/** For objects on their way: kept for the next ones, and how much may be on its way in whole pieces. */
const KEPT_BUFFER_BYTES = 8 * 1024 * 1024;
const PLENTY_BYTES = 32 * 1024 * 1024;

export function createSender(parts: SenderParts): Sender {
  const { ledger, log } = parts;
  const buffers = createPieceBuffers(KEPT_BUFFER_BYTES, PLENTY_BYTES);
  const closing = new AbortController();
  const ending = new AbortController();
  const underWay = new Set<Promise<void>>();
  const ended = new Map<string, AttemptCount>();

  function count(destination: string, state: DeliveryState): void {
    const key = `${destination} ${state}`;
    const known = ended.get(key);
    if (known) known.count++;
    // Names that came and went: a counter may begin anew.
    else ended.set(key, { destination, state, count: 1 });
    if (ended.size > MOST_COUNTS) ended.clear();
  }

  async function deliver(claimed: ClaimedDelivery): Promise<void> {
    const { lease } = claimed;
    const about = {
      delivery: lease.delivery,
      destination: claimed.destination.name,
      ...(claimed.group !== undefined && { group: claimed.group }),
      studyUid: claimed.studyUid,
    };
    const lost = new AbortController();
    const heartbeat = keepLease(ledger, claimed, lost, log);
    const outcomes = createOutcomeLog(ledger, lease);
    const closingNow = anyOf([closing.signal], claimed.closesInMs);
    const lostNow = anyOf([lost.signal, ending.signal]);
    const stopNow = anyOf([closingNow.signal, lostNow.signal]);
    const { name, settings } = claimed.destination;
    try {
      const transform = await transformOf(claimed);
      const attempt: Attempt = {
        ...parts,
        buffers,
        claimed,
        transform: 'reason' in transform ? undefined : transform.compiled,
        outcomes,
        pace: createPace(parts.database, name, settings.rate, stopNow.signal),
        lost: lostNow.signal,
        closing: closingNow.signal,
        answered: tellOnce(ledger, claimed),
        identifying: await identifyingValues(parts.database, claimed.studyUid),
      };
      const end: AttemptEnd =
        'reason' in transform ? { kind: 'park', reason: transform.reason } : await sent(attempt);
      await flushed(outcomes, lost.signal);
      const state = await ledger.finish(lease, end);
      count(name, state);
      log.info({ ...about, state, end: end.kind }, 'an attempt at a delivery ended');
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'conflict')
        log.info(about, 'the lease on a delivery was lost; it is left as it is');
      // The ledger is away: the lease runs out, and the delivery is taken up again then.
      else log.warn({ ...about, err: failure }, 'how a delivery ended could not be written');
    } finally {
      heartbeat.stop();
      for (const one of [stopNow, lostNow, closingNow]) one.letGo();
    }
  }

  /** What cannot be changed as it was owed waits for a person; it never leaves as it is stored instead. */
  async function transformOf({
    form,
  }: ClaimedDelivery): Promise<{ compiled: CompiledTransform | undefined } | { reason: string }> {
    try {
      return { compiled: await compiledForm(parts.database, form, parts.deidentifyKey) };
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind !== 'invalid') throw failure;
      return { reason: failure.message };
    }
  }

  /** The attempt, and what it means when it broke. */
  async function sent(attempt: Attempt): Promise<AttemptEnd> {
    const { name, settings } = attempt.claimed.destination;
    try {
      refuseSealed(name, settings);
      if (settings.kind === 'stow')
        return await sendByStow(attempt, settings, { timeouts: timeoutsOf(settings), tokens: parts.tokens });
      if (settings.kind === 'folder') return await sendToFolder(attempt, settings, parts.folderRoot);
      return await sentByDimse(attempt, settings);
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'conflict') throw failure;
      // Another process may have the key.
      if (failure.kind === 'peer-refused') return { kind: 'retry', down: true, reason: failure.message };
      if (failure.kind === 'unavailable') return { kind: 'retry', down: false, reason: failure.message };
      log.error({ err: thrown, delivery: attempt.claimed.lease.delivery }, 'an attempt at a delivery broke');
      return {
        kind: 'retry',
        down: false,
        reason: `the attempt broke inside Isocenter (${failure.kind}); the log has the cause`,
      };
    }
  }

  const timeoutsOf = ({ answerS }: { answerS?: number | undefined }): SendTimeouts =>
    answerS === undefined ? parts.timeouts : { ...parts.timeouts, answerMs: answerS * 1000 };

  /** With storage commitment a delivery is done when the peer has committed to it. */
  async function sentByDimse(attempt: Attempt, settings: DimseSettings): Promise<AttemptEnd> {
    const { aeTitle: callingAeTitle, commitments } = parts;
    const timeouts = timeoutsOf(settings);
    const end = await sendByDimse(attempt, settings, { callingAeTitle, timeouts });
    if (end.kind !== 'done' || !settings.commitment?.enabled) return end;
    await flushed(attempt.outcomes, attempt.lost);
    // It made way for something urgent, or its destination was changed: the rest is sent first.
    const [rest] = await parts.ledger.owedInstances(attempt.claimed.lease, 0, 1);
    if (rest) return end;
    return askCommitment(attempt, settings, settings.commitment, { callingAeTitle, timeouts, commitments });
  }

  return {
    async work(delivery) {
      if (closing.signal.aborted) return;
      const work = ledger.claim(delivery).then((claimed) => (claimed ? deliver(claimed) : undefined));
      underWay.add(work);
      try {
        await work;
      } finally {
        underWay.delete(work);
      }
    },
    get active() {
      return underWay.size;
    },
    attempts: () => [...ended.values()],
    async stop(limitMs) {
      closing.abort();
      const timer = setTimeout(() => ending.abort(), limitMs);
      const ended = Promise.allSettled(underWay);
      // A peer that is only being called cannot be left at once; then the lease runs out, or our next start returns it.
      let gaveUp: NodeJS.Timeout | undefined;
      const patience = new Promise((resolve) => {
        gaveUp = setTimeout(resolve, limitMs + LAST_PATIENCE_MS);
      });
      await Promise.race([ended, patience]);
      clearTimeout(timer);
      clearTimeout(gaveUp);
    },
  };
}

function tellOnce(ledger: Ledger, { probing, destination }: ClaimedDelivery): () => Promise<void> {
  let told = !probing;
  return async () => {
    if (told) return;
    told = true;
    await ledger.answered(destination.name);
  };
}

/** What was sent is written even when the room closes; a lost lease can write nothing any more. */
async function flushed(outcomes: OutcomeLog, lost: AbortSignal): Promise<void> {
  if (!lost.aborted) await outcomes.flush();
}

/** Extends the lease at a third of its time; when that was refused, or not possible for its whole time, it is lost. */
function keepLease(
  ledger: Ledger,
  { lease }: ClaimedDelivery,
  lost: AbortController,
  log: Log,
): { stop(): void } {
  let extendedAt = performance.now();
  const timer = setInterval(
    () => {
      const began = performance.now();
      ledger.extend(lease).then(
        () => {
          extendedAt = began;
        },
        (thrown: unknown) => {
          const failure = asFailure(thrown);
          log.debug({ err: failure, delivery: lease.delivery }, 'a lease could not be extended');
          if (failure.kind === 'conflict' || performance.now() - extendedAt > ledger.leaseS * 1000)
            lost.abort();
        },
      );
    },
    (ledger.leaseS * 1000) / 3,
  );
  return { stop: () => clearInterval(timer) };
}

/** What a peer's words must not repeat in our ledger. */
async function identifyingValues(db: Queryable, studyUid: string): Promise<string[]> {
  const { rows } = await db.query<Record<string, string>>(
    `select patient_id, birth_date, accession_number, patient_name, attributes #>> '{00100010,Value,0,Alphabetic}' as name
     from study where study_uid = $1`,
    [studyUid],
  );
  const values = Object.values(rows[0] ?? {}).filter((value): value is string => typeof value === 'string');
  return values.flatMap((value) => [value, ...value.split(/[\^=\s]+/)]).filter((value) => value.length >= 3);
}
