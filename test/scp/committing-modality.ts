/**
 * A modality that asks Isocenter to commit to what it stored (PS3.4 Annex J) and hears the report: on its own
 * association, or where it listens, with TLS or without.
 */
import net from 'node:net';
import tls from 'node:tls';
import { STORAGE_COMMITMENT } from '../../src/dicom/sop-class.ts';
import { IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { createUid } from '../../src/dicom/uid.ts';
import type { AssociationRequest } from '../../src/dimse/association-request.ts';
import { createInboundAssociation } from '../../src/dimse/inbound-association.ts';
import type { Operation, OperationOutcome } from '../../src/dimse/operation.ts';
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import type { OutboundAssociation } from '../../src/dimse/outbound-requests.ts';
import {
  type CommitmentReport,
  commitmentRequest,
  type InstanceReference,
  readCommitmentReport,
} from '../../src/dimse/storage-commitment.ts';
import { CT } from '../support/an-object.ts';
import { eventually } from '../support/house.ts';

export interface Heard extends CommitmentReport {
  typeId: number;
}

export interface CallingModality {
  readonly association: OutboundAssociation;
  /** Reports on its own association. */
  readonly heard: Heard[];
  ask(
    instances: readonly InstanceReference[],
    transactionUid?: string,
  ): Promise<{ transactionUid: string; outcome: OperationOutcome }>;
  report(transactionUid: string): Promise<Heard>;
}

/** @param port of Isocenter's listener */
export async function callingModality(port: number, aeTitle: string): Promise<CallingModality> {
  const heard: Heard[] = [];
  const association = await openAssociation({
    host: '127.0.0.1',
    port,
    callingAeTitle: aeTitle,
    calledAeTitle: 'ISOCENTER',
    contexts: [
      { abstractSyntax: CT, transferSyntaxes: ['1.2.840.10008.1.2.1'] },
      { abstractSyntax: STORAGE_COMMITMENT, transferSyntaxes: [IMPLICIT_LE] },
    ],
    async operate(operation) {
      heard.push({ ...readCommitmentReport(operation), typeId: operation.typeId });
      return { status: 0 };
    },
  });
  return {
    association,
    heard,
    async ask(instances, transactionUid = createUid()) {
      const outcome = await association.request(commitmentRequest({ transactionUid, instances }));
      return { transactionUid, outcome };
    },
    report: (transactionUid) =>
      eventually(
        async () => heard.find((one) => one.transactionUid === transactionUid),
        'the report',
        30_000,
      ),
  };
}

export interface ListeningModality {
  readonly port: number;
  readonly heard: { operation: Operation; request: AssociationRequest | undefined }[];
  close(): void;
}

/** Its own port, for reports on associations of Isocenter's. */
export async function listeningModality(
  aeTitle: string,
  { port = 0, secure }: { port?: number; secure?: tls.TlsOptions } = {},
): Promise<ListeningModality> {
  const heard: ListeningModality['heard'] = [];
  const serve = (socket: net.Socket): void => {
    const association = createInboundAssociation(socket, {
      admit: (request) =>
        request.calledAeTitle === aeTitle
          ? { accept: true }
          : { reject: { result: 1, source: 1, reason: 7, sentence: 'another' } },
      negotiate: ({ transferSyntaxes }) => transferSyntaxes.at(-1)!,
      store: { open: () => ({ status: 0x0122 }) },
      async operate(operation) {
        heard.push({ operation, request: association.request });
        return { status: 0 };
      },
    });
  };
  const server = secure ? tls.createServer(secure, serve) : net.createServer(serve);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { port: (server.address() as net.AddressInfo).port, heard, close: () => server.close() };
}
