/**
 * What the peer says on an association that we opened: commands put together from their fragments (PS3.8 E.2), responses
 * handed to who waits for them, the peer's own requests (N-EVENT-REPORT) answered. Fed by requestor.ts.
 */
import { asFailure } from '../failure.ts';
import type { AcceptedContexts } from './accepted-contexts.ts';
import { type CommandSet, commandField, decodeCommandSet, noDataSet } from './command-set.ts';
import { IncomingOperation, type OperationHandler, operationKind } from './operation.ts';
import { abortReason, pdvIsCommand, pdvIsLast } from './pdu.ts';
import type { Hold } from './pdu-reader.ts';
import { errorComment } from './status.ts';

export interface PeerCommandsParts {
  contexts: Pick<AcceptedContexts, 'ofId'>;
  /** Answers the peer's requests; without it they are none that we expect. */
  operate: OperationHandler | undefined;
  /** What is no request that we answer. */
  response(command: CommandSet): void;
  /** Our response to a request of the peer's. */
  say(contextId: number, response: CommandSet): void;
  broken(reason: number, sentence: string): void;
}

/** Responses are short; this is for the careless. */
const maxCommandLength = 64 * 1024;

export class PeerCommands {
  readonly #parts: PeerCommandsParts;
  #command: Buffer[] = [];
  #commandLength = 0;
  /** The peer's request whose data set is on its way. */
  #incoming: { contextId: number; command: CommandSet; operation: IncomingOperation } | undefined;
  #answering: Promise<void> | undefined;

  constructor(parts: PeerCommandsParts) {
    this.#parts = parts;
  }

  /** Until the peer's request is answered: a release waits for that. */
  get answering(): Promise<void> | undefined {
    return this.#answering;
  }

  /** A piece of a PDV's value; `end`: its last. `bytes` is a view that is gone after this call. */
  fragment(contextId: number, control: number, bytes: Buffer, end: boolean): Hold {
    const isCommand = (control & pdvIsCommand) !== 0;
    if (this.#incoming && !isCommand && contextId === this.#incoming.contextId) {
      this.#incoming.operation.push(bytes);
      return end && (control & pdvIsLast) !== 0 ? this.#answer(true) : undefined;
    }
    if (!isCommand || this.#incoming || this.#commandLength + bytes.length > maxCommandLength) {
      this.#parts.broken(abortReason.unexpectedParameter, 'a response with a data set, or without an end');
      return;
    }
    this.#command.push(Buffer.from(bytes));
    this.#commandLength += bytes.length;
    if (!end || (control & pdvIsLast) === 0) return;
    const whole = Buffer.concat(this.#command);
    this.#command = [];
    this.#commandLength = 0;
    try {
      return this.#received(contextId, decodeCommandSet(whole));
    } catch (error) {
      this.#parts.broken(abortReason.invalidParameter, asFailure(error).message);
    }
  }

  #received(contextId: number, command: CommandSet): Hold {
    const { contexts, operate, response } = this.#parts;
    const context = contexts.ofId(contextId);
    const kind = context && operationKind(command, context.abstractSyntax);
    if (!kind || !operate || command.MessageID === undefined) {
      response(command);
      return;
    }
    const operation = new IncomingOperation(kind, command, context.transferSyntaxUid);
    this.#incoming = { contextId, command, operation };
    return command.CommandDataSetType === noDataSet ? this.#answer(false) : undefined;
  }

  /** The peer's request is whole. */
  #answer(hasDataSet: boolean): Promise<void> {
    this.#answering = this.#answerNow(hasDataSet);
    return this.#answering;
  }

  async #answerNow(hasDataSet: boolean): Promise<void> {
    const { contextId, command, operation } = this.#incoming!;
    this.#incoming = undefined;
    const outcome = await operation.answer(this.#parts.operate!, hasDataSet);
    const response: CommandSet = {
      CommandField: (command.CommandField ?? 0) | commandField.responseBit,
      MessageIDBeingRespondedTo: command.MessageID ?? 0,
      CommandDataSetType: noDataSet,
      Status: outcome.status,
    };
    if (command.AffectedSOPClassUID) response.AffectedSOPClassUID = command.AffectedSOPClassUID;
    if (command.AffectedSOPInstanceUID) response.AffectedSOPInstanceUID = command.AffectedSOPInstanceUID;
    if (outcome.errorComment) response.ErrorComment = errorComment(outcome.errorComment);
    this.#parts.say(contextId, response);
  }
}
