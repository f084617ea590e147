/**
 * Opens an association (PS3.8 9.2), for forwarding and the CLI: the connection, what is proposed, the negotiation.
 * requestor.ts is the association itself, outbound-requests.ts what it is asked; object bytes come as an AsyncIterable
 * and leave by outbound-store.ts.
 */
import net from 'node:net';
import tls from 'node:tls';
import { parseAeTitle } from '../dicom/ae-title.ts';
import { Failure } from '../failure.ts';
import { connectionFault } from './connection-fault.ts';
import { Association } from './engine.ts';
import type { OperationHandler } from './operation.ts';
import type { OutboundAssociation, OutboundTimeouts } from './outbound-requests.ts';
import { type ContextProposal, checkUid, maxContexts } from './plan-contexts.ts';
import { Requestor } from './requestor.ts';

export type {
  OutboundAssociation,
  OutboundObject,
  OutboundTimeouts,
  StoreResponse,
} from './outbound-requests.ts';

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
  /** The peer's N-EVENT-REPORT on our association (PS3.4 J.3.3); without it such a one ends the association. */
  operate?: OperationHandler;
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
  for (const { abstractSyntax, transferSyntaxes, asProvider } of contexts) {
    checkUid('SOP Class UID of a presentation context', abstractSyntax);
    for (const uid of transferSyntaxes) checkUid('Transfer Syntax UID of a presentation context', uid);
    const id = association.addPresentationContext(abstractSyntax);
    for (const uid of transferSyntaxes) association.addTransferSyntaxToPresentationContext(id, uid);
    if (asProvider) {
      association.getPresentationContext(id).setUserRole(false);
      association.getPresentationContext(id).setProviderRole(true);
    }
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
  const { operate } = options;
  const requestor = new Requestor(socket, { peer, maxPduLength, contexts, timeouts, operate });
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
    const failed = (error: NodeJS.ErrnoException) => {
      // What speaks no TLS hangs up on what it cannot read, and says nothing.
      const hungUp = options.tls && error.code === 'ECONNRESET';
      const why = hungUp ? 'it hung up during the TLS handshake: does it speak TLS on that port?' : undefined;
      unreachable(why ?? connectionFault(error), error);
    };
    socket.once('error', failed);
    socket.once(options.tls ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      socket.off('error', failed);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}
