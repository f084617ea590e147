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
import { type Listener, listen } from './listener.ts';

export interface ReceiverData {
  host: string;
  port: number;
  shared: boolean;
  policy: AdmissionPolicy;
  intake: Omit<IntakeOptions, 'port'>;
  settlerPort: MessagePort;
  openCounts: SharedArrayBuffer;
  slot: number;
  logLevel: string;
}

export type FromReceiver =
  | { type: 'listening'; port: number }
  | { type: 'failed'; kind: string; message: string }
  | { type: 'refusal'; refusal: Refusal }
  | { type: 'association-end'; how: CloseReason; stored: number; refused: number; bytes: number }
  | { type: 'drained' };

export type ToReceiver = { type: 'drain'; limitMs: number };

const data = workerData as ReceiverData;
const parent = parentPort!;
const say = (message: FromReceiver): void => parent.postMessage(message);
const intake = createIntake({ ...data.intake, port: data.settlerPort });

let listener: Listener | undefined;
try {
  listener = await listen({
    host: data.host,
    port: data.port,
    shared: data.shared,
    policy: data.policy,
    intake,
    openCounts: new Int32Array(data.openCounts),
    slot: data.slot,
    onRefusal: (refusal) => say({ type: 'refusal', refusal }),
    onAssociationEnd: (end) => say({ type: 'association-end', ...end }),
    log: createLog(data.logLevel, 'scp'),
  });
  say({ type: 'listening', port: listener.port });
} catch (thrown) {
  const failure = asFailure(thrown);
  say({ type: 'failed', kind: failure.kind, message: failure.message });
}

parent.on('message', (message: ToReceiver) => {
  if (message.type === 'drain') void drain(message.limitMs);
});

async function drain(limitMs: number): Promise<void> {
  await listener?.drain(limitMs);
  intake.close();
  data.settlerPort.close();
  say({ type: 'drained' });
  parent.close();
}
