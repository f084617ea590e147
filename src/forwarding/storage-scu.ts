/**
 * Sends what a delivery owes over DIMSE: one association (more when it is lost, or for more than 128 contexts),
 * the stored bytes as they are wherever the peer takes their transfer syntax, an outcome per instance.
 * Called by send-delivery.ts; outcomes go to the ledger through the attempt's outcome log.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { recordDisclosure } from '../archive/disclosure.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { type OutboundAssociation, openAssociation } from '../dimse/outbound-association.ts';
import type { ContextProposal } from '../dimse/plan-contexts.ts';
import { asFailure, type Failure } from '../failure.ts';
import type { AttemptEnd } from '../routing/attempt-end.ts';
import type { DimseSettings } from '../routing/dimse-destination.ts';
import type { Outcome } from '../routing/ledger.ts';
import { tlsOptions } from '../routing/tls-settings.ts';
import { type Attempt, MAX_TRANSIENT, type SendTimeouts, triedAll } from './attempt.ts';
import { NotChanged, NotLookedAt } from './changed-object.ts';
import { judge, peerWords } from './judge.ts';
import { type OpenedObject, openObject, type SendableObject, type SentAs } from './object-bytes.ts';
import { type OwedObject, owedObjects } from './owed-objects.ts';
import { isRecoded } from './recoded-object.ts';
import {
  hasLargeFrames,
  kindOf,
  type Leaving,
  type PlannedAssociation,
  planAssociations,
  waysOut,
  waysOutOf,
  whyNoWay,
} from './ways-out.ts';

export interface StorageScuOptions {
  callingAeTitle: string;
  timeouts: SendTimeouts;
}

interface Sendable {
  /** Of the debt, for its outcome. */
  readonly id: number;
  readonly object: SendableObject;
}

/** What an association is for, of a page of what is owed. */
interface Page {
  readonly mine: readonly Sendable[];
  /** The association it was disclosed for: another may take other objects of it. */
  disclosedFor: OutboundAssociation | undefined;
}

interface OpeningObject {
  readonly object: SendableObject;
  readonly way: string;
  readonly opening: Promise<OpenedObject>;
}

/**
 * Objects that are opened while one is sent. The first reads of a file take longer than a peer nearby takes an object,
 * so one would be late. Of those that a rule changes one is enough: their headers are held.
 */
const OPEN_AHEAD = 2;

/** A pause for the send rate that is longer than this is made without an association. */
const LONGEST_IDLE_MS = 5000;
/** Instances left of a page when the next is asked for. */
const ASK_AHEAD = 12;
/** Associations lost one after the other, with nothing delivered between, before the peer counts as down. */
const MAX_LOST = 2;

export async function sendByDimse(
  attempt: Attempt,
  settings: DimseSettings,
  options: StorageScuOptions,
): Promise<AttemptEnd> {
  const kinds = await attempt.ledger.owedKinds(attempt.claimed.lease);
  const sending = new Sending(attempt, settings, options);
  try {
    const leaving = { allowed: settings.transferSyntaxes, transform: attempt.transform };
    const associations = planAssociations(kinds, leaving);
    for (const planned of associations) {
      const end = await sending.send(planned);
      if (end) return end;
    }
    if (sending.hasRest || associations.length === 0) await sending.refuseRest();
    return triedAll(attempt.outcomes, sending.mute);
  } finally {
    await sending.close();
  }
}

class Sending {
  readonly #attempt: Attempt;
  readonly #settings: DimseSettings;
  readonly #options: StorageScuOptions;
  #association: OutboundAssociation | undefined;
  /** In the order in which they will be sent. */
  readonly #ahead: OpeningObject[] = [];
  #lostInARow = 0;
  #transientInARow = 0;
  #answers = 0;
  #hasRest = false;

