/**
 * The storage commitment of a scripted PACS: answers requests as a test tells it and reports on the same association,
 * on one of its own, late, twice, or never.
 */
import { STORAGE_COMMITMENT } from '../../src/dicom/sop-class.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import type { InboundAssociation } from '../../src/dimse/inbound-association.ts';
import type { Operation, OperationOutcome } from '../../src/dimse/operation.ts';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import {
  type CommitmentReport,
  type CommitmentRequest,
  commitmentReport,
  readCommitmentRequest,
} from '../../src/dimse/storage-commitment.ts';

export interface CommitmentScript {
  /** Of the N-ACTION; Success when absent. @param nth request, from 1 */
  status?(request: CommitmentRequest, nth: number): number;
  /** FailureReason of an instance; committed when undefined. */
  reason?(sopInstanceUid: string, nth: number): number | undefined;
  /** Where the report goes. */
  where?(nth: number): 'same' | 'other' | 'both' | 'never';
  /** Where reports on associations of its own go. */
  to?(): { port: number; aeTitle: string };
  aeTitle?: string;
}

export interface CommitmentPeer {
  operate(operation: Operation, association: InboundAssociation): Promise<OperationOutcome>;
  readonly requests: CommitmentRequest[];
  /** What was answered to its reports, in order. */
  readonly answers: OperationOutcome[];
  /** Reports on an association of its own. */
  report(report: CommitmentReport): Promise<OperationOutcome>;
}

export function createCommitmentPeer(script: CommitmentScript = {}): CommitmentPeer {
  const requests: CommitmentRequest[] = [];
  const answers: OperationOutcome[] = [];

  async function report(said: CommitmentReport): Promise<OperationOutcome> {
    const { port, aeTitle } = script.to!();
    const association = await openAssociation({
      host: '127.0.0.1',
      port,
      callingAeTitle: script.aeTitle ?? 'PACS',
      calledAeTitle: aeTitle,
      contexts: [
        {
          abstractSyntax: STORAGE_COMMITMENT,
          transferSyntaxes: [IMPLICIT_LE, EXPLICIT_LE],
          asProvider: true,
        },
      ],
    });
    try {
      const outcome = await association.request(commitmentReport(said));
      answers.push(outcome);
      return outcome;
    } finally {
      await association.release();
    }
  }

  return {
    requests,
    answers,
    report,
    async operate(operation, association) {
      const request = readCommitmentRequest(operation);
      const nth = requests.push(request);
      const status = script.status?.(request, nth) ?? 0;
      if (status !== 0) return { status };
      const judged = request.instances.map((one) => ({
        ...one,
        reason: script.reason?.(one.sopInstanceUid, nth),
      }));
      const said: CommitmentReport = {
        transactionUid: request.transactionUid,
        committed: judged.filter(({ reason }) => reason === undefined),
        failed: judged.flatMap(({ reason, ...one }) => (reason === undefined ? [] : [{ ...one, reason }])),
      };
      const where = script.where?.(nth) ?? 'same';
      setTimeout(() => {
        const same =
          where === 'same' || where === 'both' ? association.notify(commitmentReport(said), 5000) : undefined;
        same?.then((outcome) => answers.push(outcome)).catch(() => undefined);
        if (where === 'other' || where === 'both') report(said).catch(() => undefined);
      }, 20);
      return { status: 0 };
    },
  };
}
