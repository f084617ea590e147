/**
 * Sends what a delivery owes by STOW-RS: a few stored Part 10 files per request, an outcome per instance.
 * Called by send-delivery.ts; outcomes go to the ledger through the attempt's outcome log.
 */
import { recordDisclosure } from '../archive/disclosure.ts';
import { asFailure, type Failure } from '../failure.ts';
import type { AttemptEnd } from '../routing/attempt-end.ts';
import type { StowSettings } from '../routing/stow-destination.ts';
import { type Attempt, MAX_TRANSIENT, type SendTimeouts, triedAll } from './attempt.ts';
import type { Verdict } from './judge.ts';
import type { TokenSource } from './oauth-token.ts';
import type { SendableObject } from './object-bytes.ts';
import { MAX_UNWRITTEN } from './outcome-log.ts';
import { owedObjects } from './owed-objects.ts';
import { openFile, type SentFile } from './sent-file.ts';
import { sentUnder, unreadable } from './storage-scu.ts';
import { judgeStow } from './stow-answer.ts';
import { createStowClient, type StowClient, type StowPart } from './stow-client.ts';

type Owed = Pick<Sendable, 'id' | 'object'>;

interface Sendable {
  readonly id: number;
  readonly object: SendableObject;
  readonly file: SentFile;
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
      const objects: Owed[] = [];
      for (const { id, object, why } of page) {
        if (object) objects.push({ id, object });
        else outcomes.add({ id, state: 'failed', comment: why });
      }
      for (const batch of batches(objects)) {
        const { closing, lost } = this.#attempt;
        if (closing.aborted || lost.aborted) return { kind: 'release' };
        const sendable = await this.#opened(batch);
        try {
          const end = sendable.length > 0 ? await this.#request(sendable) : undefined;
          if (end) return end;
        } finally {
          await closeAll(sendable);
        }
      }
    }
    return triedAll(outcomes, this.#lostInARow > 0 && !this.#answered);
  }

  /** Those that can be sent; of the others the outcome is noted. */
  async #opened(batch: readonly Owed[]): Promise<Sendable[]> {
    const { outcomes, reader, transform, recoding, lost: signal } = this.#attempt;
    const sendable: Sendable[] = [];
    try {
      for (const { id, object } of batch) {
        try {
          const file = await openFile(reader, object, { transform, recoding, signal });
          sendable.push({ id, object, file });
        } catch (thrown) {
          await outcomes.room();
          outcomes.add({ id, ...unreadable(asFailure(thrown)) });
        }
      }
    } catch (thrown) {
      await closeAll(sendable);
      throw thrown;
    }
    return sendable;
  }

  async #request(batch: readonly Sendable[]): Promise<AttemptEnd | undefined> {
    const { outcomes, closing, lost, claimed, identifying, pace, transform } = this.#attempt;
    await outcomes.room(batch.length);
    await pace.wait(await pace.instances(batch.length));
    if (closing.aborted || lost.aborted) return { kind: 'release' };
    const sources = batch.map(({ file }) => this.#source(file));
    let reached = false;
    try {
      const answer = await this.#client.store(
        // As the files say it: a server refuses those of another study (PS3.18 10.5.1).
        transform ? batch[0]!.file.studyUid : claimed.studyUid,
        sources,
        () => {
          reached = true;
          return this.#disclose(batch.length);
        },
        lost,
      );
      const judgement = judgeStow(
        answer,
        batch.map(({ file }) => file.sopUid),
        identifying,
      );
      if (judgement.kind === 'whole') {
        const { down, amid, reason } = judgement;
        if (!down) {
          await this.#attempt.answered();
          return { kind: 'park', reason };
        }
        const wait = answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs };
        return { kind: 'retry', down, amid, reason, ...wait };
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
    let reason = 'the peer is out of resources';
    for (const { id, object, file } of batch) {
      const verdict = verdictOf(file.sopUid);
      this.#attempt.outcomes.add({ id, ...verdict, ...sentUnder(object, file) });
      if (verdict.state !== 'owed') await this.#attempt.answered();
      this.#transientInARow = verdict.state === 'owed' ? this.#transientInARow + 1 : 0;
      reason = verdict.comment ?? reason;
    }
    // Once all of the request are noted: some of them may be stored.
    if (this.#transientInARow < MAX_TRANSIENT) return undefined;
    return { kind: 'retry', down: true, amid: true, reason };
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

  #source(file: SentFile): Source {
    const { pace } = this.#attempt;
    let fault: Failure | undefined;
    return {
      length: file.length,
      async *open() {
        try {
          yield* pace.bytes(file.open());
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

async function closeAll(sendable: readonly Sendable[]): Promise<void> {
  await Promise.all(sendable.map(({ file }) => file.close()));
}

/** A few instances a request: as many as may be without a written outcome, and not too many bytes. */
function* batches(owed: readonly Owed[]): Generator<Owed[]> {
  let batch: Owed[] = [];
  let bytes = 0;
  for (const one of owed) {
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
