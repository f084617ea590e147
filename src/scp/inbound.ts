/**
 * One connection to the DICOM port and what this house makes of it: admission, a place, negotiation, a reception.
 * Made by listener.ts for each socket; objects go to storage.ts and from there into the thread's journal.
 */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Intake, Reception } from '../archive/intake/reception.ts';
import type { Refusal } from '../archive/refusal.ts';
import type { AssociationRequest } from '../dimse/association-request.ts';
import {
  type Admission,
  type CloseReason,
  createInboundAssociation,
  type InboundAssociation,
  type InboundRefusal,
} from '../dimse/inbound-association.ts';
import { negotiateStorage } from '../dimse/negotiate-storage.ts';
import type { Operation, OperationOutcome } from '../dimse/operation.ts';
import { statusWord } from '../dimse/status.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { type AdmissionPolicy, admit, type Caller, overLimit } from './admission.ts';
import type { AssociationSlots } from './association-slots.ts';
import type { Asker } from './commitment-table.ts';
import { createStorage } from './storage.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** A release waits this long for the index, then rests on the journal's durability (DESIGN promise 1). */
const RELEASE_WAIT_MS = 5000;

/** Bytes and milliseconds. */
export interface InboundLimits {
  maxPduLength: number;
  maxRequestLength: number;
  artimMs: number;
  idleMs: number;
}

export interface InboundParts {
  /** As it stands now: asked for every request. */
  policy(): AdmissionPolicy;
  limits: InboundLimits;
  intake: Intake;
  slots: AssociationSlots;
  waiting: WaitingRoom;
  /** Storage Commitment, for whoever has the database; never rejects. */
  operate(operation: Operation, from: Asker, association: InboundAssociation): Promise<OperationOutcome>;
  onRefusal(refusal: Refusal): void;
  onAssociationEnd(end: { how: CloseReason; stored: number; refused: number; bytes: number }): void;
  log: Log;
}

export function receive(socket: Socket, caller: Caller, parts: InboundParts): InboundAssociation {
  const { limits, intake, slots, waiting, log } = parts;
  const { address } = caller;
  let reception: Reception | undefined;
  let place: number | undefined;
  let privateSopClasses = true;
  const names = (request: AssociationRequest | undefined) => ({
    callingAe: printable(request?.callingAeTitle ?? ''),
    calledAe: printable(request?.calledAeTitle ?? ''),
    address,
  });
  let dropped: string | undefined;
  const wait = (): void =>
    waiting.enter(socket, address, (reason) => {
      dropped = reason;
      if (!association.request) parts.onRefusal({ what: 'association', code: 'limit', address, reason });
    });
  const decide = (request: AssociationRequest): Admission => {
    const policy = parts.policy();
    const decision = admit(request, caller, policy);
    if ('reject' in decision) return decision;
    const { maxAssociations } = decision.accept;
    const claimed = slots.claim(request.callingAeTitle, maxAssociations);
    if (claimed === 'total') return overLimit('total', policy.maxAssociations, request.callingAeTitle);
    if (claimed === 'per-ae') return overLimit('per-ae', maxAssociations, request.callingAeTitle);
    place = claimed;
    privateSopClasses = decision.accept.privateSopClasses;
    waiting.leave(socket);
    return { accept: true };
  };
  const association = createInboundAssociation(socket, {
    maxPduLength: limits.maxPduLength,
    maxAssociateRequestLength: limits.maxRequestLength,
    artimMs: limits.artimMs,
    idleTimeoutMs: limits.idleMs,
    admit: decide,
    negotiate: (context) => negotiateStorage(context, { privateSopClasses }),
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
    operate(operation) {
      const { callingAe, calledAe } = names(association.request);
      return parts.operate(operation, { aeTitle: callingAe, calledAe, address }, association);
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
        log.warn({ err, ...names(association.request) }, 'released before the index had it');
      });
    },
    onClose(how, detail) {
      if (place !== undefined) slots.release(place);
      // What lingers until the peer closes counts among those without an association again.
      wait();
      if (how !== 'rejected') reception?.close(how);
      const { bytes, objectsStored: stored, objectsRefused: refused } = association.counters;
      log.info(
        { ...names(association.request), how, detail: dropped ?? detail, stored, refused },
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
  wait();
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

/** Whatever a stranger calls itself, the list of refusals takes it. */
const printable = (title: string): string => title.replace(/\p{Cc}/gu, '?');
