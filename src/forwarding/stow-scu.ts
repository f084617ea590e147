/**
 * Sends what a delivery owes by STOW-RS: a few stored Part 10 files per request, an outcome per instance.
 * Called by send-delivery.ts; outcomes go to the ledger through the attempt's outcome log.
 */
import { recordDisclosure } from '../archive/disclosure.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { asFailure, type Failure } from '../failure.ts';
import type { AttemptEnd } from '../routing/attempt-end.ts';
import type { StowSettings } from '../routing/stow-destination.ts';
import { type Attempt, MAX_TRANSIENT, type SendTimeouts, triedAll } from './attempt.ts';
import type { Verdict } from './judge.ts';
import type { TokenSource } from './oauth-token.ts';
import { MAX_UNWRITTEN } from './outcome-log.ts';
import { owedObjects } from './owed-objects.ts';
import { unreadable } from './storage-scu.ts';
import { judgeStow } from './stow-answer.ts';
import { createStowClient, type StowClient, type StowPart } from './stow-client.ts';

interface Sendable {
  readonly id: number;
  readonly object: StoredObject;
}

/** A request is no larger than this unless its one instance is. */
const REQUEST_BYTES = 16 * 1024 * 1024;
const MAX_LOST = 2;

export interface StowScuOptions {
  timeouts: SendTimeouts;
  tokens: TokenSource;
}

export async function sendByStow(
  attempt: Attempt,
  settings: StowSettings,
  { timeouts, tokens }: StowScuOptions,
): Promise<AttemptEnd> {
  const client = createStowClient(settings, timeouts, tokens);
  try {
    return await new Sending(attempt, settings, client).send();
  } finally {
    client.close();
  }
}

class Sending {
  readonly #attempt: Attempt;
  readonly #settings: StowSettings;
  readonly #client: StowClient;
  #lostInARow = 0;
  #transientInARow = 0;
  #answered = false;

  constructor(attempt: Attempt, settings: StowSettings, client: StowClient) {
    this.#attempt = attempt;
    this.#settings = settings;
    this.#client = client;
  }

  async send(): Promise<AttemptEnd> {
    const { outcomes } = this.#attempt;
    for await (const page of owedObjects(this.#attempt)) {
      const sendable: Sendable[] = [];
      for (const { id, object, why } of page) {
        if (object) sendable.push({ id, object });
        else outcomes.add({ id, state: 'failed', comment: why });
      }
      for (const batch of batches(sendable)) {
        const end = await this.#request(batch);
        if (end) return end;
      }
    }
    return triedAll(outcomes, this.#lostInARow > 0 && !this.#answered);
  }

  async #request(batch: readonly Sendable[]): Promise<AttemptEnd | undefined> {
    const { outcomes, closing, lost, claimed, identifying, pace } = this.#attempt;
    await outcomes.room(batch.length);
    await pace.wait(await pace.instances(batch.length));
    if (closing.aborted || lost.aborted) return { kind: 'release' };
    const sources = batch.map(({ object }) => this.#source(object));
    let reached = false;
    try {
      const answer = await this.#client.store(
        claimed.studyUid,
        sources,
        () => {
          reached = true;
          return this.#disclose(batch.length);
        },
        lost,
      );
      const judgement = judgeStow(
        answer,
        batch.map(({ object }) => object.sopUid),
        identifying,
      );
      if (judgement.kind === 'whole') {
        const { down, reason } = judgement;
        if (!down) {
          await this.#attempt.answered();
          return { kind: 'park', reason };
        }
        const wait = answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs };
        return { kind: 'retry', down, reason, ...wait };
      }
      if (judgement.kind === 'unclear' && batch.length > 1) return await this.#oneByOne(batch);
      return await this.#note(batch, (uid) =>
        judgement.kind === 'unclear' ? judgement.verdict : judgement.verdicts.get(uid)!,
      );
    } catch (thrown) {
      if (lost.aborted) return { kind: 'release' };
      const failure = asFailure(thrown);
      // No token is settled between administrators, as a refused association is; then all goes.
      if (failure.kind === 'peer-refused' || (!reached && failure.kind === 'peer-unreachable'))
        return { kind: 'retry', down: true, reason: failure.message };
      return await this.#afterFault(batch, sources, failure);
    }
  }

  async #oneByOne(batch: readonly Sendable[]): Promise<AttemptEnd | undefined> {
    for (const one of batch) {
      const end = await this.#request([one]);
      if (end) return end;
    }
    return undefined;
  }

  async #note(
    batch: readonly Sendable[],
    verdictOf: (sopUid: string) => Verdict,
  ): Promise<AttemptEnd | undefined> {
    this.#lostInARow = 0;
    this.#answered = true;
    for (const { id, object } of batch) {
      const verdict = verdictOf(object.sopUid);
      this.#attempt.outcomes.add({ id, ...verdict });
      if (verdict.state !== 'owed') await this.#attempt.answered();
      this.#transientInARow = verdict.state === 'owed' ? this.#transientInARow + 1 : 0;
      if (this.#transientInARow >= MAX_TRANSIENT)
        return {
          kind: 'retry',
          down: true,
          amid: true,
          reason: verdict.comment ?? 'the peer is out of resources',
        };
    }
    return undefined;
  }

  /** A connection lost on one instance may be that instance's doing: the others are tried once more without it. */
  async #afterFault(
    batch: readonly Sendable[],
    sources: readonly Source[],
    failure: Failure,
  ): Promise<AttemptEnd | undefined> {
    const broken = sources.findIndex(({ fault }) => fault() !== undefined);
    if (broken >= 0) {
      const { id } = batch[broken]!;
      this.#attempt.outcomes.add({ id, ...unreadable(sources[broken]!.fault()!) });
      const others = batch.filter((_, index) => index !== broken);
      return others.length > 0 ? await this.#request(others) : undefined;
    }
    if (failure.kind !== 'peer-unreachable') throw failure;
    this.#lostInARow++;
    const reason = failure.message;
    if (batch.length > 1) {
      this.#lostInARow = 0;
      return await this.#oneByOne(batch);
    }
    if (this.#lostInARow >= MAX_LOST) return { kind: 'retry', down: true, amid: true, reason };
    this.#attempt.outcomes.add({ id: batch[0]!.id, state: 'owed', comment: reason });
    return undefined;
  }

  async #disclose(instances: number): Promise<void> {
    const { claimed, database } = this.#attempt;
    await recordDisclosure(database, {
      channel: 'stow',
      recipient: new URL(this.#settings.url).host,
      studyUid: claimed.studyUid,
      instances,
      detail: { destination: claimed.destination.name, delivery: claimed.lease.delivery },
    });
  }

  #source(object: StoredObject): Source {
    const { reader, pace } = this.#attempt;
    let fault: Failure | undefined;
    return {
      length: object.length,
      async *open() {
        try {
          yield* pace.bytes(reader.read(object));
        } catch (thrown) {
          fault = asFailure(thrown);
          throw fault;
        }
      },
      fault: () => fault,
    };
  }
}

interface Source extends StowPart {
  /** Why it could not be read, if so. */
  fault(): Failure | undefined;
}

/** A few instances a request: as many as may be without a written outcome, and not too many bytes. */
function* batches(sendable: readonly Sendable[]): Generator<Sendable[]> {
  let batch: Sendable[] = [];
  let bytes = 0;
  for (const one of sendable) {
    if (batch.length > 0 && (batch.length === MAX_UNWRITTEN || bytes + one.object.length > REQUEST_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(one);
    bytes += one.object.length;
  }
  if (batch.length > 0) yield batch;
}