  constructor(attempt: Attempt, settings: DimseSettings, options: StorageScuOptions) {
    this.#attempt = attempt;
    this.#settings = settings;
    this.#options = options;
    attempt.lost.addEventListener('abort', () => this.#association?.abort(), { once: true });
  }

  get mute(): boolean {
    return this.#lostInARow > 0 && this.#answers === 0;
  }

  /** Objects were seen that no association is for. */
  get hasRest(): boolean {
    return this.#hasRest;
  }

  /** Every owed instance that the association is for. @returns an end, when going on makes no sense */
  async send({ contexts, kinds }: PlannedAssociation): Promise<AttemptEnd | undefined> {
    const pages = owedObjects(this.#attempt);
    for (let coming = this.#nextPage(pages, kinds); ; ) {
      const page = await coming;
      if (!page) break;
      const { mine } = page;
      let following: readonly Sendable[] = [];
      // Asked for towards the end of this one, and no sooner: a hold of the study is seen there.
      const askAt = Math.max(0, mine.length - ASK_AHEAD);
      if (mine.length === 0) coming = this.#nextPage(pages, kinds);
      for (const [index, owed] of mine.entries()) {
        if (index === askAt) {
          coming = this.#nextPage(pages, kinds);
          coming.then(
            (next) => {
              following = next?.mine ?? [];
            },
            () => undefined, // told when it is awaited
          );
        }
        await this.#attempt.outcomes.room();
        await this.#keepPace();
        if (this.#attempt.closing.aborted || this.#attempt.lost.aborted) return { kind: 'release' };
        const end = (await this.#open(contexts)) ?? (await this.#prepare(owed.object, contexts));
        if (end) return end;
        if (page.disclosedFor !== this.#association) {
          await this.#disclose(mine.slice(index));
          page.disclosedFor = this.#association;
        }
        const next = mine.slice(index + 1, index + 1 + OPEN_AHEAD);
        const sent = await this.#sendOne(owed, [...next, ...following.slice(0, OPEN_AHEAD - next.length)]);
        if (sent) return sent;
      }
    }
    await this.close();
    return undefined;
  }

  /** Disclosed as well, while the page before it is sent: a record more than was sent does no harm, one less would. */
  async #nextPage(
    pages: AsyncGenerator<OwedObject[]>,
    kinds: PlannedAssociation['kinds'],
  ): Promise<Page | undefined> {
    const { value: page, done } = await pages.next();
    if (done) return undefined;
    this.#hasRest ||= page.some(
      ({ object }) => !object || waysOut(object.transferSyntax, this.#leaving).length === 0,
    );
    const mine = page.flatMap(({ id, object }) =>
      object && kinds.has(kindOf(object.sopClass, object.transferSyntax)) ? [{ id, object }] : [],
    );
    const association = this.#association?.open ? this.#association : undefined;
    if (association) await this.#disclose(mine);
    return { mine, disclosedFor: association };
  }

  /** What no association was for: not to be sent (any more), or no way out that the destination's settings allow. */
  async refuseRest(): Promise<void> {
    const { outcomes, claimed } = this.#attempt;
    for await (const page of owedObjects(this.#attempt)) {
      for (const { id, object, why } of page) {
        if (object && waysOut(object.transferSyntax, this.#leaving).length > 0) continue;
        await outcomes.room();
        const comment = object ? whyNoWay(object, this.#leaving, claimed.destination.name) : why;
        outcomes.add({ id, state: 'failed', comment });
      }
    }
  }

  /** A peer would close an association on which nothing comes for long. */
  async #keepPace(): Promise<void> {
    const waitMs = await this.#attempt.pace.instances(1);
    if (waitMs > LONGEST_IDLE_MS) await this.close();
    await this.#attempt.pace.wait(waitMs);
  }

  async close(): Promise<void> {
    await this.#dropAhead();
    await this.#association?.release();
    this.#association = undefined;
  }

  /** Unless it is open. */
  async #open(contexts: ContextProposal[]): Promise<AttemptEnd | undefined> {
    if (this.#association?.open) return undefined;
    const { host, port, aeTitle, callingAeTitle = this.#options.callingAeTitle, tls } = this.#settings;
    const { connectMs, answerMs } = this.#options.timeouts;
    try {
      this.#association = await openAssociation({
        host,
        port,
        callingAeTitle,
        calledAeTitle: aeTitle,
        contexts,
        timeouts: { connectMs, associateMs: answerMs, responseMs: answerMs },
        ...(tls && { tls: tlsOptions(tls) }),
      });
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (failure.kind === 'invalid') return { kind: 'park', reason: failure.message };
      // A refused association says nothing of the instances: it is settled between administrators, and then all goes.
      if (failure.kind === 'peer-unreachable' || failure.kind === 'peer-refused')
        return { kind: 'retry', down: true, reason: failure.message };
      throw failure;
    }
    if (this.#attempt.lost.aborted) this.#association.abort();
    return undefined;
  }

  /** Pixels may take long to be made: a peer would close an association on which nothing comes meanwhile. */
  async #prepare(object: SendableObject, contexts: ContextProposal[]): Promise<AttemptEnd | undefined> {
    const way = this.#way(object);
    if (way === undefined || !isRecoded(object, way)) return undefined;
    const opening = this.#opened(object, way);
    this.#ahead.unshift({ object, way, opening });
    const made = opening.then(
      () => true,
      () => true, // told when it is sent
    );
    const waiting = new AbortController();
    const late = sleep(LONGEST_IDLE_MS, false, { signal: waiting.signal }).catch(() => false);
    const isSoon = await Promise.race([made, late]);
    waiting.abort();
    if (isSoon) return undefined;
    await this.#association?.release();
    this.#association = undefined;
    await made;
    return this.#open(contexts);
  }

  /** Before the first byte of a page leaves; what the peer does not take is not sent and not counted. */
  async #disclose(owed: readonly Sendable[]): Promise<void> {
    const { claimed, database } = this.#attempt;
    const instances = owed.filter(({ object }) => this.#way(object) !== undefined).length;
    if (instances === 0) return;
    const { aeTitle, host, port } = this.#settings;
    await recordDisclosure(database, {
      channel: 'dimse',
      recipient: `${aeTitle}@${host}:${port}`,
      studyUid: claimed.studyUid,
      instances,
      detail: { destination: claimed.destination.name, delivery: claimed.lease.delivery },
    });
  }

  /** The transfer syntax in which the peer takes the object, if it does. */
  #way(object: StoredObject): string | undefined {
    return this.#accepted(object)[0];
  }

  #accepted(object: StoredObject): string[] {
    return waysOutOf(object, this.#leaving).filter(
      (way) => this.#association?.accepted(object.sopClass, way) !== undefined,
    );
  }

  get #leaving(): Leaving {
    return { allowed: this.#settings.transferSyntaxes, transform: this.#attempt.transform };
  }

  async #sendOne({ id, object }: Sendable, next: readonly Sendable[]): Promise<AttemptEnd | undefined> {
    const { outcomes, pace, claimed } = this.#attempt;
    const note = (verdict: Omit<Outcome, 'id'>): void => outcomes.add({ id, ...verdict });
    const association = this.#association!;
    const way = this.#way(object);
    if (way === undefined) {
      const [best] = waysOutOf(object, this.#leaving);
      const comment = best
        ? `the peer does not take ${association.refusal(object.sopClass, best)}`
        : whyNoWay(object, this.#leaving, claimed.destination.name);
      note({ state: 'failed', comment });
      return undefined;
    }
    let opened: OpenedObject;
    try {
      opened = await this.#opened(object, way);
    } catch (thrown) {
      note(unreadable(asFailure(thrown)));
      return undefined;
    }
    let isAnswered = false;
    // As soon as this one's first bytes have left.
    const ahead = setImmediate(() => this.#openAhead(next));
    try {
      const answer = await association.store(
        {
          sopClassUid: object.sopClass,
          sopInstanceUid: opened.sopUid,
          transferSyntaxUid: opened.transferSyntaxUid,
          priority: this.#priority(),
          ...(opened.length !== undefined && { length: opened.length }),
        },
        pace.bytes(opened.bytes),
      );
      isAnswered = true;
      const verdict = judge(answer.status, this.#words(answer.errorComment, answer.offendingElements));
      note({ ...verdict, ...sentUnder(object, opened) });
      return await this.#afterAnswer(verdict);
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (opened.fault) {
        note(unreadable(opened.fault));
        return undefined;
      }
      if (this.#attempt.lost.aborted) return { kind: 'release' };
      return this.#afterLoss(failure, note);
    } finally {
      clearImmediate(ahead);
      await opened.close(isAnswered);
    }
  }

  /** Read while the peer takes and answers the one before it. */
  #openAhead(next: readonly Sendable[]): void {
    const most = this.#attempt.transform ? 1 : OPEN_AHEAD;
    for (const { object } of next.slice(0, most)) {
      const way = this.#way(object);
      const isRecoding = way !== undefined && isRecoded(object, way);
      // One object's pixels at a time, and of large frames none ahead.
      if (isRecoding && (this.#ahead.length > 0 || hasLargeFrames(object))) return;
      if (way === undefined || this.#ahead.some((ahead) => ahead.object === object)) continue;
      const opening = this.#openObject(object, way);
      // It may never have its turn; when it has, the fault is told as its own.
      opening.catch(() => undefined);
      this.#ahead.push({ object, way, opening });
    }
  }

  async #opened(object: SendableObject, way: string): Promise<OpenedObject> {
    const [ahead] = this.#ahead;
    if (ahead?.object === object && ahead.way === way) {
      this.#ahead.shift();
      return ahead.opening;
    }
    await this.#dropAhead();
    return this.#openObject(object, way);
  }

  #openObject(object: SendableObject, way: string): Promise<OpenedObject> {
    const { reader, transform, buffers, recoding, lost: signal } = this.#attempt;
    const accepted = this.#accepted(object);
    const native = accepted.find((one) => !transferSyntax(one).encapsulated);
    const otherwise = accepted.find((one) => one !== way);
    return openObject(reader, object, way, { transform, buffers, recoding, signal, native, otherwise });
  }

  async #dropAhead(): Promise<void> {
    for (const { opening } of this.#ahead.splice(0)) {
      const opened = await opening.catch(() => undefined);
      await opened?.close();
    }
  }

  async #afterAnswer({ state, comment }: Omit<Outcome, 'id'>): Promise<AttemptEnd | undefined> {
    this.#lostInARow = 0;
    this.#answers++;
    if (state !== 'owed') await this.#attempt.answered();
    this.#transientInARow = state === 'owed' ? this.#transientInARow + 1 : 0;
    if (this.#transientInARow < MAX_TRANSIENT) return undefined;
    return { kind: 'retry', down: true, amid: true, reason: comment ?? 'the peer is out of resources' };
  }

  /** The peer may have choked on this one object: the others are tried on an association of their own. */
  #afterLoss(failure: Failure, note: (verdict: Omit<Outcome, 'id'>) => void): AttemptEnd | undefined {
    if (failure.kind !== 'peer-unreachable' && failure.kind !== 'peer-refused') throw failure;
    note({ state: failure.kind === 'peer-refused' ? 'failed' : 'owed', comment: failure.message });
    this.#lostInARow++;
    if (this.#lostInARow < MAX_LOST) return undefined;
    return { kind: 'retry', down: true, amid: true, reason: failure.message };
  }

  #words(comment: string | undefined, elements: readonly string[] | undefined): string | undefined {
    const said = peerWords(comment, this.#attempt.identifying);
    const offending = elements?.length ? `offending element ${elements.slice(0, 5).join(', ')}` : undefined;
    return [said, offending].filter(Boolean).join('; ') || undefined;
  }

  /** PS3.7 9.3.1.1 */
  #priority(): number {
    const { priority } = this.#attempt.claimed;
    return priority === 0 ? 0 : priority > 0 ? 1 : 2;
  }
}

/** Our own side cannot read the object: away for now, or broken. */
export function unreadable(failure: Failure): Omit<Outcome, 'id'> {
  if (failure instanceof NotLookedAt) return { state: 'failed', comment: failure.message, toLook: true };
  if (failure instanceof NotChanged) return { state: 'failed', comment: failure.message };
  const away = failure.kind === 'unavailable';
  return { state: away ? 'owed' : 'failed', comment: `the stored object cannot be read: ${failure.message}` };
}

/** For the ledger: the SOP Instance UID the peer got, where it is not the stored one. */
export function sentUnder(object: StoredObject, sent: SentAs): Pick<Outcome, 'sentSopUid'> {
  return sent.sopUid === object.sopUid ? {} : { sentSopUid: sent.sopUid };
}
