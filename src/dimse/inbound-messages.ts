/**
 * Puts PDV fragments together into DIMSE messages (PS3.7 6.3, PS3.8 Annex E) and answers them, in their order.
 * Called by inbound-association.ts for every fragment; C-STORE data goes to inbound-store.ts as it comes,
 * other known commands go to the engine, the rest is refused in words.
 */
import { isUid } from '../dicom/uid.ts';
import { asFailure, Failure } from '../failure.ts';
import {
  type CommandSet,
  commandField,
  decodeCommandSet,
  encodeCommandSet,
  noDataSet,
} from './command-set.ts';
import type { InboundStore, StoreOutcome, StoreRequest } from './inbound-store.ts';
import {
  IncomingOperation,
  type OperationHandler,
  type OperationOutcome,
  type OutgoingOperation,
  operationKind,
} from './operation.ts';
import { OwnRequests } from './own-requests.ts';
import { abortReason, encodeCommandMessage, pdvIsCommand, pdvIsLast } from './pdu.ts';
import type { Hold } from './pdu-reader.ts';
import type { ObjectRefusalCode } from './refusal-code.ts';
import { errorComment, namesOffendingElement, status, statusClass } from './status.ts';

/** A command set is a few hundred bytes; this bounds what a peer can make us gather. */
const maxCommandSetLength = 64 * 1024;

export interface AcceptedContext {
  id: number;
  abstractSyntax: string;
  transferSyntaxUid: string;
}

export interface InboundMessagesParts {
  contexts: ReadonlyMap<number, AcceptedContext>;
  store: InboundStore;
  /** PDV value bytes that fit a PDU of the peer's. */
  valueLimit: number;
  /** Writes once; a promise when the peer does not read its answers. */
  send(message: Buffer): Hold;
  /** Hands a whole command without a data set to the engine as a P-DATA-TF PDU; it answers by itself. */
  deliver(pdu: Buffer): Hold;
  /** N-ACTION and N-EVENT-REPORT; without it they are refused like any other unknown command. */
  operate?: OperationHandler | undefined;
  fault(reason: number, sentence: string): void;
  /** Told before the answer is sent. */
  refused(refused: RefusedMessage): void;
}

/** A message that is answered with a failure, for the list of refusals. */
export interface RefusedMessage {
  what: 'object' | 'operation';
  code: ObjectRefusalCode | 'unrecognized' | 'not-done';
  status: number;
  sentence: string;
  sopClassUid?: string | undefined;
  sopInstanceUid?: string | undefined;
  transferSyntaxUid: string;
  cause?: string | undefined;
}

/** The message under way once its command is whole and a data set follows. */
interface Following {
  context: AcceptedContext;
  command: CommandSet;
  /** 'store': the data set is of a C-STORE under way. A command set is answered behind a data set that is passed over. */
  answer: CommandSet | IncomingOperation | 'store' | 'none';
}

export class InboundMessages {
  readonly #parts: InboundMessagesParts;
  readonly #commandParts: Buffer[] = [];
  #commandLength = 0;
  #commandContextId = 0;
  #following: Following | undefined;
  readonly #own = new OwnRequests();

  constructor(parts: InboundMessagesParts) {
    this.#parts = parts;
  }

  /** Whether a message has begun and is not whole. */
  get underWay(): boolean {
    return this.#following !== undefined || this.#commandLength > 0;
  }

