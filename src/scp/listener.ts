/**
 * The DICOM ports of one receiver thread, plain and TLS: servers that give each connection to inbound.ts.
 * Each thread listens on the same ports (SO_REUSEPORT), so the kernel spreads associations over the threads.
 * Started by receiver-thread.ts.
 */
import net from 'node:net';
import tls from 'node:tls';
import { plainAddress } from '../dimse/address-range.ts';
import type { InboundAssociation } from '../dimse/inbound-association.ts';
import { Failure } from '../failure.ts';
import { type InboundParts, receive } from './inbound.ts';
import {
  clientCertificate,
  handshakeFault,
  secureContextOptions,
  serverOptions,
  type TlsMaterial,
} from './tls.ts';
import { createWaitingRoom } from './waiting-room.ts';

export interface ListenerParts extends Omit<InboundParts, 'waiting'> {
  host: string;
  /** Undefined: the port is closed. */
  port: number | undefined;
  tls: { port: number; material: TlsMaterial } | undefined;
  /** Other threads listen on the same port. */
  shared: boolean;
  /** Connections without an association. */
  maxWaiting: number;
}

export interface Listener {
  readonly port: number | undefined;
  readonly tlsPort: number | undefined;
  /** For the connections to come; those that are open keep theirs. */
  setTls(material: TlsMaterial): void;
  /** Takes no new associations; waits for the open ones up to the limit, then aborts them. */
  drain(limitMs: number): Promise<void>;
}

/** @throws Failure 'conflict' when a port is taken, 'invalid' when the address cannot be listened on */
export async function listen(parts: ListenerParts): Promise<Listener> {
  const { log } = parts;
  const associations = new Set<InboundAssociation>();
  const waiting = createWaitingRoom(parts.maxWaiting);
  const accept = (socket: net.Socket, certificate: 'plain' | ReturnType<typeof clientCertificate>): void => {
    const caller = {
      address: plainAddress(socket.remoteAddress ?? ''),
      tls: certificate === 'plain' ? undefined : { certificate },
    };
    const association = receive(socket, caller, { ...parts, waiting });
    associations.add(association);
    void association.drained().then(() => associations.delete(association));
  };

  const servers: net.Server[] = [];
  let plain: net.Server | undefined;
  let secure: tls.Server | undefined;
  /** Connections that are not through their TLS handshake yet. */
  const handshakes = new Map<string, net.Socket>();
  if (parts.port !== undefined) {
    plain = net.createServer({ noDelay: true }, (socket) => accept(socket, 'plain'));
    servers.push(plain);
    await open(plain, parts.port, parts, 'DICOM_PORT');
  }
  if (parts.tls) {
    secure = tls.createServer({ noDelay: true, ...serverOptions(parts.tls.material, parts.limits.artimMs) });
    servers.push(secure);
    secure.on('connection', (socket: net.Socket) => {
      const key = endpoint(socket);
      handshakes.set(key, socket);
      socket.once('close', () => handshakes.delete(key));
      const address = plainAddress(socket.remoteAddress ?? '');
      waiting.enter(socket, address, (reason) =>
        parts.onRefusal({ what: 'association', code: 'limit', address, reason }),
      );
    });
    secure.on('secureConnection', (socket) => {
      const raw = handshakes.get(endpoint(socket));
      handshakes.delete(endpoint(socket));
      if (raw) waiting.leave(raw);
      accept(socket, clientCertificate(socket));
    });
    secure.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      const address = plainAddress(socket.remoteAddress ?? '');
      const fault = handshakeFault(error, socket.authorizationError);
      socket.destroy();
      if (fault) parts.onRefusal({ what: 'association', address, ...fault });
    });
    await open(secure, parts.tls.port, parts, 'DICOM_TLS_PORT').catch((thrown: unknown) => {
      plain?.close();
      throw thrown;
    });
  }
  for (const server of servers)
    server.on('error', (err) => log.error({ err }, 'the DICOM listener had an error'));
  return {
    port: portOf(plain),
    tlsPort: portOf(secure),
    setTls: (material) => secure?.setSecureContext(secureContextOptions(material)),
    async drain(limitMs) {
      for (const server of servers) server.close();
      for (const socket of handshakes.values()) socket.destroy();
      for (const association of associations)
        if (!association.request) association.abort('this archive is shutting down');
      const ended = Promise.all([...associations].map((association) => association.drained()));
      const timer = setTimeout(() => {
        for (const association of associations) association.abort('this archive is shutting down');
      }, limitMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The same for a connection's own socket and for the TLS one around it. */
const endpoint = ({ remoteAddress, remotePort }: net.Socket): string => `${remoteAddress} ${remotePort}`;

const portOf = (server: net.Server | undefined): number | undefined =>
  server && (server.address() as net.AddressInfo).port;

async function open(
  server: net.Server,
  port: number,
  { host, shared }: ListenerParts,
  setting: string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: NodeJS.ErrnoException): void => reject(listenFailure(host, port, setting, cause));
    server.once('error', failed);
    server.listen({ host, port, reusePort: shared }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

export function listenFailure(
  host: string,
  port: number,
  setting: string,
  cause: NodeJS.ErrnoException,
): Failure {
  if (cause.code === 'EADDRINUSE')
    return new Failure(
      'conflict',
      `DICOM port ${port} on ${host} is in use by another program: set ${setting}`,
      { cause },
    );
  if (cause.code === 'EACCES')
    return new Failure(
      'forbidden',
      `this user may not listen on DICOM port ${port}: set ${setting} above 1023`,
      { cause },
    );
  return new Failure('invalid', `cannot listen on DICOM_HOST ${host}, ${setting} ${port} (${cause.code})`, {
    cause,
  });
}
