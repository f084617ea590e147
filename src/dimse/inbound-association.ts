/**
 * One association that a peer opened: its life from the socket to release or abort (PS3.8 9.2).
 * scp makes the server and one of these per socket; commands and object bytes go to inbound-messages.ts,
 * association PDUs to the engine, objects to the sinks that `options.store` opens.
 */
import type { Socket } from 'node:net';
import { asFailure, Failure } from '../failure.ts';
import { answerContexts, type ContextRefusal } from './answer-contexts.ts';
import {
  type AssociationRequest,
  type ParsedAssociationRequest,
  type PresentationContextRequest,
  parseAssociationRequest,
} from './association-request.ts';
import { Engine, type EngineAssociation, maxAnnouncedPduLength } from './engine.ts';
import { InboundMessages, type RefusedMessage } from './inbound-messages.ts';
import { InboundStore, type StoreCounters, type StoreHandler } from './inbound-store.ts';
import type { ContextAnswer } from './negotiate-storage.ts';
import type { OperationHandler, OperationOutcome, OutgoingOperation } from './operation.ts';
import {
  type AssociationReject,
  abortCode,
  abortReason,
  abortSentence,
  abortSource,
  encodeAbort,
  pduType,
  pdvValueLimit,
  rejectCode,
  rejectSentence,
} from './pdu.ts';
import { type Hold, PduReader } from './pdu-reader.ts';
import type { AssociationRefusalCode } from './refusal-code.ts';

export interface Rejection extends AssociationReject {
  /** For the log and the list of refusals; the wire has no room for it. */
  sentence: string;
  /** Where PS3.8 Table 9-21 says less than we know. */
  code?: AssociationRefusalCode;
}

/** What this association refused, or that it was refused or ended for its peer's fault: said once for each. */
export type InboundRefusal =
  | RefusedMessage
  | {
      what: 'association';
      code: AssociationRefusalCode;
      sentence: string;
      /** What the peer was told, in the words of PS3.8. */
      answer: string;
    }
  | ContextRefusal;

export type Admission = { accept: true } | { reject: Rejection };

export type CloseReason = 'released' | 'aborted' | 'lost' | 'rejected';

export interface InboundOptions {
  /** What we announce as Maximum Length Received, at most 262144. Default 131072. */
  maxPduLength?: number;
  /** Default 256 KiB: 128 presentation contexts with every transfer syntax of the Standard each fit. */
  maxAssociateRequestLength?: number;
  /** Silence of the peer after which an association is aborted. Default 60 s. */
  idleTimeoutMs?: number;
  /** ARTIM: wait for the A-ASSOCIATE-RQ, and for the peer to close behind a reject, abort or release. Default 30 s. */
  artimMs?: number;
  /** A pure decision on the request (PS3.8 9.3.4). */
  admit(request: AssociationRequest): Admission;
  /** The transfer syntax to accept for a context, or why it is refused (PS3.8 9.3.3.2). */
  negotiate(context: PresentationContextRequest): ContextAnswer;
  store: StoreHandler;
  /** N-ACTION and N-EVENT-REPORT of Storage Commitment; without it they are answered 0x0211. */
  operate?: OperationHandler;
  /** For the list of refusals: objects, operations, contexts, and the association itself. */
  onRefusal?(refusal: InboundRefusal): void;
  /** Called once the A-ASSOCIATE-AC is written. */
  onAccept?(request: AssociationRequest): void;
  /** Awaited before A-RELEASE-RP; the caller bounds the wait. */
  beforeRelease?(): Promise<void>;
  /** Called once, whatever happens, when the association is over for the peer. */
  onClose?(how: CloseReason, detail: string): void;
}

export interface InboundAssociation {
  /** Undefined until a request was read. */
  readonly request: AssociationRequest | undefined;
  readonly counters: Readonly<StoreCounters>;
  /**
   * A request of ours to the peer, such as the report of a storage commitment (PS3.4 J.3.3).
   * @throws Failure 'conflict' when the association is not open, 'unavailable' while the peer is in the middle of a
   *         message, 'peer-refused' without a presentation context for it, 'peer-unreachable' when the peer ends it or does not answer in time
   */
  notify(operation: OutgoingOperation, answerMs: number): Promise<OperationOutcome>;
  /** Sends A-ABORT, aborts an object under way and closes the socket soon after. */
  abort(reason: string, code?: AssociationRefusalCode): void;
  /** Settles when the socket is closed and no sink is at work any more. */
  drained(): Promise<void>;
}

const defaultMaxPduLength = 131_072;
const defaultMaxAssociateRequestLength = 256 * 1024;
const defaultIdleTimeoutMs = 60_000;
const defaultArtimMs = 30_000;
/** After A-ABORT or A-ASSOCIATE-RJ the peer gets this long to read it before the socket is destroyed. */
const maxLingerMs = 5_000;
const idleTicks = 2;

type Phase = 'awaiting-request' | 'established' | 'releasing' | 'over';

/** Throws Failure 'invalid' when maxPduLength is more than the engine can announce. */
export function createInboundAssociation(socket: Socket, options: InboundOptions): InboundAssociation {
  return new Acceptor(socket, options);
}

