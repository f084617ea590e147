/**
 * A peer's N-EVENT-REPORT of Storage Commitment (PS3.4 J.3.3): checked, written to the ledger, answered.
 * Called by scp for reports on associations of the peer's, and by forwarding for those on ours.
 */
import { STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE } from '../dicom/sop-class.ts';
import type { Operation, OperationOutcome } from '../dimse/operation.ts';
import { status } from '../dimse/status.ts';
import { commitmentEvent, readCommitmentReport } from '../dimse/storage-commitment.ts';
import { asFailure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { CommitmentLedger } from './commitment.ts';

/** Never rejects; statuses of PS3.7 10.1.1.1.8. @param from AE title of the peer, for the log */
export async function hearReport(
  commitments: Pick<CommitmentLedger, 'report'>,
  operation: Operation,
  from: string,
  log: Log,
): Promise<OperationOutcome> {
  const refusal = refuse(operation);
  if (refusal) return refusal;
  try {
    const report = readCommitmentReport(operation);
    const { transactionUid, committed, failed } = report;
    const about = { transactionUid, from, committed: committed.length, failed: failed.length };
    if (!(await commitments.report(report))) {
      log.warn(about, 'a report of a storage commitment that we never asked for');
      return { status: status.invalidArgumentValue, errorComment: 'TransactionUID is none of ours' };
    }
    log.info(about, 'a storage commitment was reported');
    return { status: status.success };
  } catch (thrown) {
    const failure = asFailure(thrown);
    if (failure.kind === 'invalid')
      return { status: status.invalidArgumentValue, errorComment: failure.message };
    log.error({ err: failure, from }, 'a report of a storage commitment could not be written');
    const away = failure.kind === 'unavailable';
    return {
      status: away ? status.resourceLimitation : status.processingFailure,
      errorComment: away ? 'The index is away: report it again' : 'The report could not be written',
    };
  }
}

function refuse({ sopClassUid, sopInstanceUid, typeId }: Operation): OperationOutcome | undefined {
  if (sopClassUid !== STORAGE_COMMITMENT)
    return { status: status.noSuchSopClass, errorComment: '(0000,0002) AffectedSOPClassUID is another' };
  if (sopInstanceUid !== STORAGE_COMMITMENT_INSTANCE)
    return {
      status: status.noSuchSopInstance,
      errorComment: '(0000,1000) AffectedSOPInstanceUID is another',
    };
  if (typeId !== commitmentEvent.success && typeId !== commitmentEvent.failuresExist)
    return { status: status.noSuchEventType, errorComment: '(0000,1002) EventTypeID is neither 1 nor 2' };
  return undefined;
}
