/**
 * A server with one inbound association per socket, as scp makes it, that keeps what comes in memory for the test.
 */
import net from 'node:net';
import type { AssociationRequest } from '../../src/dimse/association-request.ts';
import {
  type CloseReason,
  createInboundAssociation,
  type InboundAssociation,
  type InboundOptions,
} from '../../src/dimse/inbound-association.ts';
import type { ObjectSink, StoreOutcome, StoreRequest } from '../../src/dimse/inbound-store.ts';
import { negotiateStorage } from '../../src/dimse/negotiate-storage.ts';

export interface Kept {
  request: StoreRequest;
  bytes: Buffer;
  writes: number;
}

export interface Closed {
  how: CloseReason;
  detail: string;
  association: InboundAssociation;
}

export interface Acceptor {
  port: number;
  kept: Kept[];
  aborted: { request: StoreRequest; reason: string }[];
  requests: AssociationRequest[];
  associations: InboundAssociation[];
  sockets: ReadonlySet<net.Socket>;
  closed: Closed[];
  /** Settles when `count` associations are over. */
  over(count?: number): Promise<Closed>;
  stop(): Promise<void>;
}

export interface AcceptorOptions extends Partial<InboundOptions> {
  /** Instead of the sink that keeps. */
  open?(request: StoreRequest): ObjectSink | StoreOutcome;
}

export async function startAcceptor(options: AcceptorOptions = {}): Promise<Acceptor> {
  const { open, ...overrides } = options;
  const kept: Kept[] = [];
  const aborted: Acceptor['aborted'] = [];
  const requests: AssociationRequest[] = [];
  const associations: InboundAssociation[] = [];
  const closed: Closed[] = [];
  const waiting: (() => void)[] = [];
  const sockets = new Set<net.Socket>();

  const keep = (request: StoreRequest): ObjectSink => {
    const parts: Buffer[] = [];
    return {
      write: (chunk) => {
        parts.push(Buffer.from(chunk));
      },
      finish: () => {
        kept.push({ request, bytes: Buffer.concat(parts), writes: parts.length });
        return { status: 0 };
      },
      abort: (reason) => {
        aborted.push({ request, reason });
      },
    };
  };

  const server = net.createServer((socket) => {
    sockets.add(socket);
    const association = createInboundAssociation(socket, {
      admit: (request) => {
        requests.push(request);
        if (request.calledAeTitle === 'ISOCENTER') return { accept: true };
        const sentence = `called AE title ${request.calledAeTitle} is not ours`;
        return { reject: { result: 1, source: 1, reason: 7, sentence } };
      },
      negotiate: negotiateStorage,
      store: { open: open ?? keep },
      ...overrides,
      onClose: (how, detail) => {
        closed.push({ how, detail, association });
        for (const waiter of waiting.splice(0)) waiter();
        overrides.onClose?.(how, detail);
      },
    });
    associations.push(association);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    kept,
    aborted,
    requests,
    associations,
    sockets,
    closed,
    async over(count = 1) {
      while (closed.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
      return closed[count - 1]!;
    },
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
