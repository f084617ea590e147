/**
 * The data sets of the Storage Commitment Push Model (PS3.4 J.3.2, J.3.3): the request of an N-ACTION and the report of
 * an N-EVENT-REPORT, written and read. Pure; scp (as SCP) and forwarding (as SCU) put them into operation.ts' messages.
 */
import { type DataSet, int, parseDataSet, text } from '../dicom/data-set.ts';
import { STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE } from '../dicom/sop-class.ts';
import { transferSyntax } from '../dicom/transfer-syntax.ts';
import { isUid, trimUid } from '../dicom/uid.ts';
import { Failure } from '../failure.ts';
import type { Operation, OutgoingOperation } from './operation.ts';

export interface InstanceReference {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
}

export interface FailedReference extends InstanceReference {
  /** (0008,1197) FailureReason, see failureReason. */
  readonly reason: number;
}

export interface CommitmentRequest {
  readonly transactionUid: string;
  readonly instances: readonly InstanceReference[];
}

export interface CommitmentReport {
  readonly transactionUid: string;
  readonly committed: readonly InstanceReference[];
  readonly failed: readonly FailedReference[];
}

/** PS3.4 J.3.2.1.1: the one action. */
export const requestCommitment = 1;
/** PS3.4 J.3.3.1.1: all instances are committed, or some are not. */
export const commitmentEvent = { success: 1, failuresExist: 2 } as const;

/** (0008,1197) FailureReason, PS3.3 C.14.1.1. */
export const failureReason = {
  processingFailure: 0x0110,
  noSuchObjectInstance: 0x0112,
  resourceLimitation: 0x0213,
  sopClassNotSupported: 0x0122,
  classInstanceConflict: 0x0119,
  duplicateTransactionUid: 0x0131,
} as const;

const REASON_WORDS: Readonly<Record<number, string>> = {
  [failureReason.processingFailure]: 'Processing failure',
  [failureReason.noSuchObjectInstance]: 'No such object instance',
  [failureReason.resourceLimitation]: 'Resource limitation',
  [failureReason.sopClassNotSupported]: 'Referenced SOP Class not supported',
  [failureReason.classInstanceConflict]: 'Class / Instance conflict',
  [failureReason.duplicateTransactionUid]: 'Duplicate transaction UID',
};

/** "0x0112 No such object instance" */
export function failureReasonWord(reason: number): string {
  const number = `0x${reason.toString(16).toUpperCase().padStart(4, '0')}`;
  return `${number} ${REASON_WORDS[reason] ?? 'reason not named by the Standard'}`;
}

const TRANSACTION_UID = '00081195';
const FAILED_SOP_SEQUENCE = '00081198';
const REFERENCED_SOP_SEQUENCE = '00081199';
const REFERENCED_SOP_CLASS_UID = '00081150';
const REFERENCED_SOP_INSTANCE_UID = '00081155';
const FAILURE_REASON = '00081197';

export function commitmentRequest(request: CommitmentRequest): OutgoingOperation {
  return {
    kind: 'action',
    sopClassUid: STORAGE_COMMITMENT,
    sopInstanceUid: STORAGE_COMMITMENT_INSTANCE,
    typeId: requestCommitment,
    dataSet: (syntax) => encode({ ...request, committed: request.instances, failed: [] }, syntax),
  };
}

export function commitmentReport(report: CommitmentReport): OutgoingOperation {
  return {
    kind: 'event',
    sopClassUid: STORAGE_COMMITMENT,
    sopInstanceUid: STORAGE_COMMITMENT_INSTANCE,
    typeId: report.failed.length === 0 ? commitmentEvent.success : commitmentEvent.failuresExist,
    dataSet: (syntax) => encode(report, syntax),
  };
}

/** @throws Failure 'invalid' that names the attribute, with its tag */
export function readCommitmentRequest(operation: Operation): CommitmentRequest {
  const { transactionUid, dataSet } = read(operation);
  const instances = references(dataSet, REFERENCED_SOP_SEQUENCE);
  if (instances.length === 0) throw missing('(0008,1199) ReferencedSOPSequence', 'has no item');
  return { transactionUid, instances };
}

