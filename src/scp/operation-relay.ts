/**
 * N-ACTION and N-EVENT-REPORT between a receiver thread, which has the association, and the main thread, which has the
 * database: the receiver's end and the main thread's end of the same few messages. Used by receiver-thread.ts and scp.ts.
 */
import type { Worker } from 'node:worker_threads';
import type { InboundAssociation } from '../dimse/inbound-association.ts';
import type { Operation, OperationOutcome } from '../dimse/operation.ts';
import { status } from '../dimse/status.ts';
import { type CommitmentReport, commitmentReport } from '../dimse/storage-commitment.ts';
import { asFailure, Failure, type FailureKind } from '../failure.ts';
import type { Asker } from './commitment-table.ts';

export type OperationFromReceiver =
  | { type: 'operation'; id: number; association: number; from: Asker; operation: Operation }
  | { type: 'told'; id: number; outcome: OperationOutcome }
  | { type: 'not-told'; id: number; kind: FailureKind; message: string };

export type OperationToReceiver =
  | { type: 'outcome'; id: number; outcome: OperationOutcome }
  | { type: 'tell'; id: number; association: number; report: CommitmentReport };

/** For the main thread's answer: the sender waits a minute at most, and so does the lane behind it. */
const ANSWER_MS = 30_000;
/** For a peer's answer to a report on its own association. */
const TOLD_MS = 10_000;

/** The receiver's end. */
export class ReceiverRelay {
  readonly #say: (message: OperationFromReceiver) => void;
  readonly #waiting = new Map<number, (outcome: OperationOutcome) => void>();
  readonly #associations = new Map<number, InboundAssociation>();
  #next = 0;

  constructor(say: (message: OperationFromReceiver) => void) {
    this.#say = say;
  }

  /** Never rejects. */
  operate(operation: Operation, from: Asker, association: InboundAssociation): Promise<OperationOutcome> {
    const id = ++this.#next;
    const { promise, resolve } = Promise.withResolvers<OperationOutcome>();
    const timer = setTimeout(
      () => resolve({ status: status.processingFailure, errorComment: 'It took too long: ask again' }),
      ANSWER_MS,
    );
    this.#waiting.set(id, resolve);
    this.#associations.set(id, association);
    void association.drained().then(() => this.#associations.delete(id));
    this.#say({ type: 'operation', id, association: id, from, operation });
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(id);
    });
  }

  take(message: OperationToReceiver): void {
    if (message.type === 'outcome') this.#waiting.get(message.id)?.(message.outcome);
    else void this.#tell(message);
  }

  async #tell({ id, association, report }: OperationToReceiver & { type: 'tell' }): Promise<void> {
    try {
      const open = this.#associations.get(association);
      if (!open) throw new Failure('conflict', 'The association is over');
      this.#say({ type: 'told', id, outcome: await open.notify(commitmentReport(report), TOLD_MS) });
    } catch (thrown) {
      const { kind, message } = asFailure(thrown);
      this.#say({ type: 'not-told', id, kind, message });
    }
  }
}

interface Waiter {
  thread: Worker;
  resolve(outcome: OperationOutcome): void;
  reject(failure: Failure): void;
}

type Operate = (
  operation: Operation,
  from: Asker,
  tell: (report: CommitmentReport) => Promise<OperationOutcome>,
) => Promise<OperationOutcome>;

/** The main thread's end. */
export class MainRelay {
  readonly #operate: Operate;
  readonly #waiting = new Map<number, Waiter>();
  #next = 0;

  /** @param operate never rejects; gets the way back on the operation's own association */
  constructor(operate: Operate) {
    this.#operate = operate;
  }

  take(thread: Worker, message: OperationFromReceiver): void {
    if (message.type === 'operation') void this.#answer(thread, message);
    else {
      const waiter = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.type === 'told') waiter?.resolve(message.outcome);
      else waiter?.reject(new Failure(message.kind, message.message));
    }
  }

  /** The thread has ended, and its associations with it. */
  gone(thread: Worker): void {
    for (const [id, waiter] of this.#waiting) {
      if (waiter.thread !== thread) continue;
      this.#waiting.delete(id);
      waiter.reject(new Failure('conflict', 'The receiver of the association has ended'));
    }
  }

  async #answer(thread: Worker, message: OperationFromReceiver & { type: 'operation' }): Promise<void> {
    const { id, association, from, operation } = message;
    // The bytes came over as they were, and not as a Buffer.
    const dataSet = operation.dataSet && Buffer.from(operation.dataSet);
    const tell = (report: CommitmentReport): Promise<OperationOutcome> =>
      this.#tell(thread, association, report);
    const outcome = await this.#operate({ ...operation, dataSet }, from, tell);
    thread.postMessage({ type: 'outcome', id, outcome } satisfies OperationToReceiver);
  }

  #tell(thread: Worker, association: number, report: CommitmentReport): Promise<OperationOutcome> {
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { thread, resolve, reject });
      thread.postMessage({ type: 'tell', id, association, report } satisfies OperationToReceiver);
    });
  }
}
