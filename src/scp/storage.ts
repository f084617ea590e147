/**
 * The Storage SCP of one association: each C-STORE's bytes go into the archive's journal as they come, and the status
 * of PS3.4 Table B.2-1 is answered once they are durable. Made by listener.ts, one per association.
 */
import type { Reception } from '../archive/intake/reception.ts';
import type { ObjectSink, StoreHandler, StoreOutcome, StoreRequest } from '../dimse/inbound-store.ts';
import { status } from '../dimse/status.ts';
import { asFailure, type Failure, type FailureKind } from '../failure.ts';

/** PS3.4 B.2.3 and PS3.7 Annex C: what a sender is told for each kind of failure. */
export const STORE_STATUS: Record<FailureKind, number> = {
  invalid: status.cannotUnderstand,
  mismatch: status.dataSetDoesNotMatchSopClass,
  'not-found': status.processingFailure,
  conflict: status.duplicateSopInstance,
  forbidden: status.notAuthorized,
  'not-acceptable': status.sopClassNotSupported,
  unsupported: status.sopClassNotSupported,
  'too-large': status.outOfResources,
  'no-space': status.outOfResources,
  unavailable: status.outOfResources,
  'peer-refused': status.processingFailure,
  'peer-unreachable': status.processingFailure,
  internal: status.processingFailure,
};

export interface RefusedObject {
  sopUid: string;
  status: number;
  /** For the list of refusals: never another program's words, which could quote a patient. */
  sentence: string;
  failure: Failure;
}

/** @param onRefused told of every object that is not kept, with the whole sentence */
export function createStorage(
  reception: Reception,
  onRefused: (refused: RefusedObject) => void,
): StoreHandler {
  const refuse = (thrown: unknown, request: StoreRequest): StoreOutcome => {
    const failure = asFailure(thrown);
    const code = STORE_STATUS[failure.kind];
    const sentence =
      failure.kind === 'internal' ? 'the object could not be kept; the log has the cause' : failure.message;
    reception.refused();
    onRefused({ sopUid: request.affectedSopInstanceUid, status: code, sentence, failure });
    const tag = failure.attribute?.slice(0, 11);
    return {
      status: code,
      errorComment: sentence,
      ...(tag === undefined ? {} : { offendingElement: [tag] }),
    };
  };
  return {
    open(request): ObjectSink {
      const writer = reception.begin({
        sopClassUid: request.affectedSopClassUid,
        sopInstanceUid: request.affectedSopInstanceUid,
        transferSyntaxUid: request.transferSyntaxUid,
      });
      return {
        write: (chunk) => writer.write(chunk),
        finish() {
          const object = writer.finish();
          const waits = reception.acknowledged(object);
          return waits ? waits.then(() => ({ status: status.success })) : { status: status.success };
        },
        abort: () => writer.abort(),
      };
    },
    refuse,
  };
}
