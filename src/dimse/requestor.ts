/**
 * The requestor's side of an association (PS3.8 9.2): negotiated by the engine, its requests sent and answered one at a
 * time, its end told to everyone who waits. Made by outbound-association.ts on a connected socket; data sets leave by
 * outbound-store.ts, what the peer says is peer-commands.ts'.
 */

import type { Socket } from 'node:net';
import { VERIFICATION } from '../dicom/sop-class.ts';
import { IMPLICIT_LE } from '../dicom/transfer-syntax.ts';
import { asFailure, Failure } from '../failure.ts';
import { AcceptedContexts } from './accepted-contexts.ts';
import { type CommandSet, commandField, encodeCommandSet } from './command-set.ts';
import { connectionFault } from './connection-fault.ts';
import { Engine, type EngineAssociation } from './engine.ts';
import { createLeaving, type Leaving } from './leaving.ts';
import {
  encodeOperation,
  type OperationHandler,
  type OperationOutcome,
  type OutgoingOperation,
  outcomeOf,
} from './operation.ts';
import { echoCommand, storeCommand, storeResponse } from './outbound-commands.ts';
import type {
  OutboundAssociation,
  OutboundObject,
  OutboundTimeouts,
  StoreResponse,
} from './outbound-requests.ts';
import { sendDataSet } from './outbound-store.ts';
import {
  type AssociationReject,
  abortReason,
  abortSentence,
  abortSource,
  encodeAbort,
  encodeCommandMessage,
  encodeReleaseRequest,
  pduType,
  pdvValueLimit,
  rejectCode,
  rejectResult,
  rejectSentence,
} from './pdu.ts';
import { type Hold, PduReader } from './pdu-reader.ts';
import { PeerCommands } from './peer-commands.ts';
import { type ContextProposal, checkUid } from './plan-contexts.ts';
import { statusClass } from './status.ts';

export interface RequestorParts {
  /** "PACS at host:port", for the sentences. */
  peer: string;
  maxPduLength: number;
  contexts: readonly ContextProposal[];
  timeouts: Required<OutboundTimeouts>;
  /** The peer's own requests. */
  operate?: OperationHandler | undefined;
}

const maxAssociatePduLength = 256 * 1024;
/** For the 4 MB that a kernel may hold, over 64 kbit/s. */
const longestUnderWayMs = 600_000;
/** After the end the peer gets this long to read what we said last. */
const lingerMs = 2_000;

const takesIt = (status = -1): boolean => ['success', 'warning'].includes(statusClass(status));

/** Someone who waits for the peer, and what it waits for. */
interface Waiter {
  resolve(command: CommandSet): void;
  reject(failure: Failure): void;
}

export class Requestor implements OutboundAssociation {
  readonly #socket: Socket;
  readonly #peer: string;
  readonly #maxPduLength: number;
  readonly #timeouts: Required<OutboundTimeouts>;
  readonly #engine: Engine;
  readonly #reader: PduReader;
  readonly #proposed: readonly ContextProposal[];
  readonly #contexts = new AcceptedContexts();
  #callingAeTitle = '';
  #valueLimit = 0;
  #messageId = 0;
  #phase: 'associating' | 'open' | 'releasing' | 'over' = 'associating';
  #failure: Failure | undefined;
  #associated: { resolve(): void; reject(failure: Failure): void } | undefined;
  readonly #waiting = new Map<number, Waiter>();
  #releasedBy: (() => void) | undefined;
  #drain: { resolve(): void; reject(failure: Failure): void } | undefined;
  #busy = false;
  readonly #commands: PeerCommands;

