/**
 * One association that we open (PS3.8 9.2), for forwarding and the CLI: what it is asked and what it answers.
 * requestor.ts is the association itself; object bytes come as an AsyncIterable and leave by outbound-store.ts.
 */
import net from 'node:net';
import tls from 'node:tls';
import { parseAeTitle } from '../dicom/ae-title.ts';
import { Failure } from '../failure.ts';
import { connectionFault } from './connection-fault.ts';
import { Association } from './engine.ts';
import { type ContextProposal, checkUid, maxContexts } from './plan-contexts.ts';
import { Requestor } from './requestor.ts';

export interface OutboundTimeouts {
  /** TCP and TLS. Default 10 s. */
  connectMs?: number;
  /** From the A-ASSOCIATE-RQ to its answer. Default 30 s. */
  associateMs?: number;
  /** For the response to a request, and for the peer to take any bytes at all. Default 60 s. */
  responseMs?: number;
  /** For the A-RELEASE-RP. Default 10 s. */
  releaseMs?: number;
}

export interface OutboundOptions {
  host: string;
  port: number;
  callingAeTitle: string;
  calledAeTitle: string;
  /** At most 128; planContexts makes them. */
  contexts: ContextProposal[];
  /** What we announce, and the longest PDU we send to a peer without a limit. Default 131072. */
  maxPduLength?: number;
  timeouts?: OutboundTimeouts;
  tls?: tls.ConnectionOptions;
}

export interface OutboundObject {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  /** Bytes of the data set, where known: fewer or more abort the association before the object is whole. */
  length?: number;
  /** PS3.7 9.3.1.1: 0 medium (default), 1 high, 2 low. */
  priority?: number;
  /** Set when the C-STORE is a sub-operation of a C-MOVE. */
  moveOriginator?: { aeTitle: string; messageId: number };
}

export interface StoreResponse {
  status: number;
  errorComment?: string;
  /** Tags as "(gggg,eeee)". */
  offendingElements?: string[];
}

export interface OutboundAssociation {
  /** The context on which objects of this class and syntax can be sent as they are. */
  accepted(abstractSyntax: string, transferSyntaxUid: string): number | undefined;
  /** In words, why there is none: what the peer answered, or that it was not proposed. */
  refusal(abstractSyntax: string, transferSyntaxUid: string): string;
  /**
   * Sends the data set and waits for its response. A status is returned whatever it says.
   * Failures: 'peer-refused' without an accepted context; 'peer-unreachable' when the peer aborts, closes or
   * does not answer; the source's own when `bytes` throws (the association is aborted: PS3.7 has no other way out).
   * The chunks must stay as they are until the call settles.
   */
  store(object: OutboundObject, bytes: AsyncIterable<Uint8Array>): Promise<StoreResponse>;
  /** C-ECHO; needs an accepted context for Verification. The status. */
  echo(): Promise<number>;
  /** Never rejects: every answer that counts was given before. */
  release(): Promise<void>;
  abort(): void;
  /** False once released, aborted or lost. */
  readonly open: boolean;
}

const defaultMaxPduLength = 131_072;
/** Room for some PDUs, so that the source is read while the peer takes the last ones. */
const writeAhead = 512 * 1024;

/**
 * Failures: 'invalid' for options; 'peer-unreachable' without a connection, an answer, or on a transient reject;
 * 'peer-refused' on a permanent one. The sentence names the peer and its words.
 */
export async function openAssociation(options: OutboundOptions): Promise<OutboundAssociation> {
  const { host, port, contexts } = options;
  if (contexts.length === 0 || contexts.length > maxContexts) {
    throw new Failure(
      'invalid',
      `An association has 1 to ${maxContexts} presentation contexts, not ${contexts.length}`,
    );
  }
  const association = new Association(
    parseAeTitle(options.callingAeTitle),
    parseAeTitle(options.calledAeTitle),
  );
  association.setMaxPduLength(options.maxPduLength ?? defaultMaxPduLength);
  for (const { abstractSyntax, transferSyntaxes } of contexts) {
    checkUid('SOP Class UID of a presentation context', abstractSyntax);
    for (const uid of transferSyntaxes) checkUid('Transfer Syntax UID of a presentation context', uid);
    const id = association.addPresentationContext(abstractSyntax);
    for (const uid of transferSyntaxes) association.addTransferSyntaxToPresentationContext(id, uid);
  }
  const peer = `${options.calledAeTitle} at ${host}:${port}`;
  const {
    connectMs = 10_000,
    associateMs = 30_000,
    responseMs = 60_000,
    releaseMs = 10_000,
  } = options.timeouts ?? {};
  const timeouts = { connectMs, associateMs, responseMs, releaseMs };
  const socket = await connect(options, peer, connectMs);
  const maxPduLength = association.getMaxPduLength();
  const requestor = new Requestor(socket, { peer, maxPduLength, contexts, timeouts });
  await requestor.associate(association);
  return requestor;
}

function connect(options: OutboundOptions, peer: string, connectMs: number): Promise<net.Socket> {
  const to = { host: options.host, port: options.port, writableHighWaterMark: writeAhead };
  const socket = options.tls ? tls.connect({ ...to, ...options.tls }) : net.connect(to);
  return new Promise((resolve, reject) => {
    const unreachable = (why: string, cause?: unknown) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Failure('peer-unreachable', `${peer} cannot be reached: ${why}`, { cause }));
    };
    const timer = setTimeout(() => unreachable(`no connection within ${connectMs} ms`), connectMs);
    const failed = (error: NodeJS.ErrnoException) => unreachable(connectionFault(error), error);
    socket.once('error', failed);
    socket.once(options.tls ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      socket.off('error', failed);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}
