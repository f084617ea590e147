/**
 * One receiver thread: its own listener on the DICOM port and its own journal, so that a sync blocks nobody else.
 * Started by scp.ts, which hears of refusals and counts over parentPort.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { createIntake, type IntakeOptions } from '../archive/intake/reception.ts';
import type { Refusal } from '../archive/refusal.ts';
import type { CloseReason } from '../dimse/inbound-association.ts';
import { asFailure } from '../failure.ts';
import { createLog } from '../log.ts';
import type { AdmissionPolicy } from './admission.ts';
import { createAssociationSlots } from './association-slots.ts';
import type { InboundLimits } from './inbound.ts';
import { type Listener, listen } from './listener.ts';
import { type OperationFromReceiver, type OperationToReceiver, ReceiverRelay } from './operation-relay.ts';
import type { TlsMaterial } from './tls.ts';

export interface ReceiverData {
  host: string;
  port: number | undefined;
  tls: { port: number; material: TlsMaterial } | undefined;
  shared: boolean;
  policy: AdmissionPolicy;
  limits: InboundLimits;
  maxWaiting: number;
  intake: Omit<IntakeOptions, 'port'>;
  settlerPort: MessagePort;
  /** association-slots.ts, shared with the other threads. */
  slots: SharedArrayBuffer;
  thread: number;
  logLevel: string;
}

export type FromReceiver =
  | OperationFromReceiver
  | { type: 'listening'; port: number | undefined; tlsPort: number | undefined }
  | { type: 'policy-taken'; number: number }
  | { type: 'failed'; kind: string; message: string }
  | { type: 'refusal'; refusal: Refusal }
  | { type: 'association-end'; how: CloseReason; stored: number; refused: number; bytes: number }
  | { type: 'drained' };

export type ToReceiver =
  | OperationToReceiver
  | { type: 'drain'; limitMs: number }
  | { type: 'policy'; number: number; policy: AdmissionPolicy }
  | { type: 'tls'; material: TlsMaterial };

const data = workerData as ReceiverData;
const parent = parentPort!;
const say = (message: FromReceiver): void => parent.postMessage(message);
const relay = new ReceiverRelay(say);
const intake = createIntake({ ...data.intake, port: data.settlerPort });

let { policy } = data;
// Heard before the listener is open, so that no change is missed.
parent.on('message', (message: ToReceiver) => {
  if (message.type === 'policy') {
    policy = message.policy;
    say({ type: 'policy-taken', number: message.number });
  } else if (message.type === 'outcome' || message.type === 'tell') relay.take(message);
  else if (message.type === 'tls') void opening.then((listener) => listener?.setTls(message.material));
  else void opening.then((listener) => drain(listener, message.limitMs));
});
const opening: Promise<Listener | undefined> = open();

async function open(): Promise<Listener | undefined> {
  try {
    const listener = await listen({
      host: data.host,
      port: data.port,
      tls: data.tls,
      shared: data.shared,
      policy: () => policy,
      limits: data.limits,
      maxWaiting: data.maxWaiting,
      intake,
      slots: createAssociationSlots(data.slots, data.thread),
      operate: (operation, from, association) => relay.operate(operation, from, association),
      onRefusal: (refusal) => say({ type: 'refusal', refusal }),
      onAssociationEnd: (end) => say({ type: 'association-end', ...end }),
      log: createLog(data.logLevel, 'scp'),
    });
    say({ type: 'listening', port: listener.port, tlsPort: listener.tlsPort });
    return listener;
  } catch (thrown) {
    const failure = asFailure(thrown);
    say({ type: 'failed', kind: failure.kind, message: failure.message });
    end();
    return undefined;
  }
}

async function drain(listener: Listener | undefined, limitMs: number): Promise<void> {
  await listener?.drain(limitMs);
  say({ type: 'drained' });
  end();
}

/** With the ports closed nothing is left to wait for, and the thread ends. */
function end(): void {
  intake.close();
  data.settlerPort.close();
  parent.close();
}
