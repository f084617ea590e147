/**
 * The store lane in: carries the data set of one C-STORE at a time from the wire to the sink that scp opened for it.
 * inbound-messages.ts calls begin, data and end; bytes go to ObjectSink.write as they come, the outcome back to the sender.
 */
import { asFailure, type Failure } from '../failure.ts';
import type { Hold } from './pdu-reader.ts';
import type { ObjectRefusalCode } from './refusal-code.ts';
import { errorComment, status } from './status.ts';

/** What the C-STORE-RQ says (PS3.7 9.3.1.1) before any byte of the data set. */
export interface StoreRequest {
  affectedSopClassUid: string;
  affectedSopInstanceUid: string;
  transferSyntaxUid: string;
  messageId: number;
  presentationContextId: number;
  moveOriginatorAeTitle?: string;
  moveOriginatorMessageId?: number;
  priority: number;
}

/** The answer to a C-STORE (PS3.7 9.3.1.2, statuses of PS3.4 Table B.2-1). */
export interface StoreOutcome {
  status: number;
  /** A sentence; the association cuts it to an Error Comment. Never patient data. */
  errorComment?: string;
  /** Tags as "(gggg,eeee)"; left out of the answer where the status has none. */
  offendingElement?: string[];
  /** For the list of refusals, of an object that is not kept; never on the wire. */
  refusal?: { code: ObjectRefusalCode; cause?: string | undefined };
}

/** Where an object's bytes go. Exactly one of finish and abort is called, once. */
export interface ObjectSink {
  /** `chunk` is a view, valid during the call or until the returned promise settles; a promise pauses the socket. */
  write(chunk: Uint8Array): void | Promise<void>;
  /** The data set is whole; a plain value is answered in the same tick. */
  finish(): StoreOutcome | Promise<StoreOutcome>;
  /** The data set will not be whole, or a write failed: nothing of it may be kept. */
  abort(reason: string): void;
}

export interface StoreHandler {
  /**
   * Called at the C-STORE-RQ. An outcome, or a Failure thrown, refuses the object: its data is passed over
   * and the status answered behind it.
   */
  open(request: StoreRequest): ObjectSink | StoreOutcome;
  /** What a Failure of open, write or finish is answered with; without it 0x0110 and the Failure's sentence. */
  refuse?(failure: Failure, request: StoreRequest): StoreOutcome;
}

export interface StoreCounters {
  /** Data set bytes received, of kept and refused objects. */
  bytes: number;
  /** Objects answered Success or a warning. */
  objectsStored: number;
  objectsRefused: number;
  /** Objects cut off by an abort or a lost connection. */
  objectsAborted: number;
}

export class InboundStore {
  readonly counters: StoreCounters = { bytes: 0, objectsStored: 0, objectsRefused: 0, objectsAborted: 0 };
  readonly #handler: StoreHandler;
  #request: StoreRequest | undefined;
  #sink: ObjectSink | undefined;
  #refusal: StoreOutcome | undefined;

  constructor(handler: StoreHandler) {
    this.#handler = handler;
  }

  begin(request: StoreRequest): void {
    this.#request = request;
    try {
      const opened = this.#handler.open(request);
      if ('write' in opened) this.#sink = opened;
      else this.#refusal = opened;
    } catch (error) {
      this.#refusal = this.#refuse(error);
    }
  }

  data(bytes: Buffer): Hold {
    this.counters.bytes += bytes.length;
    if (this.#sink === undefined || bytes.length === 0) return undefined;
    try {
      const written = this.#sink.write(bytes);
      if (written === undefined) return undefined;
      return written.catch((error: unknown) => this.#drop(error));
    } catch (error) {
      this.#drop(error);
      return undefined;
    }
  }

  /** The outcome to answer; never rejects. */
  end(): StoreOutcome | Promise<StoreOutcome> {
    const sink = this.#sink;
    if (sink === undefined) return this.#close(this.#refusal ?? { status: status.processingFailure });
    // From here the object is the sink's: a connection lost while it finishes must not abort it.
    this.#sink = undefined;
    try {
      const outcome = sink.finish();
      if (!(outcome instanceof Promise)) return this.#close(outcome);
      return outcome.then(
        (settled) => this.#close(settled),
        (error: unknown) => this.#close(this.#refuse(error)),
      );
    } catch (error) {
      return this.#close(this.#refuse(error));
    }
  }

  /** The association ends in the middle of an object, or between objects: then nothing happens. */
  cut(reason: string): void {
    if (this.#request === undefined) return;
    const sink = this.#sink;
    this.#sink = undefined;
    if (sink === undefined && this.#refusal === undefined) return; // finishing
    this.#request = undefined;
    this.#refusal = undefined;
    this.counters.objectsAborted++;
    sink?.abort(reason);
  }

  #drop(error: unknown): void {
    const sink = this.#sink;
    if (sink === undefined) return; // cut while the write was under way
    this.#sink = undefined;
    this.#refusal = this.#refuse(error);
    sink.abort(asFailure(error).message);
  }

  #refuse(error: unknown): StoreOutcome {
    const failure = asFailure(error);
    if (this.#handler.refuse && this.#request) return this.#handler.refuse(failure, this.#request);
    return { status: status.processingFailure, errorComment: errorComment(failure.message) };
  }

  #close(outcome: StoreOutcome): StoreOutcome {
    this.#request = undefined;
    this.#refusal = undefined;
    const kept = outcome.status === status.success || (outcome.status & 0xf000) === 0xb000;
    if (kept) this.counters.objectsStored++;
    else this.counters.objectsRefused++;
    return outcome;
  }
}
