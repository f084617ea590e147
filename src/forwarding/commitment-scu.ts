/**
 * Asks the peer of a delivery to commit to what it took (PS3.4 Annex J, as SCU), once all of it was tried: N-ACTION on
 * an association of its own, kept open for a while for a report on it. Reports on other associations come by scp; both
 * go to routing/commitment.ts. Called by send-delivery.ts, under the delivery's lease.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { STORAGE_COMMITMENT } from '../dicom/sop-class.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { createUid } from '../dicom/uid.ts';
import type { OperationHandler } from '../dimse/operation.ts';
import { type OutboundAssociation, openAssociation } from '../dimse/outbound-association.ts';
import { status, statusClass, statusWord } from '../dimse/status.ts';
import { commitmentRequest, failureReasonWord } from '../dimse/storage-commitment.ts';
import { asFailure } from '../failure.ts';
import type { AttemptEnd } from '../routing/attempt-end.ts';
import type { CommitmentLedger, UncommittedInstance } from '../routing/commitment.ts';
import { type CommitmentSettings, committerOf, type DimseSettings } from '../routing/dimse-destination.ts';
import { hearReport } from '../routing/hear-report.ts';
import { tlsOptions } from '../routing/tls-settings.ts';
import type { Attempt } from './attempt.ts';
import { peerWords } from './judge.ts';
import type { StorageScuOptions } from './storage-scu.ts';

export interface CommitmentScuOptions extends StorageScuOptions {
  commitments: CommitmentLedger;
}

/** Instances in one request: archives have been seen to choke on thousands. */
const MAX_INSTANCES = 500;
/**
 * How long the association waits for a report on it: most archives answer at once or on an association of theirs. One
 * that was asked before and stayed silent may know no other way, and gets longer.
 */
const STAY_MS = 3000;
const LONGER_STAY_MS = 10_000;
const LOOK_MS = 200;

/** @returns how the attempt ends: 'await' while reports are missing */
export async function askCommitment(
  attempt: Attempt,
  settings: DimseSettings,
  commitment: CommitmentSettings,
  options: CommitmentScuOptions,
): Promise<AttemptEnd> {
  const { lease, destination } = attempt.claimed;
  const stands = () => options.commitments.standing(lease, destination.name, commitment);
  const before = await stands();
  const asking = new Asking(attempt, settings, commitment, options);
  try {
    const end = await asking.ask();
    if (end) return end;
    await asking.stay(before.awaited > 0 ? LONGER_STAY_MS : STAY_MS);
  } finally {
    await asking.close();
  }
  const { awaited, exhausted, resent, waitMs, reason } = await stands();
  if (resent > 0) return { kind: 'retry', down: false, reason: asking.notThere(resent) };
  if (awaited > 0) return { kind: 'await', waitMs };
  if (exhausted === 0) return { kind: 'done' };
  return { kind: 'park', reason: asking.unanswered(exhausted, reason) };
}

class Asking {
  readonly #attempt: Attempt;
  readonly #commitment: CommitmentSettings;
  readonly #options: CommitmentScuOptions;
  readonly #to: ReturnType<typeof committerOf>;
  readonly #callingAeTitle: string;
  /** It is the system that takes the objects: its troubles are the destination's. */
  readonly #isSame: boolean;
  #association: OutboundAssociation | undefined;
  readonly #asked: string[] = [];

