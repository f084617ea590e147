/**
 * QIDO-RS over a seeded index of two sizes, at rest and while a modality sends as fast as it can. Isocenter alone: the
 * goals are times, and no peer's index can be seeded. Called by dicomweb.ts when everything else has been measured.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isocenter } from '../receivers/isocenter.ts';
import type { Receiver } from '../receivers/receiver.ts';
import { embeddedDatabase, fill, tidy } from '../seed/fill.ts';
import { countProgress } from '../seed.ts';
import { send } from '../send.ts';
import { type Series, shapeOf, writeSeries } from '../series/series.ts';
import type { SearchTimes } from './qido-table.ts';
import { percentile } from './results.ts';
import { SEARCH_KEYS, type SearchKey, searchesFor, studyByChance } from './searches.ts';
import type { Stage } from './stage.ts';

const SEARCHES = 400;
/** Of one key, at most. */
const SECONDS = 5;
const SECONDS_WHILE_RECEIVING = 1;
/** So many of each key at first, which nobody counts: the program is as warm for the small index as for the large one. */
const WARM_UP = 100;
/** What a modality sends meanwhile: series of 1,000 slices of 256×256, 130 MB each, written beforehand. */
const SENT_SERIES = 12;
const SENT = shapeOf('mr', 1);

export interface QidoPlan {
  /** Sizes of the index, in studies, smallest first. */
  readonly studies: readonly number[];
  /** By performance.now(): no size is begun later. */
  readonly until: number;
}

/** Adds to `times` as it goes, so that what was measured is told when something fails. */
export async function measureQido(stage: Stage, plan: QidoPlan, times: SearchTimes[]): Promise<void> {
  const folder = join(stage.workspace, 'index');
  await mkdir(folder);
  const receiver = await isocenter.start(folder);
  try {
    let seeded = 0;
    for (const studies of plan.studies) {
      if (performance.now() > plan.until)
        throw new Error(`The time is up: no index of ${studies} studies was made`);
      const began = performance.now();
      const database = embeddedDatabase(folder);
      const progress = countProgress(studies - seeded);
      await fill(database, { from: seeded, to: studies, signal: stage.signal, progress });
      seeded = studies;
      await tidy(database);
      const seconds = (performance.now() - began) / 1000;
      stage.progress(`An index of ${studies} studies was made in ${seconds.toFixed(0)} s`);
      await measureSearches(stage, receiver, studies, times);
    }
    await whileReceiving(stage, receiver, seeded, times);
  } finally {
    await receiver.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Every key at rest. */
async function measureSearches(
  stage: Stage,
  receiver: Receiver,
  studies: number,
  times: SearchTimes[],
): Promise<void> {
  for (const key of SEARCH_KEYS)
    await stage.load.run(receiver.url ?? '', searchesFor(key, studies, WARM_UP), {
      atMost: WARM_UP,
      seconds: 2,
    });
  for (const key of SEARCH_KEYS) times.push(await search(stage, receiver, key, studies, 'at rest', SECONDS));
}

async function search(
  { load }: Stage,
  receiver: Receiver,
  key: SearchKey,
  studies: number,
  when: SearchTimes['when'],
  seconds: number,
): Promise<SearchTimes> {
  const requests = searchesFor(key, studies, SEARCHES);
  const url = receiver.url ?? '';
  const probe = await load.run(url, requests, { keepFirst: true });
  const found = Buffer.from(probe.first?.body ?? []).toString('utf8');
  if (found === '') throw new Error(`QIDO by ${key.name} found nothing of an index of ${studies} studies`);
  if (key.exact && !found.includes(studyByChance(key, studies, 0).studyUid))
    throw new Error(`QIDO by ${key.name} did not find the study that has it`);
  const { ms } = await load.run(url, requests.slice(1), { warmUp: 20, seconds, atMost: SEARCHES });
  return {
    key,
    studies,
    when,
    requests: ms.length,
    p50: percentile(ms, 0.5)!,
    p99: percentile(ms, 0.99)!,
  };
}

/** Until the prepared series have been sent: what has not been searched for by then is not told. */
async function whileReceiving(
  stage: Stage,
  receiver: Receiver,
  studies: number,
  times: SearchTimes[],
): Promise<void> {
  const waiting: Series[] = [];
  for (let n = 0; n < SENT_SERIES; n++) {
    stage.signal.throwIfAborted();
    waiting.push(await writeSeries({ ...SENT, title: `web sent ${n}` }, join(stage.workspace, `sent-${n}`)));
  }
  let objects = 0;
  let ended = false;
  const began = performance.now();
  const sending = (async () => {
    for (let series = waiting.shift(); series !== undefined && !ended; series = waiting.shift()) {
      await send(receiver, [[...series.folders]], stage.signal);
      objects += series.objects;
    }
    ended = true;
    stage.progress(
      `${((objects / (performance.now() - began)) * 1000).toFixed(0)} objects a second were received beside the searches`,
    );
  })();
  try {
    for (const key of SEARCH_KEYS) {
      const one = await search(stage, receiver, key, studies, 'while receiving', SECONDS_WHILE_RECEIVING);
      if (ended) break;
      times.push(one);
    }
  } finally {
    ended = true;
    await sending;
  }
}
