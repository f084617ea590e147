/**
 * A modality that brings study after study to an archive that is killed under it, and sends again what was not answered.
 * For the suites that look at what is delivered; senders.ts is its wilder sister for what is received.
 */
import { openAssociation } from '../../src/dimse/outbound-association.ts';
import { type AnObject, anObject, aSeries, CT, EXPLICIT, MR } from '../support/an-object.ts';
import type { Chance } from './chance.ts';

export interface SteadyModality {
  /** Everything it ever made. */
  readonly objects: AnObject[];
  /** Objects that no archive has answered Success for. */
  readonly unanswered: number;
  /** A new study; some have an object of another SOP class. */
  scan(): void;
  /** Sends what is unanswered, over one association for each study. @returns why it ended early, if it did */
  send(dicomPort: number): Promise<string | undefined>;
}

export function createSteadyModality(chance: Chance): SteadyModality {
  const objects: AnObject[] = [];
  let waiting: AnObject[] = [];

  async function sendAll(port: number): Promise<void> {
    for (const study of Map.groupBy(waiting, (object) => object.study).values()) {
      const association = await openAssociation({
        host: '127.0.0.1',
        port,
        callingAeTitle: 'MODALITY',
        calledAeTitle: 'ISOCENTER',
        contexts: [CT, MR].map((abstractSyntax) => ({ abstractSyntax, transferSyntaxes: [EXPLICIT] })),
      });
      try {
        for (const object of study) {
          const { status } = await association.store(object.declared, whole(object.dataSet));
          if (status !== 0) throw new Error(`0x${status.toString(16)} was answered`);
          waiting = waiting.filter((one) => one !== object);
        }
      } finally {
        await association.release();
      }
    }
  }

  return {
    objects,
    get unanswered() {
      return waiting.length;
    },
    scan() {
      const slices = aSeries(chance.whole(8, 24), {
        pixelBytes: chance.whole(500, 40_000) * 2,
        pixels: chance.whole(0, 2 ** 31),
      });
      const { study, series } = slices[0]!;
      if (chance.happens(0.3))
        slices.splice(chance.whole(0, slices.length), 0, anObject({ study, series, sopClass: MR }));
      objects.push(...slices);
      waiting.push(...slices);
    },
    async send(dicomPort) {
      try {
        await sendAll(dicomPort);
        return undefined;
      } catch (thrown) {
        return thrown instanceof Error ? thrown.message : String(thrown);
      }
    },
  };
}

async function* whole(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
