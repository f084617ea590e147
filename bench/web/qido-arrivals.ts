/**
 * What arrives beside the searches of `bench dicomweb`, and how fast it does on an index of no studies and on a large one.
 * Called by qido.ts. Files are written beforehand, and sent by DCMTK's storescu over one association.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Receiver } from '../receivers/receiver.ts';
import { send } from '../send.ts';
import { type Series, type Shape, shapeOf, writeSeries } from '../series/series.ts';
import { median } from '../table.ts';
import type { Stage } from './stage.ts';

const SMALL = shapeOf('small', 1);
/** What is timed: a long series, and studies of one small object each, where the index has most to do. */
const KINDS: readonly Shape[] = [
  shapeOf('mr', 1),
  { ...SMALL, title: '1,000 studies of one object of 20 KB', objects: 1000, studies: 1000, perSeries: 1 },
];
/** Of each kind and size of the index; the first is not counted. */
const TIMED = 4;
/** Sent beside the searches, half of them of each kind. */
const BESIDE = 24;

export interface Arrivals {
  /** Seconds, by the studies of the index and the kind. */
  readonly seconds: Map<number, Map<string, number[]>>;
  /** The next of a kind, which nobody has seen yet. */
  next(kind: Shape): Promise<Series>;
  /** Calls `work` while a modality sends without a pause. */
  whileSending(receiver: Receiver, work: (isOver: () => boolean) => Promise<void>): Promise<void>;
}

export async function createArrivals(stage: Stage): Promise<Arrivals> {
  let made = 0;
  const next = (kind: Shape): Promise<Series> => {
    stage.signal.throwIfAborted();
    const title = `${kind.title} ${++made}`;
    return writeSeries({ ...kind, title }, join(stage.workspace, `sent-${made}`));
  };
  return {
    seconds: new Map(),
    next,
    async whileSending(receiver, work) {
      const waiting: Series[] = [];
      for (let n = 0; n < BESIDE; n++) waiting.push(await next(KINDS[n % KINDS.length]!));
      // What was just written must not be written out during the searches.
      spawnSync('sync');
      let objects = 0;
      let isOver = false;
      const began = performance.now();
      const sending = (async () => {
        for (let series = waiting.shift(); series !== undefined && !isOver; series = waiting.shift()) {
          await send(receiver, [[...series.folders]], stage.signal);
          objects += series.objects;
        }
        isOver = true;
        const seconds = (performance.now() - began) / 1000;
        stage.progress(
          `${(objects / seconds).toFixed(0)} objects a second were received beside the searches, for ${seconds.toFixed(0)} s`,
        );
      })();
      try {
        await work(() => isOver);
      } finally {
        isOver = true;
        await sending;
      }
    },
  };
}

/** How long series of each kind take to be sent, into an index of so many studies. */
export async function measureArrivals(
  stage: Stage,
  receiver: Receiver,
  arrivals: Arrivals,
  studies: number,
): Promise<void> {
  const byKind = new Map<string, number[]>();
  for (const kind of KINDS) {
    const seconds: number[] = [];
    for (let n = 0; n < TIMED; n++) {
      const series = await arrivals.next(kind);
      const took = await send(receiver, [[...series.folders]], stage.signal);
      if (n > 0) seconds.push(took);
      await receiver.settled();
    }
    byKind.set(kind.title, seconds);
  }
  arrivals.seconds.set(studies, byKind);
}

/** Isocenter against itself: what the size of the index does to receiving. */
export function tellArrivals(stage: Stage, { seconds }: Arrivals): void {
  for (const kind of KINDS)
    for (const [studies, byKind] of seconds) {
      const all = byKind.get(kind.title) ?? [];
      stage.progress(
        `${kind.title}, into an index of ${studies} studies: ${median(all)?.toFixed(2)} s (${all.map((one) => one.toFixed(2)).join(', ')})`,
      );
    }
}
