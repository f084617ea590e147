/**
 * A modality that keeps its word: it sends each object until it is answered Success, and deletes it only then. What it
 * is told meanwhile stands in its diary, to be judged at the end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type OutboundAssociation, openAssociation } from '../../src/dimse/outbound-association.ts';
import { type AnObject, CT, EXPLICIT } from '../support/an-object.ts';

export interface Diary {
  acknowledged: AnObject[];
  /** Statuses that were not Success, with their comments. */
  refusals: { status: number; comment: string }[];
  /** Associations that ended otherwise than by us, or could not be opened. */
  lost: number;
}

export interface HonestSenderOptions {
  dicomPort: number;
  objects: readonly AnObject[];
  /** After so many Successes, in the middle of the association: `act` comes before the next object, `beside` goes on with it. */
  during?: { after: number; act?: () => Promise<unknown>; beside?: () => Promise<unknown> };
  /** How long all of it may take. */
  limitMs?: number;
  /** Written while it goes on; of use where it does not come to its end. */
  diary?: Diary;
}

export const openDiary = (): Diary => ({ acknowledged: [], refusals: [], lost: 0 });

/** Whether a sender that is told this sends again later (PS3.4 Table B.2-1: Refused, Out of Resources). */
export const isTransient = ({ status }: { status: number }): boolean => (status & 0xff00) === 0xa700;

/** Sends them over one association after the other until all are taken. @throws when they are not within the limit */
export async function sendHonestly(options: HonestSenderOptions): Promise<Diary> {
  const { objects, during, limitMs = 90_000, diary = openDiary() } = options;
  const until = Date.now() + limitMs;
  const waiting = [...objects];
  let act: Promise<unknown> | undefined;
  while (waiting.length > 0) {
    let association: OutboundAssociation | undefined;
    try {
      association = await openAssociation({
        host: '127.0.0.1',
        port: options.dicomPort,
        callingAeTitle: 'HONEST',
        calledAeTitle: 'ISOCENTER',
        contexts: [{ abstractSyntax: CT, transferSyntaxes: [EXPLICIT] }],
      });
      for (let next = waiting[0]; next; next = waiting[0]) {
        if (during && !act && diary.acknowledged.length >= during.after) {
          await during.act?.();
          act = during.beside?.() ?? Promise.resolve();
          act.catch(() => undefined); // awaited at the end
        }
        const { status, errorComment } = await association.store(next.declared, inPieces(next.dataSet));
        if (status === 0) diary.acknowledged.push(waiting.shift()!);
        else {
          diary.refusals.push({ status, comment: errorComment ?? '' });
          await sleep(250);
        }
        if (Date.now() > until) throw new TooLate(`${waiting.length} of ${objects.length} are not taken`);
      }
      await association.release();
    } catch (thrown) {
      association?.abort();
      if (thrown instanceof TooLate || Date.now() > until)
        throw new Error(`not all were taken; the diary says ${JSON.stringify(summary(diary))}`, {
          cause: thrown,
        });
      diary.lost++;
      await sleep(250);
    }
  }
  await act;
  return diary;
}

class TooLate extends Error {}

export function summary({ acknowledged, refusals, lost }: Diary): Record<string, unknown> {
  return { acknowledged: acknowledged.length, lost, refusals: refusals.length, last: refusals.at(-1) };
}

async function* inPieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 256 * 1024) yield bytes.subarray(at, at + 256 * 1024);
}
