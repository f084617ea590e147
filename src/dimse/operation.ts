/**
 * N-ACTION and N-EVENT-REPORT (PS3.7 10.1) as one value, whichever side sends them: the command's particulars and the
 * data set behind it, gathered whole up to a bound. Used by inbound-messages.ts and requestor.ts;
 * what a data set of Storage Commitment says is storage-commitment.ts'.
 */
import { STORAGE_COMMITMENT } from '../dicom/sop-class.ts';
import { Failure } from '../failure.ts';
import { type CommandSet, commandField, encodeCommandSet } from './command-set.ts';
import { encodeCommandMessage, encodeDataMessage } from './pdu.ts';
import { status } from './status.ts';

export interface Operation {
  /** 'action': N-ACTION, asked of an SCP. 'event': N-EVENT-REPORT, told to an SCU. */
  readonly kind: 'action' | 'event';
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  /** (0000,1008) ActionTypeID or (0000,1002) EventTypeID; -1 when it is missing. */
  readonly typeId: number;
  /** Of the presentation context it came on. */
  readonly transferSyntaxUid: string;
  /** Undefined when none came. */
  readonly dataSet: Buffer | undefined;
}

export interface OperationOutcome {
  readonly status: number;
  /** A sentence; cut to an Error Comment on the wire. Never patient data. */
  readonly errorComment?: string;
}

/** Must not reject: a fault is an outcome, too. */
export type OperationHandler = (operation: Operation) => Promise<OperationOutcome>;

/** What is to be sent; the data set in the transfer syntax that the association has for it. */
export interface OutgoingOperation
  extends Pick<Operation, 'kind' | 'sopClassUid' | 'sopInstanceUid' | 'typeId'> {
  dataSet(transferSyntaxUid: string): Buffer;
}

/** Some 30,000 references of Storage Commitment; more than one study has. */
export const maxOperationBytes = 4 * 1024 * 1024;

/** Which of the two a command is, where its SOP class is one that has them here. */
export function operationKind(command: CommandSet, abstractSyntax: string): Operation['kind'] | undefined {
  if (abstractSyntax !== STORAGE_COMMITMENT) return undefined;
  if (command.CommandField === commandField.actionRequest) return 'action';
  return command.CommandField === commandField.eventReportRequest ? 'event' : undefined;
}

/** One operation on its way in. */
export class IncomingOperation {
  readonly #kind: Operation['kind'];
  readonly #command: CommandSet;
  readonly #transferSyntaxUid: string;
  readonly #parts: Buffer[] = [];
  #length = 0;

  constructor(kind: Operation['kind'], command: CommandSet, transferSyntaxUid: string) {
    this.#kind = kind;
    this.#command = command;
    this.#transferSyntaxUid = transferSyntaxUid;
  }

  /** `bytes` is a view that is gone after this call. What is beyond the bound is passed over. */
  push(bytes: Buffer): void {
    this.#length += bytes.length;
    if (this.#length <= maxOperationBytes) this.#parts.push(Buffer.from(bytes));
    else this.#parts.length = 0;
  }

  /** The answer once the data set is whole, or when there is none. */
  async answer(handler: OperationHandler, hasDataSet: boolean): Promise<OperationOutcome> {
    if (this.#length > maxOperationBytes)
      return {
        status: status.resourceLimitation,
        errorComment: `The data set is longer than ${maxOperationBytes} bytes: ask in parts`,
      };
    const { AffectedSOPClassUID, AffectedSOPInstanceUID, RequestedSOPClassUID, RequestedSOPInstanceUID } =
      this.#command;
    const isAction = this.#kind === 'action';
    return handler({
      kind: this.#kind,
      sopClassUid: (isAction ? RequestedSOPClassUID : AffectedSOPClassUID) ?? '',
      sopInstanceUid: (isAction ? RequestedSOPInstanceUID : AffectedSOPInstanceUID) ?? '',
      typeId: (isAction ? this.#command.ActionTypeID : this.#command.EventTypeID) ?? -1,
      transferSyntaxUid: this.#transferSyntaxUid,
      dataSet: hasDataSet ? Buffer.concat(this.#parts) : undefined,
    });
  }
}

/** The request as a command set (PS3.7 Tables 10.3-1 and 10.3-7). */
export function operationCommand(operation: OutgoingOperation): CommandSet {
  const { sopClassUid, sopInstanceUid, typeId } = operation;
  if (operation.kind === 'action')
    return {
      RequestedSOPClassUID: sopClassUid,
      CommandField: commandField.actionRequest,
      CommandDataSetType: 0x0000,
      RequestedSOPInstanceUID: sopInstanceUid,
      ActionTypeID: typeId,
    };
  return {
    AffectedSOPClassUID: sopClassUid,
    CommandField: commandField.eventReportRequest,
    CommandDataSetType: 0x0000,
    AffectedSOPInstanceUID: sopInstanceUid,
    EventTypeID: typeId,
  };
}

/** Command and data set in one buffer for one write. @throws Failure 'too-large' */
export function encodeOperation(
  operation: OutgoingOperation,
  messageId: number,
  context: { id: number; transferSyntaxUid: string },
  valueLimit: number,
): Buffer {
  const dataSet = operation.dataSet(context.transferSyntaxUid);
  if (dataSet.length > maxOperationBytes)
    throw new Failure('too-large', `A data set of ${dataSet.length} bytes is more than ${maxOperationBytes}`);
  const command = encodeCommandSet({ ...operationCommand(operation), MessageID: messageId });
  return Buffer.concat([
    encodeCommandMessage(context.id, command, valueLimit),
    encodeDataMessage(context.id, dataSet, valueLimit),
  ]);
}

/** What a response says; a response without a status is a failure. */
export function outcomeOf(response: CommandSet): OperationOutcome {
  return {
    status: response.Status ?? status.processingFailure,
    ...(response.ErrorComment && { errorComment: response.ErrorComment }),
  };
}