/** @throws Failure 'invalid' that names the attribute */
export function readCommitmentReport(operation: Operation): CommitmentReport {
  const { transactionUid, dataSet } = read(operation);
  const failed = (dataSet.elements.get(FAILED_SOP_SEQUENCE)?.items ?? []).map((item) => ({
    ...reference(item, '(0008,1198) FailedSOPSequence'),
    reason: int(item, FAILURE_REASON) ?? failureReason.processingFailure,
  }));
  return { transactionUid, committed: references(dataSet, REFERENCED_SOP_SEQUENCE), failed };
}

function read({ dataSet: bytes, transferSyntaxUid }: Operation): {
  transactionUid: string;
  dataSet: DataSet;
} {
  if (!bytes) throw new Failure('invalid', 'No data set came, and one is needed (PS3.4 J.3.2, J.3.3)');
  const dataSet = parseDataSet(bytes, transferSyntaxUid);
  if (dataSet.fault !== undefined) throw new Failure('invalid', `The data set is broken: ${dataSet.fault}`);
  const transactionUid = trimUid(text(dataSet, TRANSACTION_UID) ?? '');
  if (!isUid(transactionUid)) throw missing('(0008,1195) TransactionUID', 'is missing or no UID');
  return { transactionUid, dataSet };
}

function references(dataSet: DataSet, tag: string): InstanceReference[] {
  const items = dataSet.elements.get(tag)?.items ?? [];
  return items.map((item) => reference(item, '(0008,1199) ReferencedSOPSequence'));
}

function reference(item: DataSet, sequence: string): InstanceReference {
  const sopClassUid = trimUid(text(item, REFERENCED_SOP_CLASS_UID) ?? '');
  const sopInstanceUid = trimUid(text(item, REFERENCED_SOP_INSTANCE_UID) ?? '');
  if (!isUid(sopClassUid)) throw missing(sequence, 'has an item without (0008,1150) ReferencedSOPClassUID');
  if (!isUid(sopInstanceUid))
    throw missing(sequence, 'has an item without (0008,1155) ReferencedSOPInstanceUID');
  return { sopClassUid, sopInstanceUid };
}

function missing(attribute: string, what: string): Failure {
  return new Failure('invalid', `${attribute} ${what}`, { attribute });
}

/** Little endian, explicit or implicit; sequences and items of defined length, an empty sequence left out. */
function encode({ transactionUid, committed, failed }: CommitmentReport, syntaxUid: string): Buffer {
  const { explicit } = transferSyntax(syntaxUid);
  const element = (tag: string, vr: 'UI' | 'US' | 'SQ', value: Buffer): Buffer => {
    const long = vr === 'SQ';
    const header = Buffer.alloc(explicit && long ? 12 : 8);
    header.writeUInt16LE(Number.parseInt(tag.slice(0, 4), 16), 0);
    header.writeUInt16LE(Number.parseInt(tag.slice(4), 16), 2);
    if (!explicit) header.writeUInt32LE(value.length, 4);
    else {
      header.write(vr, 4, 'latin1');
      if (long) header.writeUInt32LE(value.length, 8);
      else header.writeUInt16LE(value.length, 6);
    }
    return Buffer.concat([header, value]);
  };
  const uid = (tag: string, value: string): Buffer =>
    element(tag, 'UI', Buffer.from(value.length % 2 === 0 ? value : `${value}\0`, 'latin1'));
  const item = (one: InstanceReference & { reason?: number }): Buffer => {
    const parts = [
      uid(REFERENCED_SOP_CLASS_UID, one.sopClassUid),
      uid(REFERENCED_SOP_INSTANCE_UID, one.sopInstanceUid),
    ];
    if (one.reason !== undefined)
      parts.push(element(FAILURE_REASON, 'US', Buffer.from(Uint16Array.of(one.reason).buffer)));
    const value = Buffer.concat(parts);
    const header = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
    header.writeUInt32LE(value.length, 4);
    return Buffer.concat([header, value]);
  };
  const sequence = (tag: string, of: readonly InstanceReference[]): Buffer =>
    of.length === 0 ? Buffer.alloc(0) : element(tag, 'SQ', Buffer.concat(of.map(item)));
  return Buffer.concat([
    uid(TRANSACTION_UID, transactionUid),
    sequence(FAILED_SOP_SEQUENCE, failed),
    sequence(REFERENCED_SOP_SEQUENCE, committed),
  ]);
}