  fragment(contextId: number, control: number, bytes: Buffer, end: boolean): Hold {
    const isCommand = (control & pdvIsCommand) !== 0;
    const last = end && (control & pdvIsLast) !== 0;
    if (this.#following !== undefined) {
      const { context } = this.#following;
      if (isCommand) {
        return this.#fault(
          abortReason.unexpectedParameter,
          'A command came before the data set under way was whole',
        );
      }
      if (contextId !== context.id) {
        return this.#fault(
          abortReason.invalidParameter,
          `A data set fragment came on presentation context ${contextId}, its message is on ${context.id}`,
        );
      }
      return this.#dataSetFragment(this.#following, bytes, last);
    }
    if (!isCommand) {
      return this.#fault(
        abortReason.unexpectedParameter,
        'A data set fragment came without a command before it',
      );
    }
    return this.#commandFragment(contextId, bytes, last);
  }

  #commandFragment(contextId: number, bytes: Buffer, last: boolean): Hold {
    const context = this.#parts.contexts.get(contextId);
    if (context === undefined) {
      return this.#fault(
        abortReason.invalidParameter,
        `A command came on presentation context ${contextId}, which was not accepted`,
      );
    }
    if (this.#commandLength > 0 && contextId !== this.#commandContextId) {
      return this.#fault(
        abortReason.invalidParameter,
        `A command fragment came on presentation context ${contextId}, its command is on ${this.#commandContextId}`,
      );
    }
    if (this.#commandLength + bytes.length > maxCommandSetLength) {
      return this.#fault(
        abortReason.invalidParameter,
        `A command set is longer than ${maxCommandSetLength} bytes`,
      );
    }
    let whole = bytes;
    if (!last || this.#commandLength > 0) {
      this.#commandContextId = contextId;
      this.#commandLength += bytes.length;
      // A copy: the view is gone after this call.
      this.#commandParts.push(Buffer.from(bytes));
      if (!last) return undefined;
      whole = Buffer.concat(this.#commandParts);
      this.#commandParts.length = 0;
      this.#commandLength = 0;
    }
    try {
      return this.#command(context, decodeCommandSet(whole), whole);
    } catch (error) {
      return this.#fault(abortReason.invalidParameter, asFailure(error).message);
    }
  }

  #command(context: AcceptedContext, command: CommandSet, bytes: Buffer): Hold {
    const { CommandField: field, MessageID: messageId } = command;
    if (field === undefined) {
      return this.#fault(abortReason.invalidParameter, 'A command set has no (0000,0100) CommandField');
    }
    const hasDataSet = command.CommandDataSetType !== noDataSet;
    if ((field & commandField.responseBit) !== 0) {
      if (this.#own.answered(command)) {
        // What it says beside its status is of no use to us.
        if (hasDataSet) this.#following = { context, command, answer: 'none' };
        return undefined;
      }
      return this.#fault(
        abortReason.invalidParameter,
        `A response (${hex(field)}) came where no request was sent`,
      );
    }
    if (field === commandField.cancelRequest) {
      // Nothing runs that could be cancelled, and a C-CANCEL has no response (PS3.7 9.3.2.3).
      if (hasDataSet) this.#following = { context, command, answer: 'none' };
      return undefined;
    }
    if (messageId === undefined) {
      return this.#fault(abortReason.invalidParameter, 'A request has no (0000,0110) MessageID');
    }
    if (field === commandField.storeRequest)
      return this.#storeRequest(context, command, messageId, hasDataSet);
    if (field === commandField.echoRequest && !hasDataSet) {
      // The engine takes a PDU of any length from us.
      return this.#parts.deliver(encodeCommandMessage(context.id, bytes, bytes.length));
    }
    const kind = operationKind(command, context.abstractSyntax);
    if (kind !== undefined && this.#parts.operate) {
      const operation = new IncomingOperation(kind, command, context.transferSyntaxUid);
      if (!hasDataSet) return this.#operate(context, command, operation, false);
      this.#following = { context, command, answer: operation };
      return undefined;
    }
    const words = `Command field ${hex(field)} is not served here`;
    const answer = response(command, { status: status.unrecognizedOperation, errorComment: words });
    this.#parts.refused({
      what: 'operation',
      code: 'unrecognized',
      status: status.unrecognizedOperation,
      sentence: words,
      sopClassUid: context.abstractSyntax,
      transferSyntaxUid: context.transferSyntaxUid,
    });
    if (!hasDataSet) return this.#send(context, answer);
    this.#following = { context, command, answer };
    return undefined;
  }

  #storeRequest(context: AcceptedContext, command: CommandSet, messageId: number, hasDataSet: boolean): Hold {
    const refusal = storeRefusal(context, command, hasDataSet);
    if (refusal !== undefined) {
      const answer = this.#answer(context, command, refusal);
      this.#parts.store.counters.objectsRefused++;
      if (!hasDataSet) return this.#send(context, answer);
      this.#following = { context, command, answer };
      return undefined;
    }
    const request: StoreRequest = {
      affectedSopClassUid: command.AffectedSOPClassUID ?? '',
      affectedSopInstanceUid: command.AffectedSOPInstanceUID ?? '',
      transferSyntaxUid: context.transferSyntaxUid,
      messageId,
      presentationContextId: context.id,
      priority: command.Priority ?? 0,
    };
    if (command.MoveOriginatorApplicationEntityTitle) {
      request.moveOriginatorAeTitle = command.MoveOriginatorApplicationEntityTitle;
    }
    if (command.MoveOriginatorMessageID !== undefined) {
      request.moveOriginatorMessageId = command.MoveOriginatorMessageID;
    }
    this.#following = { context, command, answer: 'store' };
    this.#parts.store.begin(request);
    return undefined;
  }

  #dataSetFragment(following: Following, bytes: Buffer, last: boolean): Hold {
    const { context, command, answer } = following;
    if (answer instanceof IncomingOperation) {
      answer.push(bytes);
      return last ? this.#operate(context, command, answer, true) : undefined;
    }
    if (answer !== 'store') {
      if (!last) return undefined;
      this.#following = undefined;
      return answer === 'none' ? undefined : this.#send(context, answer);
    }
    const written = this.#parts.store.data(bytes);
    if (!last) return written;
    if (written !== undefined) return written.then(() => this.#endOfObject(context, command));
    return this.#endOfObject(context, command);
  }

  #endOfObject(context: AcceptedContext, command: CommandSet): Hold {
    // Cleared by an abort while the last write was under way.
    if (this.#following === undefined) return undefined;
    this.#following = undefined;
    const outcome = this.#parts.store.end();
    if (!(outcome instanceof Promise)) return this.#send(context, this.#answer(context, command, outcome));
    return outcome.then((settled) => this.#send(context, this.#answer(context, command, settled)));
  }

  async #operate(
    context: AcceptedContext,
    command: CommandSet,
    operation: IncomingOperation,
    hasDataSet: boolean,
  ): Promise<void> {
    const outcome = await operation.answer(this.#parts.operate!, hasDataSet);
    this.#following = undefined;
    if (statusClass(outcome.status) !== 'success')
      this.#parts.refused({
        what: 'operation',
        code: 'not-done',
        status: outcome.status,
        sentence: outcome.errorComment ?? '',
        sopClassUid: context.abstractSyntax,
        transferSyntaxUid: context.transferSyntaxUid,
      });
    await this.#send(context, response(command, outcome));
  }

  /**
   * A request of ours on the peer's association, between its messages.
   * @throws Failure 'unavailable' when the peer is in the middle of a message; 'peer-refused' without an accepted context
   */
  async notify(operation: OutgoingOperation): Promise<OperationOutcome> {
    if (this.underWay) throw new Failure('unavailable', 'The peer is in the middle of a message');
    const context = [...this.#parts.contexts.values()].find(
      ({ abstractSyntax }) => abstractSyntax === operation.sopClassUid,
    );
    if (!context) throw new Failure('peer-refused', 'The association has no presentation context for it');
    return this.#own.send(operation, context, this.#parts.valueLimit, (message) => {
      void this.#parts.send(message);
    });
  }

  /** The C-STORE-RSP; an object that is not kept is told of first. */
  #answer(context: AcceptedContext, command: CommandSet, outcome: StoreOutcome): CommandSet {
    const kept = statusClass(outcome.status);
    if (kept !== 'success' && kept !== 'warning') {
      this.#parts.refused({
        what: 'object',
        code: outcome.refusal?.code ?? 'internal',
        status: outcome.status,
        sentence: outcome.errorComment ?? '',
        sopClassUid: command.AffectedSOPClassUID ?? context.abstractSyntax,
        sopInstanceUid: command.AffectedSOPInstanceUID,
        transferSyntaxUid: context.transferSyntaxUid,
        cause: outcome.refusal?.cause,
      });
    }
    return response(command, outcome);
  }

  /** The association is over: an object under way is dropped. */
  cut(reason: string): void {
    this.#following = undefined;
    this.#parts.store.cut(reason);
    this.#own.cut(reason);
  }

  #send(context: AcceptedContext, answer: CommandSet): Hold {
    return this.#parts.send(
      encodeCommandMessage(context.id, encodeCommandSet(answer), this.#parts.valueLimit),
    );
  }

  #fault(reason: number, sentence: string): undefined {
    this.#parts.fault(reason, sentence);
  }
}

