/**
 * A PACS that does as a test tells it: takes objects, refuses them by status, aborts, hangs up, says nothing.
 */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PresentationContextRequest } from '../../src/dimse/association-request.ts';
import { createInboundAssociation, type InboundAssociation } from '../../src/dimse/inbound-association.ts';
import type { StoreOutcome, StoreRequest } from '../../src/dimse/inbound-store.ts';
import type { ContextAnswer } from '../../src/dimse/negotiate-storage.ts';
import type { Operation, OperationOutcome } from '../../src/dimse/operation.ts';

/** A status, or: break off in the middle of the object, close the connection, or never answer. */
export type Deed = number | StoreOutcome | 'abort' | 'close' | 'hang';

export interface Script {
  /** @param nth of this instance, from 1 */
  answer?(request: StoreRequest, nth: number): Deed;
  /** How long it takes for each answer; at once without it. */
  takesMs?: () => number;
  negotiate?(context: PresentationContextRequest): ContextAnswer;
  /** Rejects the association: permanent 1, transient 2. */
  reject?: () => 1 | 2 | undefined;
  /** N-ACTION and N-EVENT-REPORT, see commitment-peer.ts. */
  operate?(operation: Operation, association: InboundAssociation): Promise<OperationOutcome>;
  aeTitle?: string;
  port?: number;
}

export interface PacsEvent {
  /** Numbered from 1. */
  readonly association: number;
  readonly at: Date;
  /** Of a C-STORE; undefined for the association's end. */
  readonly sop?: string;
  /** Answered by; undefined while it is not, and for one that was broken off. */
  status?: number;
}

export interface ScriptedPacs {
  readonly port: number;
  /** Every C-STORE that was begun, in order. */
  readonly asked: StoreRequest[];
  /** C-STOREs begun and associations ended, in order. */
  readonly events: PacsEvent[];
  /** Data sets answered with Success or a warning, by SOP Instance UID. */
  readonly kept: Map<string, Buffer>;
  /** Associations accepted so far. */
  readonly associations: () => number;
  /** Open at the same time, at most. */
  readonly mostOpen: () => number;
  stop(): Promise<void>;
}

export async function startScriptedPacs(script: Script = {}): Promise<ScriptedPacs> {
  const { aeTitle = 'PACS' } = script;
  const asked: StoreRequest[] = [];
  const events: ScriptedPacs['events'] = [];
  const kept = new Map<string, Buffer>();
  const sockets = new Set<net.Socket>();
  let accepted = 0;
  let open = 0;
  let most = 0;

  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    let counted = false;
    let number = 0;
    const association: InboundAssociation = createInboundAssociation(socket, {
      admit(request) {
        const result = request.calledAeTitle === aeTitle ? script.reject?.() : 1;
        if (result !== undefined)
          return { reject: { result, source: 1, reason: 1, sentence: 'refused by script' } };
        return { accept: true };
      },
      onAccept() {
        counted = true;
        number = ++accepted;
        open++;
        most = Math.max(most, open);
      },
      onClose() {
        if (counted) {
          open--;
          events.push({ association: number, at: new Date() });
        }
        counted = false;
      },
      ...(script.operate && { operate: (operation) => script.operate!(operation, association) }),
      negotiate: script.negotiate ?? ((context) => context.transferSyntaxes[0]!),
      store: {
        open(request) {
          asked.push(request);
          const event: PacsEvent = {
            association: number,
            at: new Date(),
            sop: request.affectedSopInstanceUid,
          };
          events.push(event);
          const nth = asked.filter(
            (one) => one.affectedSopInstanceUid === request.affectedSopInstanceUid,
          ).length;
          const deed = script.answer?.(request, nth) ?? 0;
          const parts: Buffer[] = [];
          return {
            write(chunk) {
              parts.push(Buffer.from(chunk));
              if (deed === 'abort') association.abort('by script');
              if (deed === 'close') socket.destroy();
              return deed === 'hang' ? new Promise(() => undefined) : undefined;
            },
            finish() {
              // Broken off with the whole object in hand: this answer leaves no more.
              if (typeof deed === 'string') return { status: 0x0110 };
              const outcome = typeof deed === 'number' ? { status: deed } : deed;
              if (outcome.status === 0 || outcome.status >> 12 === 0xb)
                kept.set(request.affectedSopInstanceUid, Buffer.concat(parts));
              event.status = outcome.status;
              return script.takesMs ? sleep(script.takesMs(), outcome) : outcome;
            },
            abort: () => undefined,
          };
        },
      },
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(script.port ?? 0, '127.0.0.1', () => resolve());
  });
  const { port } = server.address() as net.AddressInfo;
  return {
    port,
    asked,
    events,
    kept,
    associations: () => accepted,
    mostOpen: () => most,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
