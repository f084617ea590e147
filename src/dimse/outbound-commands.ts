/**
 * The requests we make on an association that we opened, as command sets (PS3.7 9.3 and 10.3), and what their responses
 * say. Pure; requestor.ts sends them.
 */
import { VERIFICATION } from '../dicom/sop-class.ts';
import { type CommandSet, commandField, noDataSet } from './command-set.ts';
import type { OutboundObject, StoreResponse } from './outbound-requests.ts';

export function storeCommand(object: OutboundObject): CommandSet {
  const request: CommandSet = {
    AffectedSOPClassUID: object.sopClassUid,
    CommandField: commandField.storeRequest,
    Priority: object.priority ?? 0,
    CommandDataSetType: 0x0000,
    AffectedSOPInstanceUID: object.sopInstanceUid,
  };
  if (object.moveOriginator) {
    request.MoveOriginatorApplicationEntityTitle = object.moveOriginator.aeTitle;
    request.MoveOriginatorMessageID = object.moveOriginator.messageId;
  }
  return request;
}

export function storeResponse(response: CommandSet): StoreResponse {
  const answer: StoreResponse = { status: response.Status ?? -1 };
  if (response.ErrorComment) answer.errorComment = response.ErrorComment;
  if (response.OffendingElement?.length) answer.offendingElements = response.OffendingElement;
  return answer;
}

export const echoCommand: Readonly<CommandSet> = {
  AffectedSOPClassUID: VERIFICATION,
  CommandField: commandField.echoRequest,
  CommandDataSetType: noDataSet,
};