/** What the command alone makes impossible (PS3.7 9.1.1.1, 9.3.1.1). */
function storeRefusal(
  context: AcceptedContext,
  command: CommandSet,
  hasDataSet: boolean,
): StoreOutcome | undefined {
  if (command.AffectedSOPClassUID !== context.abstractSyntax) {
    return {
      status: status.sopClassNotSupported,
      errorComment: 'AffectedSOPClassUID is not the abstract syntax of its context',
      refusal: { code: 'sop-class' },
    };
  }
  const sopInstanceUid = command.AffectedSOPInstanceUID ?? '';
  if (!isUid(sopInstanceUid)) {
    const words = sopInstanceUid === '' ? 'is missing or empty' : 'is not a UID';
    return {
      status: status.invalidSopInstance,
      errorComment: `(0000,1000) AffectedSOPInstanceUID ${words}`,
      refusal: { code: 'command' },
    };
  }
  if (!hasDataSet) {
    return {
      status: status.cannotUnderstand,
      errorComment: '(0000,0800) CommandDataSetType says that no data set follows',
      offendingElement: ['(0000,0800)'],
      refusal: { code: 'command' },
    };
  }
  return undefined;
}

/** A response without a data set to any request (PS3.7 9.3, 10.3). */
function response(request: CommandSet, outcome: StoreOutcome | OperationOutcome): CommandSet {
  const answer: CommandSet = {
    CommandField: (request.CommandField ?? 0) | commandField.responseBit,
    MessageIDBeingRespondedTo: request.MessageID ?? 0,
    CommandDataSetType: noDataSet,
    Status: outcome.status,
  };
  const sopClassUid = request.AffectedSOPClassUID ?? request.RequestedSOPClassUID;
  const sopInstanceUid = request.AffectedSOPInstanceUID ?? request.RequestedSOPInstanceUID;
  if (sopClassUid) answer.AffectedSOPClassUID = sopClassUid;
  if (sopInstanceUid) answer.AffectedSOPInstanceUID = sopInstanceUid;
  if (outcome.errorComment) answer.ErrorComment = errorComment(outcome.errorComment);
  if (
    'offendingElement' in outcome &&
    outcome.offendingElement?.length &&
    namesOffendingElement(outcome.status)
  ) {
    answer.OffendingElement = outcome.offendingElement;
  }
  return answer;
}

function hex(field: number): string {
  return `0x${field.toString(16).toUpperCase().padStart(4, '0')}`;
}