class Acceptor implements InboundAssociation {
  request: AssociationRequest | undefined;
  readonly #socket: Socket;
  readonly #options: InboundOptions;
  readonly #maxPduLength: number;
  readonly #engine: Engine;
  readonly #reader: PduReader;
  readonly #store: InboundStore;
  readonly #closed: Promise<void>;
  #messages: InboundMessages | undefined;
  #parsed: ParsedAssociationRequest | undefined;
  #phase: Phase = 'awaiting-request';
  /** Armed while we wait for the peer to open or to close. */
  #artim: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  #silentTicks = 0;
  #moved = 0;
  /** The last hold: what `drained` waits for besides the socket. */
  #atWork: Promise<void> = Promise.resolve();
  /** True while the reader waits for the peer to read its answers, not for us. */
  #waitingForPeer = false;

  constructor(socket: Socket, options: InboundOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#maxPduLength = options.maxPduLength ?? defaultMaxPduLength;
    if (this.#maxPduLength > maxAnnouncedPduLength || this.#maxPduLength < 4096) {
      throw new Failure(
        'invalid',
        `A maximum PDU length of ${this.#maxPduLength} is not within 4096 to ${maxAnnouncedPduLength}`,
      );
    }
    this.#store = new InboundStore(options.store);
    this.#reader = new PduReader(
      {
        maxPduLength: this.#maxPduLength,
        maxAssociatePduLength: options.maxAssociateRequestLength ?? defaultMaxAssociateRequestLength,
      },
      {
        pdu: (type, pdu) => this.#pdu(type, pdu),
        fragment: (contextId, control, bytes, end) => this.#fragment(contextId, control, bytes, end),
        fault: (reason, sentence) => this.#fail(abortSource.serviceProvider, reason, sentence),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
      },
    );
    this.#engine = new Engine(socket, {
      associationRequested: (association) => this.#answer(association),
      aborted: (source, reason) => this.#over('aborted', `The peer: ${abortSentence(source, reason)}`),
      failed: (error) => this.#fail(abortSource.serviceProvider, abortReason.invalidParameter, error.message),
    });
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    this.#listen();
  }

  get counters(): Readonly<StoreCounters> {
    return this.#store.counters;
  }

  abort(reason: string, code: AssociationRefusalCode = 'shutdown'): void {
    this.#fail(abortSource.serviceUser, abortReason.notSpecified, reason, code);
  }

  async notify(operation: OutgoingOperation, answerMs: number): Promise<OperationOutcome> {
    if (this.#messages === undefined || this.#phase !== 'established')
      throw new Failure('conflict', 'The association is not open any more');
    const answered = this.#messages.notify(operation);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const failure = new Failure('peer-unreachable', `The peer did not answer within ${answerMs} ms`);
      timer = setTimeout(() => reject(failure), answerMs);
    });
    // Cut after the time limit, it has nobody to tell.
    answered.catch(() => undefined);
    try {
      return await Promise.race([answered, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async drained(): Promise<void> {
    await this.#closed;
    await this.#atWork;
  }

  #listen(): void {
    const socket = this.#socket;
    const artimMs = this.#options.artimMs ?? defaultArtimMs;
    const idleMs = this.#options.idleTimeoutMs ?? defaultIdleTimeoutMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk);
      if (!this.#reader.held) release(chunk);
    });
    socket.on('error', (error) => this.#over('lost', error.message));
    socket.on('close', () => {
      clearTimeout(this.#artim);
      this.#over('lost', 'The peer closed the connection without a release');
    });
    this.#idle = setInterval(() => this.#lookForSilence(idleMs), idleMs / idleTicks);
    this.#artim = setTimeout(() => {
      const sentence = `No A-ASSOCIATE-RQ came within ${artimMs} ms (PS3.8 9.1.5)`;
      this.#fail(abortSource.serviceProvider, abortReason.notSpecified, sentence, 'silent');
    }, artimMs);
  }

  /**
   * A look every half of the limit at what moved, instead of socket.setTimeout: that counts our own slowness as
   * silence, and on Node 24 does not fire again when it is set anew from its own event.
   */
  #lookForSilence(idleMs: number): void {
    const moved = this.#socket.bytesRead - this.#socket.writableLength;
    const ourTurn = this.#reader.held && !this.#waitingForPeer;
    this.#silentTicks = ourTurn || moved !== this.#moved ? 0 : this.#silentTicks + 1;
    this.#moved = moved;
    if (this.#silentTicks < idleTicks) return;
    const sentence = `The peer was silent for ${idleMs} ms`;
    this.#fail(abortSource.serviceProvider, abortReason.notSpecified, sentence, 'silent');
  }

  #pdu(type: number, pdu: Buffer): Hold {
    if (type === pduType.abort) return this.#engine.deliver(pdu);
    if (type === pduType.associateRequest && this.#phase === 'awaiting-request') return this.#associate(pdu);
    if (type === pduType.releaseRequest && this.#phase === 'established' && !this.#messages?.underWay) {
      return this.#release();
    }
    const sentence = `A PDU of type 0x0${type} is not expected while the association is ${this.#phase} (PS3.8 9.2)`;
    return this.#fail(abortSource.serviceProvider, abortReason.unexpectedPdu, sentence);
  }

  #fragment(contextId: number, control: number, bytes: Buffer, end: boolean): Hold {
    if (this.#messages === undefined || this.#phase !== 'established') {
      const sentence = `P-DATA-TF is not expected while the association is ${this.#phase} (PS3.8 9.2)`;
      return this.#fail(abortSource.serviceProvider, abortReason.unexpectedPdu, sentence);
    }
    return this.#track(this.#messages.fragment(contextId, control, bytes, end));
  }

  #associate(pdu: Buffer): void {
    try {
      this.#parsed = parseAssociationRequest(pdu);
    } catch (error) {
      this.#fail(abortSource.serviceProvider, abortReason.invalidParameter, asFailure(error).message);
      return;
    }
    this.request = {
      ...this.#parsed.request,
      remoteAddress: this.#socket.remoteAddress ?? '',
      remotePort: this.#socket.remotePort ?? 0,
    };
    if (this.#parsed.reject) this.#reject(this.#parsed.reject);
    else this.#engine.deliver(this.#parsed.pdu);
  }

  #reject(rejection: Rejection): void {
    const { result, source, reason, sentence, code = rejectCode(rejection) } = rejection;
    this.#engine.sendAssociationReject(result, source, reason);
    const answer = rejectSentence(rejection);
    this.#options.onRefusal?.({ what: 'association', code, sentence, answer });
    this.#over('rejected', sentence);
  }

  /** The engine has read the request. What it would accept by itself and we do not do is taken out here. */
  #answer(association: EngineAssociation): void {
    const { request } = this;
    if (request === undefined) return;
    const admission = this.#options.admit(request);
    if ('reject' in admission) {
      this.#reject(admission.reject);
      return;
    }
    const { accepted, refusals } = answerContexts(association, (context) => this.#options.negotiate(context));
    clearTimeout(this.#artim);
    this.#phase = 'established';
    this.#messages = new InboundMessages({
      contexts: accepted,
      store: this.#store,
      valueLimit: pdvValueLimit(request.maxPduLength, this.#maxPduLength),
      send: (message) => {
        if (this.#socket.writable) this.#socket.write(message);
        return this.#drainedSocket();
      },
      deliver: (message) => {
        this.#engine.deliver(message);
        return this.#drainedSocket();
      },
      operate: this.#options.operate,
      fault: (reason, sentence) => this.#fail(abortSource.serviceProvider, reason, sentence),
      refused: (refused) => this.#options.onRefusal?.(refused),
    });
    for (const refusal of refusals) this.#options.onRefusal?.(refusal);
    this.#engine.accept(association, this.#maxPduLength);
    this.#options.onAccept?.(request);
  }

  /** A peer that sends requests and does not read the answers is not read from either. */
  #drainedSocket(): Hold {
    const socket = this.#socket;
    if (!socket.writableNeedDrain) return undefined;
    this.#waitingForPeer = true;
    return new Promise((resolve) => {
      const settle = () => {
        socket.off('drain', settle);
        socket.off('close', settle);
        this.#waitingForPeer = false;
        resolve();
      };
      socket.on('drain', settle);
      socket.on('close', settle);
    });
  }

  #release(): Hold {
    this.#phase = 'releasing';
    const waited = this.#options.beforeRelease?.();
    if (waited === undefined) return this.#released();
    return this.#track(
      waited.then(
        () => this.#released(),
        (error: unknown) => this.abort(asFailure(error).message, 'internal'),
      ),
    );
  }

  #released(): void {
    if (this.#phase !== 'releasing') return;
    this.#engine.sendAssociationReleaseResponse();
    this.#over('released', 'The peer released the association');
  }

  #track(hold: Hold): Hold {
    if (hold !== undefined) this.#atWork = hold;
    return hold;
  }

  #fail(source: number, reason: number, sentence: string, code = abortCode(reason)): undefined {
    if (this.#phase === 'over') return;
    if (this.#socket.writable) this.#socket.write(encodeAbort(source, reason));
    const answer = abortSentence(source, reason);
    this.#options.onRefusal?.({ what: 'association', code, sentence, answer });
    this.#over('aborted', sentence);
  }

  /** Once, whatever comes first. What the peer still sends is read and passed over, so that our answer reaches it. */
  #over(how: CloseReason, detail: string): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#reader.stop();
    clearTimeout(this.#artim);
    clearInterval(this.#idle);
    this.#messages?.cut(detail);
    const socket = this.#socket;
    if (!socket.destroyed) {
      const artimMs = this.#options.artimMs ?? defaultArtimMs;
      this.#artim = setTimeout(() => socket.destroy(), Math.min(artimMs, maxLingerMs));
      if (how !== 'released') socket.end();
      socket.resume();
    }
    this.#options.onClose?.(how, detail);
  }
}

/**
 * Gives a chunk's memory back at once, where it is the chunk's alone. Left to the garbage collector, the 64 KB of each
 * read made it run every 60 MB received, over everything the thread holds.
 */
function release({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
