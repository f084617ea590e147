/**
 * The contract with dcmjs-dimse: private names that src/dimse/engine.ts overrides or resets, and behaviour it rests on.
 * When this fails after an update of the library, engine.ts has to be read again beside the library's Network.js.
 */

import { createRequire } from 'node:module';
import net from 'node:net';
import dcmjsDimse from 'dcmjs-dimse';
import { describe, expect, it } from 'vitest';
import { IMPLEMENTATION_VERSION_NAME, UID_ROOT_IMPLEMENTATION } from '../../src/dicom/uid.ts';
import {
  Engine,
  type EngineAssociation,
  type EngineEvents,
  maxAnnouncedPduLength,
} from '../../src/dimse/engine.ts';
import {
  associateAccept,
  associateRequest,
  echoCommand,
  IMPLICIT,
  items,
  pdata,
  pdu,
  pdv,
  readAssociateAccept,
  readCommand,
  VERIFICATION,
} from './raw-peer.ts';

const echoContext = { id: 1, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] };
const own: readonly string[] = ['dimse', 'dimseStream', 'dimseStoreStream'];

/** A socket that is never connected and keeps what is written, so that only the engine is at work. */
function mute() {
  const socket = new net.Socket();
  const written: Buffer[] = [];
  const listening: (string | symbol)[] = [];
  socket.write = ((bytes: Buffer) => written.push(bytes)) as unknown as typeof socket.write;
  socket.on('newListener', (event) => listening.push(event));
  return { socket, written, listening };
}

function engine(events: Partial<EngineEvents> = {}) {
  const { socket, written, listening } = mute();
  const failures: Error[] = [];
  const made = new Engine(socket, {
    aborted: () => undefined,
    failed: (error) => failures.push(error),
    ...events,
  });
  return { made, socket, written, listening, failures };
}

function established() {
  let association: EngineAssociation | undefined;
  const house = engine({
    associationRequested: (requested) => {
      association = requested;
    },
  });
  house.made.deliver(associateRequest({ contexts: [echoContext] }));
  association?.getPresentationContexts()[0]?.context.setResult(0, IMPLICIT);
  house.made.accept(association!, 5000);
  return { ...house, association: association! };
}

describe('dcmjs-dimse', () => {
  it('is the version that engine.ts was written against', () => {
    const project = createRequire(import.meta.url)('../../package.json') as {
      dependencies: Record<string, string>;
    };
    expect(project.dependencies['dcmjs-dimse']).toBe('0.3.3');
    expect(dcmjsDimse.version).toBe('0.3.3');
  });

  it('has the private names that engine.ts overrides, calls and resets', () => {
    const network = Object.getPrototypeOf(dcmjsDimse.Scp.prototype) as Record<string, unknown>;
    expect(network._wrapSocket).toBeTypeOf('function');
    expect(network._processPdu).toBeTypeOf('function');
    const { made } = engine();
    for (const name of own) expect(Object.hasOwn(made, name), name).toBe(true);
  });

  it('reads the socket in _wrapSocket alone: overridden, it listens to nothing and starts no timer', () => {
    const { made, listening } = engine();
    expect(listening).toEqual([]);
    expect((made as unknown as { timeoutIntervalId: unknown }).timeoutIntervalId).toBeUndefined();
  });

  it('is silent', () => {
    expect(dcmjsDimse.log.getLevel()).toBe(dcmjsDimse.log.levels.SILENT);
  });

  it('shows a request, answers it in one write with our own limit and identity, within deliver', () => {
    const { written, association } = established();
    expect(association.getCallingAeTitle()).toBe('RAW');
    expect(written).toHaveLength(1);
    const { results, userItems } = readAssociateAccept(written[0]!.subarray(6));
    expect(results.get(1)).toEqual({ result: 0, transferSyntax: IMPLICIT });
    expect(userItems.get(0x51)?.readUInt32BE(0)).toBe(5000);
    expect(userItems.get(0x52)?.toString()).toBe(UID_ROOT_IMPLEMENTATION);
    expect(userItems.get(0x55)?.toString()).toBe(IMPLEMENTATION_VERSION_NAME);
    expect(association.getMaxPduLength()).toBe(16384);
  });

  it('announces up to 262144', () => {
    expect(maxAnnouncedPduLength).toBe(262_144);
  });

  it('answers C-ECHO within deliver, in one write, and keeps the command in dimseStream, which deliver resets', () => {
    const { made, written, failures } = established();
    for (let messageId = 1; messageId <= 3; messageId++) {
      made.deliver(pdata(pdv(1, 3, echoCommand(messageId))));
      expect(written).toHaveLength(1 + messageId);
      const answer = readCommand(written[messageId]!.subarray(12));
      expect(answer[0x0100]!.readUInt16LE(0)).toBe(0x8030);
      expect(answer[0x0120]!.readUInt16LE(0)).toBe(messageId);
      expect(answer[0x0900]!.readUInt16LE(0)).toBe(0);
      expect(answer[0x0902]).toBeUndefined();
      // The reason for the reset: the library leaves the bytes of the last command there.
      expect((made.dimseStream as { toBuffer(): Buffer }).toBuffer()).toEqual(echoCommand(messageId));
    }
    expect(failures).toEqual([]);
  });

  it('renumbers contexts out of order, the reason why association-request.ts sorts them', () => {
    const ids: number[] = [];
    const { made } = engine({
      associationRequested: (association) => {
        ids.push(...association.getPresentationContexts().map(({ id }) => id));
      },
    });
    made.deliver(
      associateRequest({
        contexts: [
          { ...echoContext, id: 3 },
          { ...echoContext, id: 1 },
        ],
      }),
    );
    expect(ids).not.toEqual([3, 1]);
  });

  it('writes a request and reports its accept, reject, and abort within deliver', () => {
    const seen: unknown[] = [];
    const { made, written } = engine({
      associationAccepted: (association) => {
        const { context } = association.getPresentationContexts()[0]!;
        seen.push(context.getResult(), context.getAcceptedTransferSyntaxUid(), association.getMaxPduLength());
      },
      associationRejected: (reject) => seen.push(reject),
      aborted: (source, reason) => seen.push({ source, reason }),
    });
    const association = new dcmjsDimse.association.Association('US', 'THEM');
    association.addTransferSyntaxToPresentationContext(
      association.addPresentationContext(VERIFICATION),
      IMPLICIT,
    );
    made.sendAssociationRequest(association);
    expect(written).toHaveLength(1);
    expect(written[0]!.subarray(10, 42).toString()).toBe(`${'THEM'.padEnd(16)}${'US'.padEnd(16)}`);
    const userInformation = items(written[0]!.subarray(6 + 68)).find(({ type }) => type === 0x50);
    expect(items(userInformation!.value)[1]?.value.toString()).toBe(UID_ROOT_IMPLEMENTATION);
    made.deliver(associateAccept([{ id: 1, result: 0, transferSyntax: IMPLICIT }], 4321));
    made.deliver(pdu(3, Buffer.from([0, 2, 3, 1])));
    made.deliver(pdu(7, Buffer.from([0, 0, 2, 5])));
    expect(seen).toEqual([0, IMPLICIT, 4321, { result: 2, source: 3, reason: 1 }, { source: 2, reason: 5 }]);
  });

  it('reports a PDU it cannot read as failed', () => {
    const { made, failures } = engine();
    made.deliver(pdu(1, Buffer.alloc(20)));
    expect(failures).toHaveLength(1);
  });
});
