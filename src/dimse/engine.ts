/**
 * The one door to dcmjs-dimse: its association negotiation and its C-ECHO service, on a socket that we read.
 * Both associations hand it whole association PDUs and commands; bytes of objects never come here.
 * The names declared below are private to the library: the version is pinned, and test/dimse/engine.test.ts
 * fails when they change.
 */
import type { Socket } from 'node:net';
import dcmjsDimse from 'dcmjs-dimse';
import { IMPLEMENTATION_VERSION_NAME, UID_ROOT_IMPLEMENTATION } from '../dicom/uid.ts';
import type { AssociationReject } from './pdu.ts';

// The library keeps both of these per process, and logs every association to the console.
dcmjsDimse.Implementation.setImplementationClassUid(UID_ROOT_IMPLEMENTATION);
dcmjsDimse.Implementation.setImplementationVersion(IMPLEMENTATION_VERSION_NAME);
dcmjsDimse.log.setLevel('silent', false);

export const { PresentationContextResult } = dcmjsDimse.constants;
export const { Association } = dcmjsDimse.association;
export type EngineAssociation = InstanceType<typeof Association>;

/** The library announces at most this as our Maximum Length Received (its Implementation.getMaxPduLength). */
export const maxAnnouncedPduLength = dcmjsDimse.Implementation.getMaxPduLength();

/** What the engine tells the association it works for, as acceptor or as requestor. */
export interface EngineEvents {
  associationRequested?(association: EngineAssociation): void;
  associationAccepted?(association: EngineAssociation): void;
  associationRejected?(reject: AssociationReject): void;
  aborted(source: number, reason: number): void;
  failed(error: Error): void;
}

/** The library's Scp is its Network with handlers, and Network, which it does not export, can also request. */
export class Engine extends dcmjsDimse.Scp {
  declare _processPdu: (pdu: Buffer) => Promise<void>;
  declare dimse: unknown;
  declare dimseStream: unknown;
  declare dimseStoreStream: unknown;
  readonly #events: EngineEvents;

  constructor(socket: Socket, events: EngineEvents) {
    super(socket);
    this.#events = events;
    this.on('associationAccepted', (association: EngineAssociation) =>
      events.associationAccepted?.(association),
    );
    this.on('associationRejected', (reject: AssociationReject) => events.associationRejected?.(reject));
    this.on('networkError', (error: Error) => events.failed(error));
  }

  /** Called by the library's constructor to read the socket itself. Our reader does that. */
  _wrapSocket(): void {}

  /** Takes one whole PDU in the order of arrival; everything but data sets is handled before this returns. */
  deliver(pdu: Buffer): void {
    // After a command without a data set the library keeps the command's bytes and would put the next behind them.
    this.dimse = undefined;
    this.dimseStream = undefined;
    this.dimseStoreStream = undefined;
    void this._processPdu(pdu);
  }

  /** Answers the association as negotiated in `association`, announcing our own limit, whatever the peer's is. */
  accept(association: EngineAssociation, maxPduLength: number): void {
    const peerMaxPduLength = association.getMaxPduLength();
    association.setMaxPduLength(maxPduLength);
    this.sendAssociationAccept();
    association.setMaxPduLength(peerMaxPduLength);
  }

  override associationRequested(association: EngineAssociation): void {
    this.#events.associationRequested?.(association);
  }

  override cEchoRequest(
    request: InstanceType<typeof dcmjsDimse.requests.CEchoRequest>,
    callback: (response: InstanceType<typeof dcmjsDimse.responses.CEchoResponse>) => void,
  ): void {
    const response = dcmjsDimse.responses.CEchoResponse.fromRequest(request);
    response.setStatus(dcmjsDimse.constants.Status.Success);
    // fromRequest leaves an empty Error Comment, which a C-ECHO-RSP does not have (PS3.7 Table 9.3-13).
    delete response.getCommandDataset().getElements().ErrorComment;
    callback(response);
  }

  override abort(source: number, reason: number): void {
    this.#events.aborted(source, reason);
  }
}
