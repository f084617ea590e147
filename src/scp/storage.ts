/**
 * The Storage SCP of one association: each C-STORE's bytes go into the archive's journal as they come, and the status
 * of PS3.4 Table B.2-1 is answered once they are durable. Made by listener.ts, one per association.
 */
import type { Reception } from '../archive/intake/reception.ts';
import type { ObjectSink, StoreHandler, StoreOutcome, StoreRequest } from '../dimse/inbound-store.ts';
import { codeOfFailure } from '../dimse/refusal-code.ts';
import { status } from '../dimse/status.ts';
import { asFailure, causeCodes, type FailureKind } from '../failure.ts';
import type { Log } from '../log.ts';

/** PS3.4 B.2.3 and PS3.7 Annex C: what a sender is told for each kind of failure. */
export const STORE_STATUS: Record<FailureKind, number> = {
  invalid: status.cannotUnderstand,
  mismatch: status.dataSetDoesNotMatchSopClass,
  'not-found': status.processingFailure,
  // PS3.7 9.1.1.1.9 has no 0x0111 for C-STORE.
  conflict: status.cannotUnderstand,
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

/** A fault of ours is named in the log alone: another program's words could quote a patient. */
export function createStorage(reception: Reception, log: Log): StoreHandler {
  const refuse = (thrown: unknown, request: StoreRequest): StoreOutcome => {
    const failure = asFailure(thrown);
    const internal = failure.kind === 'internal';
    if (internal)
      log.error({ err: failure, sopUid: request.affectedSopInstanceUid }, 'an object could not be kept');
    reception.refused();
    const tag = failure.attribute?.slice(0, 11);
    return {
      status: STORE_STATUS[failure.kind],
      errorComment: internal ? 'the object could not be kept; the log has the cause' : failure.message,
      ...(tag === undefined ? {} : { offendingElement: [tag] }),
      refusal: { code: codeOfFailure[failure.kind], cause: causeCodes(failure) },
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
          const keep = (): StoreOutcome | Promise<StoreOutcome> => {
            const object = writer.finish();
            const waits = reception.acknowledged(object);
            return waits ? waits.then(() => ({ status: status.success })) : { status: status.success };
          };
          return writer.inflated()?.then(keep) ?? keep();
        },
        abort: () => writer.abort(),
      };
    },
    refuse,
  };
}
