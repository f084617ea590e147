/**
 * The journal of the web door: STOW's bytes come over a MessagePort from the main thread, so that no sync ever
 * blocks HTTP. Started by intake.ts; web-reception.ts is the other end of the port.
 */
import { type MessagePort, workerData } from 'node:worker_threads';
import { asFailure, Failure } from '../../failure.ts';
import { type PlainFailure, type ReceptionOutcome, toPlain } from './messages.ts';
import type { ObjectWriter } from './object-writer.ts';
import { createIntake, type IntakeOptions, type Reception } from './reception.ts';
import type { Provenance } from './record.ts';

export interface WebThreadData {
  intake: Omit<IntakeOptions, 'port'>;
  settlerPort: MessagePort;
  webPort: MessagePort;
}

export type WebCall =
  | { call: 'open'; reception: string; from: Provenance }
  | {
      call: 'begin';
      reception: string;
      object: number;
      declared: { sopClassUid: string; sopInstanceUid: string; transferSyntaxUid: string };
    }
  | { call: 'write'; reception: string; object: number; chunk: Uint8Array }
  | { call: 'finish'; reception: string; object: number }
  | { call: 'abort'; reception: string; object: number }
  | { call: 'indexed'; reception: string; limitMs: number }
  | { call: 'close'; reception: string; outcome: ReceptionOutcome; refused: number }
  | { call: 'end' };

export type WebAnswer = { id: number; result?: unknown; failure?: PlainFailure };

const data = workerData as WebThreadData;
const intake = createIntake({ ...data.intake, port: data.settlerPort });
const receptions = new Map<string, { reception: Reception; objects: Map<number, ObjectWriter> }>();

data.webPort.on('message', ({ id, ...call }: WebCall & { id: number }) => {
  void answer(call as WebCall).then(
    (result) => data.webPort.postMessage({ id, result } satisfies WebAnswer),
    (thrown: unknown) =>
      data.webPort.postMessage({ id, failure: toPlain(asFailure(thrown)) } satisfies WebAnswer),
  );
});

async function answer(call: WebCall): Promise<unknown> {
  if (call.call === 'open') {
    receptions.set(call.reception, { reception: intake.open(call.from), objects: new Map() });
    return undefined;
  }
  if (call.call === 'end') {
    for (const { objects } of receptions.values()) for (const writer of objects.values()) writer.abort();
    intake.close();
    data.settlerPort.close();
    data.webPort.close();
    return undefined;
  }
  const known = receptions.get(call.reception);
  if (!known) throw new Failure('internal', 'the reception is not open');
  const { reception, objects } = known;
  switch (call.call) {
    case 'begin':
      objects.set(call.object, reception.begin(call.declared));
      return undefined;
    case 'write':
      await writerOf(objects, call.object).write(call.chunk);
      return undefined;
    case 'finish': {
      const writer = writerOf(objects, call.object);
      // It stays open meanwhile: a request that ends here drops it.
      await writer.inflated();
      objects.delete(call.object);
      const object = writer.finish();
      await reception.acknowledged(object);
      return {
        studyUid: object.studyInstanceUid,
        seriesUid: object.seriesInstanceUid,
        sopUid: object.sopInstanceUid,
      };
    }
    case 'abort':
      objects.get(call.object)?.abort();
      objects.delete(call.object);
      return undefined;
    case 'indexed':
      return reception.indexed(call.limitMs);
    case 'close':
      for (const writer of objects.values()) writer.abort();
      for (let n = 0; n < call.refused; n++) reception.refused();
      reception.close(call.outcome);
      receptions.delete(call.reception);
      return undefined;
  }
}

function writerOf(objects: Map<number, ObjectWriter>, object: number): ObjectWriter {
  const writer = objects.get(object);
  if (!writer) throw new Failure('internal', 'the object is not open');
  return writer;
}