  constructor(socket: Socket, { peer, maxPduLength, contexts, timeouts, operate }: RequestorParts) {
    this.#socket = socket;
    this.#peer = peer;
    this.#proposed = contexts;
    this.#maxPduLength = maxPduLength;
    this.#timeouts = timeouts;
    this.#commands = new PeerCommands({
      contexts: this.#contexts,
      operate,
      response: (command) => this.#response(command),
      say: (contextId, response) => this.#say(contextId, response),
      broken: (reason, sentence) => this.#protocolError(reason, sentence),
    });
    this.#reader = new PduReader(
      { maxPduLength: this.#maxPduLength, maxAssociatePduLength },
      {
        pdu: (type, pdu) => this.#pdu(type, pdu),
        fragment: (contextId, control, bytes, end) => this.#fragment(contextId, control, bytes, end),
        fault: (reason, sentence) => this.#protocolError(reason, sentence),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
      },
    );
    this.#engine = new Engine(socket, {
      associationAccepted: (association) => this.#established(association),
      associationRejected: (reject) => this.#rejected(reject),
      aborted: (source, reason) => this.#over(this.#unreachable(abortSentence(source, reason))),
      failed: (error) => this.#protocolError(abortReason.invalidParameter, error.message),
    });
    socket.on('data', (chunk: Buffer) => this.#reader.push(chunk));
    socket.on('error', (error) => this.#over(this.#unreachable(this.#cut(connectionFault(error)), error)));
    socket.on('close', () =>
      this.#over(this.#unreachable(this.#cut('the connection was closed without a release'))),
    );
    socket.on('drain', () => this.#drain?.resolve());
  }

  get open(): boolean {
    return this.#phase === 'open';
  }

  /** Who waits for a TLS handshake, or does not take calls from our address, hangs up and says nothing. */
  #cut(words: string): string {
    if (this.#phase !== 'associating') return words;
    const remedy =
      'encrypted' in this.#socket
        ? 'does it know our address?'
        : 'does it want TLS there, or not know our address?';
    return `${words}, in answer to the association request: ${remedy}`;
  }

  async associate(association: EngineAssociation): Promise<void> {
    this.#callingAeTitle = association.getCallingAeTitle();
    const { associateMs } = this.#timeouts;
    const answered = new Promise<void>((resolve, reject) => {
      this.#associated = { resolve, reject };
    });
    // The peer may end it while we still ask: the wait below, or the engine, reports it.
    answered.catch(() => undefined);
    try {
      this.#engine.sendAssociationRequest(association);
    } catch (error) {
      // Nothing was said yet: the connection must not stay open with nobody to close it.
      this.#over(asFailure(error));
      throw error;
    }
    await this.#within(associateMs, 'to the A-ASSOCIATE-RQ', answered);
  }

  accepted(abstractSyntax: string, transferSyntaxUid: string): number | undefined {
    return this.#contexts.id(abstractSyntax, transferSyntaxUid);
  }

  refusal(abstractSyntax: string, transferSyntaxUid: string): string {
    return this.#contexts.refusal(abstractSyntax, transferSyntaxUid);
  }

  async store(object: OutboundObject, bytes: AsyncIterable<Uint8Array>): Promise<StoreResponse> {
    checkUid('SOP Instance UID of an object', object.sopInstanceUid);
    const contextId = this.#contextFor(object.sopClassUid, [object.transferSyntaxUid]).id;
    const response = await this.#request(contextId, storeCommand(object), (command) =>
      sendDataSet(command, bytes, contextId, this.#valueLimit, object.length, (parts) => this.#write(parts)),
    );
    return storeResponse(response);
  }

  async echo(): Promise<number> {
    const { id } = this.#contextFor(VERIFICATION, this.#proposedFor(VERIFICATION));
    const response = await this.#request(id, echoCommand);
    return response.Status ?? -1;
  }

  async request(operation: OutgoingOperation): Promise<OperationOutcome> {
    const { sopClassUid } = operation;
    const context = this.#contextFor(sopClassUid, this.#proposedFor(sopClassUid));
    return outcomeOf(
      await this.#exchange((messageId) =>
        this.#write([encodeOperation(operation, messageId, context, this.#valueLimit)]),
      ),
    );
  }

  async release(): Promise<void> {
    await this.#commands.answering;
    if (this.#phase !== 'open' || this.#busy) {
      this.abort();
      return;
    }
    this.#phase = 'releasing';
    const released = new Promise<void>((resolve) => {
      this.#releasedBy = resolve;
    });
    this.#socket.write(encodeReleaseRequest());
    const timer = setTimeout(() => this.abort(), this.#timeouts.releaseMs);
    await released;
    clearTimeout(timer);
  }

  abort(): void {
    if (this.#phase === 'over') return;
    this.#sendAbort(abortSource.serviceUser, abortReason.notSpecified);
    this.#over(new Failure('conflict', `The association with ${this.#peer} was aborted by us`));
  }

  #proposedFor(sopClassUid: string): string[] {
    return this.#proposed
      .filter(({ abstractSyntax }) => abstractSyntax === sopClassUid)
      .flatMap(({ transferSyntaxes }) => transferSyntaxes);
  }

  /** The context that was accepted in the first of these. @throws Failure 'peer-refused' */
  #contextFor(
    abstractSyntax: string,
    syntaxes: readonly string[],
  ): { id: number; transferSyntaxUid: string } {
    for (const transferSyntaxUid of syntaxes) {
      const id = this.accepted(abstractSyntax, transferSyntaxUid);
      if (id !== undefined) return { id, transferSyntaxUid };
    }
    const why = this.refusal(abstractSyntax, syntaxes[0] ?? IMPLICIT_LE);
    throw new Failure('peer-refused', `${this.#peer} does not take ${why}`);
  }

  /** One request and its response; `send` writes the command with what follows it. */
  #request(
    contextId: number,
    request: CommandSet,
    send: (command: Buffer) => Promise<void> | undefined = (command) => this.#write([command]),
  ): Promise<CommandSet> {
    return this.#exchange((messageId) => {
      const command = encodeCommandSet({ ...request, MessageID: messageId });
      return send(encodeCommandMessage(contextId, command, this.#valueLimit));
    });
  }

  /** Sends under a new message ID and waits for the response. */
  async #exchange(send: (messageId: number) => Promise<void> | undefined): Promise<CommandSet> {
    if (this.#failure) throw this.#failure;
    if (this.#phase !== 'open')
      throw new Failure('conflict', `The association with ${this.#peer} is ${this.#phase}`);
    if (this.#busy)
      throw new Failure('conflict', `A request is under way on the association with ${this.#peer}`);
    this.#busy = true;
    this.#messageId = (this.#messageId % 0xffff) + 1;
    const messageId = this.#messageId;
    const response = new Promise<CommandSet>((resolve, reject) =>
      this.#waiting.set(messageId, { resolve, reject }),
    );
    // The peer may abort while we still write: the wait below, or the write, reports it.
    response.catch(() => undefined);
    const left = createLeaving(this.#socket);
    const checked = response.then((answer) => this.#checkTime(answer, left));
    checked.catch(() => undefined);
    const began = performance.now();
    try {
      await send(messageId);
      left.isWritten = true;
      const sentMs = performance.now() - began;
      const { responseMs } = this.#timeouts;
      // Over a slow network some of it still lies in the kernels, and goes no faster than what went before.
      const underWayMs = sentMs > responseMs ? Math.min(Math.round(sentMs), longestUnderWayMs) : 0;
      const waitMs = responseMs + underWayMs;
      const answer = await this.#within(waitMs, `to message ${messageId}`, checked);
      // A refusal may come early. Who gave us the bytes may use their memory again once it has it.
      if (!left.isOver) await this.#within(waitMs, 'while it does not take the data set', left.over());
      return answer;
    } catch (error) {
      // Half a data set cannot be taken back.
      this.#sendAbort(abortSource.serviceUser, abortReason.notSpecified);
      this.#over(asFailure(error));
      throw error;
    } finally {
      this.#waiting.delete(messageId);
      this.#busy = false;
    }
  }

  /** A peer that has something says so when it has all of it: what it took before that is no proof of anything. */
  async #checkTime(answer: CommandSet, left: Leaving): Promise<CommandSet> {
    if (left.isOver || !takesIt(answer.Status)) return answer;
    await left.turn();
    if (left.isOver) return answer;
    this.#protocolError(
      abortReason.unexpectedParameter,
      `it answered message ${answer.MessageIDBeingRespondedTo} before it had all of it`,
    );
    throw this.#failure!;
  }

  /** Settles `answered`, or ends the association when the peer says nothing for so long. */
  async #within<T>(ms: number, what: string, answered: Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#sendAbort(abortSource.serviceUser, abortReason.notSpecified);
      this.#over(this.#unreachable(`no answer ${what} within ${ms} ms`));
    }, ms);
    try {
      return await answered;
    } finally {
      clearTimeout(timer);
    }
  }

  #write(parts: Uint8Array[]): Promise<void> | undefined {
    if (this.#failure) throw this.#failure;
    const socket = this.#socket;
    socket.cork();
    for (const part of parts) socket.write(part);
    socket.uncork();
    if (!socket.writableNeedDrain) return undefined;
    const drained = new Promise<void>((resolve, reject) => {
      this.#drain = { resolve, reject };
    });
    return this.#whileMoving(drained);
  }

  /** However slow the way to the peer is: as long as it takes any bytes at all it is there. */
  async #whileMoving(drained: Promise<void>): Promise<void> {
    const { responseMs } = this.#timeouts;
    const still = (): void => {
      this.#sendAbort(abortSource.serviceUser, abortReason.notSpecified);
      this.#over(this.#unreachable(`it took nothing of the data set for ${responseMs} ms`));
    };
    // Node looks whether the kernel took anything of a write under way before it calls a socket idle.
    this.#socket.setTimeout(responseMs, still);
    try {
      await drained;
    } finally {
      this.#socket.setTimeout(0, still);
    }
  }

  #pdu(type: number, pdu: Buffer): undefined {
    const associating = this.#phase === 'associating';
    if (type === pduType.abort) this.#engine.deliver(pdu);
    else if (associating && (type === pduType.associateAccept || type === pduType.associateReject))
      this.#engine.deliver(pdu);
    else if (type === pduType.releaseResponse && this.#phase === 'releasing') this.#over(undefined);
    else if (type === pduType.releaseRequest && !associating) {
      this.#engine.sendAssociationReleaseResponse();
      this.#over(this.#unreachable('it released the association'));
    } else this.#protocolError(abortReason.unexpectedPdu, `PDU type 0x0${type} was not expected (PS3.8 9.2)`);
  }

  #fragment(contextId: number, control: number, bytes: Buffer, end: boolean): Hold {
    if (this.#phase !== 'open' && this.#phase !== 'releasing') {
      this.#protocolError(abortReason.unexpectedPdu, 'P-DATA-TF came before the association (PS3.8 9.2)');
      return;
    }
    return this.#commands.fragment(contextId, control, bytes, end);
  }

  #say(contextId: number, response: CommandSet): void {
    // Behind our A-RELEASE-RQ nothing more may be said (PS3.8 9.2, Sta7); what came is noted all the same.
    if (this.#phase !== 'open') return;
    this.#socket.write(encodeCommandMessage(contextId, encodeCommandSet(response), this.#valueLimit));
  }

  #response(command: CommandSet): void {
    const messageId = command.MessageIDBeingRespondedTo ?? -1;
    const waiter = this.#waiting.get(messageId);
    if (
      ((command.CommandField ?? 0) & commandField.responseBit) === 0 ||
      command.Status === undefined ||
      !waiter
    ) {
      this.#protocolError(
        abortReason.unexpectedParameter,
        `a command that answers no request of ours (${messageId})`,
      );
      return;
    }
    waiter.resolve(command);
  }

  #established(association: EngineAssociation): void {
    this.#phase = 'open';
    this.#valueLimit = pdvValueLimit(association.getMaxPduLength(), this.#maxPduLength);
    if (this.#valueLimit < 1) {
      this.#protocolError(
        abortReason.invalidParameter,
        'its Maximum Length Received leaves no room for a PDV',
      );
      return;
    }
    this.#contexts.read(association, this.#proposed);
    this.#associated?.resolve();
  }

  #rejected(reject: AssociationReject): void {
    const kind = reject.result === rejectResult.transient ? 'peer-unreachable' : 'peer-refused';
    // What the peer's administrator must know to let us in.
    const as = rejectCode(reject) === 'calling-ae' ? ` (we called as ${this.#callingAeTitle})` : '';
    this.#over(new Failure(kind, `${this.#peer}: the association was ${rejectSentence(reject)}${as}`));
  }

  #unreachable(why: string, cause?: unknown): Failure {
    return new Failure('peer-unreachable', `${this.#peer}: ${why}`, { cause });
  }

  #protocolError(reason: number, what: string): void {
    this.#sendAbort(abortSource.serviceProvider, reason);
    const fault = this.#phase === 'associating' ? 'it does not answer in DICOM' : 'it broke the protocol';
    this.#over(this.#unreachable(`${fault}: ${what}`));
  }

  #sendAbort(source: number, reason: number): void {
    if (this.#phase !== 'over' && this.#socket.writable) this.#socket.write(encodeAbort(source, reason));
  }

  /** Once: everyone who waits learns why. Without a failure it was released. */
  #over(failure: Failure | undefined): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#failure = failure ?? new Failure('conflict', `The association with ${this.#peer} was released`);
    this.#reader.stop();
    this.#associated?.reject(this.#failure);
    this.#drain?.reject(this.#failure);
    for (const waiter of this.#waiting.values()) waiter.reject(this.#failure);
    this.#releasedBy?.();
    this.#socket.end();
    this.#socket.resume();
    const linger = setTimeout(() => this.#socket.destroy(), lingerMs);
    this.#socket.once('close', () => clearTimeout(linger));
  }
}
