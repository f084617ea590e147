/**
 * The DICOM port of one receiver thread: a TCP server that makes one inbound association per socket.
 * Each thread listens on the same port (SO_REUSEPORT), so the kernel spreads associations over the threads.
 * Started by receiver-thread.ts; objects go to storage.ts and from there into the thread's journal.
 */
import { randomUUID } from 'node:crypto';
import net from 'node:net';
import type { Intake, Reception } from '../archive/intake/reception.ts';
import type { Refusal } from '../archive/refusal.ts';
import type { AssociationRequest } from '../dimse/association-request.ts';
import {
  type CloseReason,
  createInboundAssociation,
  type InboundAssociation,
  type InboundRefusal,
} from '../dimse/inbound-association.ts';
import { negotiateStorage } from '../dimse/negotiate-storage.ts';
import { statusWord } from '../dimse/status.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { type AdmissionPolicy, admit } from './admission.ts';
import { createStorage } from './storage.ts';

/** A release waits this long for the index, then rests on the journal's durability (DESIGN promise 1). */
const RELEASE_WAIT_MS = 5000;

export interface ListenerParts {
  host: string;
  port: number;
  /** Other threads listen on the same port. */
  shared: boolean;
  policy: AdmissionPolicy;
  intake: Intake;
  /** Open associations, shared by all threads: one slot each. */
  openCounts: Int32Array;
  slot: number;
  onRefusal(refusal: Refusal): void;
  onAssociationEnd(end: { how: CloseReason; stored: number; refused: number; bytes: number }): void;
  log: Log;
}

export interface Listener {
  readonly port: number;
  /** Takes no new associations; waits for the open ones up to the limit, then aborts them. */
  drain(limitMs: number): Promise<void>;
}

/** @throws Failure 'conflict' when the port is taken, 'invalid' when the address cannot be listened on */
export async function listen(parts: ListenerParts): Promise<Listener> {
  const associations = new Set<InboundAssociation>();
  const server = net.createServer({ noDelay: true, pauseOnConnect: false }, (socket) => {
    const association = accept(socket, parts);
    associations.add(association);
    void association.drained().then(() => associations.delete(association));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenFailure(parts, cause)));
    server.listen({ host: parts.host, port: parts.port, reusePort: parts.shared }, resolve);
  });
  server.on('error', (err) => parts.log.error({ err }, 'the DICOM listener had an error'));
  return {
    port: (server.address() as net.AddressInfo).port,
    async drain(limitMs) {
      server.close();
      const ended = Promise.all([...associations].map((association) => association.drained()));
      const timer = setTimeout(() => {
        for (const association of associations) association.abort('this archive is shutting down');
      }, limitMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

function accept(socket: net.Socket, parts: ListenerParts): InboundAssociation {
  const { policy, intake, openCounts, slot, log } = parts;
  let reception: Reception | undefined;
  let counted = false;
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  const names = (request: AssociationRequest) => ({
    callingAe: printable(request.callingAeTitle),
    calledAe: printable(request.calledAeTitle),
    address,
  });
  const association = createInboundAssociation(socket, {
    admit(request) {
      const decision = admit(request, policy, countOpen(openCounts));
      if ('reject' in decision) return decision;
      counted = true;
      Atomics.add(openCounts, slot, 1);
      return decision;
    },
    negotiate: (context) => negotiateStorage(context),
    store: {
      open(request) {
        const peer = association.request;
        if (!peer) throw new Failure('internal', 'a C-STORE came before the association');
        reception ??= intake.open({
          reception: randomUUID(),
          kind: 'dimse',
          ...names(peer),
          openedAt: new Date().toISOString(),
        });
        return storage(reception).open(request);
      },
      refuse(failure, request) {
        const peer = association.request;
        if (!peer || !reception) return { status: 0x0110, errorComment: failure.message };
        return storage(reception).refuse!(failure, request);
      },
    },
    onRefusal(refusal) {
      const { request } = association;
      parts.onRefusal({ address, ...(request && names(request)), ...listed(refusal) });
    },
    onAccept(request) {
      log.info(names(request), 'association opened');
    },
    async beforeRelease() {
      await reception?.indexed(RELEASE_WAIT_MS).catch((err: unknown) => {
        log.warn(
          { err, ...(association.request && names(association.request)) },
          'released before the index had it',
        );
      });
    },
    onClose(how, detail) {
      if (counted) Atomics.sub(openCounts, slot, 1);
      if (how !== 'rejected') reception?.close(how);
      const { bytes, objectsStored: stored, objectsRefused: refused } = association.counters;
      log.info(
        { ...(association.request && names(association.request)), how, detail, stored, refused },
        'association ended',
      );
      parts.onAssociationEnd({ how, stored, refused, bytes });
    },
  });
  let handler: ReturnType<typeof createStorage> | undefined;
  const storage = (open: Reception): ReturnType<typeof createStorage> => {
    handler ??= createStorage(open, log);
    return handler;
  };
  return association;
}

/** What dimse says of a refusal, as the archive lists it. */
function listed(refusal: InboundRefusal): Refusal {
  const { what, code, sentence: reason } = refusal;
  if (what === 'association') return { what, code, reason, answer: refusal.answer };
  if (what === 'context') return { what, code, reason, sopClassUid: refusal.sopClassUid };
  const { status, sopClassUid, sopInstanceUid: sopUid, transferSyntaxUid, cause } = refusal;
  const answer = statusWord(status);
  return { what, code, reason, status, answer, sopClassUid, sopUid, transferSyntaxUid, cause };
}

/** Open associations of all threads. */
export function countOpen(openCounts: Int32Array): number {
  return openCounts.reduce((sum, _, slot) => sum + Atomics.load(openCounts, slot), 0);
}

/** Whatever a stranger calls itself, the list of refusals takes it. */
const printable = (title: string): string => title.replace(/\p{Cc}/gu, '?');

function listenFailure({ host, port }: ListenerParts, cause: NodeJS.ErrnoException): Failure {
  if (cause.code === 'EADDRINUSE')
    return new Failure(
      'conflict',
      `DICOM port ${port} on ${host} is in use by another program: set DICOM_PORT`,
      { cause },
    );
  if (cause.code === 'EACCES')
    return new Failure(
      'forbidden',
      `this user may not listen on DICOM port ${port}: set DICOM_PORT above 1023`,
      { cause },
    );
  return new Failure('invalid', `cannot listen on DICOM_HOST ${host}, DICOM_PORT ${port} (${cause.code})`, {
    cause,
  });
}