  constructor(
    attempt: Attempt,
    settings: DimseSettings,
    commitment: CommitmentSettings,
    options: CommitmentScuOptions,
  ) {
    this.#attempt = attempt;
    this.#commitment = commitment;
    this.#options = options;
    this.#to = committerOf(settings);
    this.#callingAeTitle = settings.callingAeTitle ?? options.callingAeTitle;
    this.#isSame = this.#to.host === settings.host && this.#to.port === settings.port;
    attempt.lost.addEventListener('abort', () => this.#association?.abort(), { once: true });
  }

  /** Asks for everything whose turn it is. @returns an end, when going on makes no sense */
  async ask(): Promise<AttemptEnd | undefined> {
    const { commitments } = this.#options;
    const { lease, destination } = this.#attempt.claimed;
    for (;;) {
      if (this.#attempt.closing.aborted || this.#attempt.lost.aborted) return { kind: 'release' };
      const instances = await commitments.toAsk(lease, destination.name, this.#commitment, MAX_INSTANCES);
      if (instances.length === 0) return undefined;
      const end = (await this.#open()) ?? (await this.#request(instances));
      if (end) return end;
    }
  }

  /** Until every request was reported on, on whichever association, or the time is over. */
  async stay(ms: number): Promise<void> {
    const until = performance.now() + Math.min(ms, this.#commitment.waitS * 1000);
    const { closing, lost } = this.#attempt;
    while (this.#association?.open && !closing.aborted && !lost.aborted && performance.now() < until) {
      if (await this.#options.commitments.reported(this.#asked)) return;
      await sleep(LOOK_MS);
    }
  }

  async close(): Promise<void> {
    await this.#association?.release();
    this.#association = undefined;
  }

  notThere(instances: number): string {
    return `${instances} ${instances === 1 ? 'instance is' : 'instances are'} not there by the word of ${this.#peer}: sent again`;
  }

  unanswered(instances: number, reason: number | null): string {
    const { tries, waitS } = this.#commitment;
    const many = `${instances} ${instances === 1 ? 'instance was' : 'instances were'}`;
    if (reason !== null)
      return `${many} sent, and ${this.#peer} did not commit to them: ${failureReasonWord(reason)}`;
    return (
      `${many} sent, and no storage commitment came for them from ${this.#peer}: asked ${tries} times, ` +
      `${waitS} s each. To report it must reach AE ${this.#callingAeTitle} on our DICOM port and be known at /api/aes`
    );
  }

  get #peer(): string {
    const { aeTitle, host, port } = this.#to;
    return `${aeTitle} at ${host}:${port}`;
  }

  async #open(): Promise<AttemptEnd | undefined> {
    if (this.#association?.open) return undefined;
    const { connectMs, answerMs } = this.#options.timeouts;
    try {
      this.#association = await openAssociation({
        host: this.#to.host,
        port: this.#to.port,
        callingAeTitle: this.#callingAeTitle,
        calledAeTitle: this.#to.aeTitle,
        contexts: [{ abstractSyntax: STORAGE_COMMITMENT, transferSyntaxes: [EXPLICIT_LE, IMPLICIT_LE] }],
        timeouts: { connectMs, associateMs: answerMs, responseMs: answerMs },
        operate: this.#hear,
        ...(this.#to.tls && { tls: tlsOptions(this.#to.tls) }),
      });
    } catch (thrown) {
      return this.#fault(thrown);
    }
    if (this.#attempt.lost.aborted) this.#association.abort();
    return undefined;
  }

  readonly #hear: OperationHandler = (operation) =>
    hearReport(this.#options.commitments, operation, this.#to.aeTitle, this.#attempt.log);

  async #request(instances: readonly UncommittedInstance[]): Promise<AttemptEnd | undefined> {
    const { commitments } = this.#options;
    const transactionUid = createUid();
    // Written before it is said: a crash between the two costs a request that is made again, never a report unheard.
    const ids = instances.map(({ id }) => id);
    await commitments.begin(this.#attempt.claimed.lease, transactionUid, ids);
    try {
      const outcome = await this.#association!.request(commitmentRequest({ transactionUid, instances }));
      if (outcome.status === status.success) {
        await commitments.asked(transactionUid);
        this.#asked.push(transactionUid);
        if (this.#isSame) await this.#attempt.answered();
        return undefined;
      }
      const said = peerWords(outcome.errorComment, this.#attempt.identifying);
      const reason = `${this.#peer} did not take the request for storage commitment: ${statusWord(outcome.status)}${said ? `: ${said}` : ''}`;
      // 0x0110 says nothing of the next time; what a peer does not offer or allow is a person's matter.
      const passes =
        statusClass(outcome.status) === 'transient' || outcome.status === status.processingFailure;
      return passes ? { kind: 'retry', down: false, reason } : { kind: 'park', reason };
    } catch (thrown) {
      return this.#fault(thrown);
    }
  }

  #fault(thrown: unknown): AttemptEnd {
    if (this.#attempt.lost.aborted) return { kind: 'release' };
    const failure = asFailure(thrown);
    const reason = `storage commitment: ${failure.message}`;
    if (failure.kind === 'peer-unreachable') return { kind: 'retry', down: this.#isSame, reason };
    // A permanent reject, or no presentation context for it: the peer does not offer it to us.
    if (failure.kind === 'peer-refused' || failure.kind === 'invalid') return { kind: 'park', reason };
    throw failure;
  }
}
