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
import { createArrivals, measureArrivals, tellArrivals } from './qido-arrivals.ts';
import type { SearchTimes } from './qido-table.ts';
import { percentile } from './results.ts';
import { SEARCH_KEYS, type SearchKey, searchesFor, studyByChance } from './searches.ts';
import type { Stage } from './stage.ts';

const SEARCHES = 400;
/** Of one key, at most. */
const SECONDS = 5;
/** So many of each key at first, which nobody counts: the program is as warm for the small index as for the large one. */
const WARM_UP = 100;

export interface QidoPlan {
  /** Sizes of the index, in studies, smallest first. */
  readonly studies: readonly number[];
  /** A data folder that `bench seed` has filled with the largest of them, to be searched instead of a new one. */
  readonly index: string | undefined;
  /** By performance.now(): no size is begun later. */
  readonly until: number;
}

/** Adds to `times` as it goes, so that what was measured is told when something fails. */
export async function measureQido(stage: Stage, plan: QidoPlan, times: SearchTimes[]): Promise<void> {
  const arrivals = await createArrivals(stage);
  const folder = plan.index ?? join(stage.workspace, 'index');
  await mkdir(folder, { recursive: true });
  const receiver = await isocenter.start(folder);
  try {
    if (plan.index === undefined) await measureArrivals(stage, receiver, arrivals, 0);
    let seeded = 0;
    for (const studies of plan.index === undefined ? plan.studies : plan.studies.slice(-1)) {
      if (performance.now() > plan.until)
        throw new Error(`The time is up: no index of ${studies} studies was made`);
      if (plan.index === undefined) await seedTo(stage, folder, seeded, studies);
      seeded = studies;
      await measureSearches(stage, receiver, studies, times);
    }
    await measureArrivals(stage, receiver, arrivals, seeded);
    tellArrivals(stage, arrivals);
    await arrivals.whileSending(receiver, (isOver) =>
      searchMeanwhile(stage, receiver, seeded, times, isOver),
    );
  } finally {
    await receiver.stop();
    if (plan.index === undefined) await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function seedTo(stage: Stage, folder: string, from: number, to: number): Promise<void> {
  const began = performance.now();
  const database = embeddedDatabase(folder);
  await fill(database, { from, to, signal: stage.signal, progress: countProgress(to - from) });
  await tidy(database);
  const seconds = (performance.now() - began) / 1000;
  stage.progress(`An index of ${to} studies was made in ${seconds.toFixed(0)} s`);
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
  for (const key of SEARCH_KEYS) times.push(await search(stage, receiver, key, studies));
}

async function search(
  { load }: Stage,
  receiver: Receiver,
  key: SearchKey,
  studies: number,
): Promise<SearchTimes> {
  const requests = searchesFor(key, studies, SEARCHES);
  const url = receiver.url ?? '';
  const probe = await load.run(url, requests, { keepFirst: true });
  const found = Buffer.from(probe.first?.body ?? []).toString('utf8');
  if (found === '') throw new Error(`QIDO by ${key.name} found nothing of an index of ${studies} studies`);
  if (key.exact && !found.includes(studyByChance(key, studies, 0).studyUid))
    throw new Error(`QIDO by ${key.name} did not find the study that has it`);
  const { ms } = await load.run(url, requests.slice(1), { warmUp: 20, seconds: SECONDS, atMost: SEARCHES });
  return timesOf(key, studies, 'at rest', ms);
}

const timesOf = (
  key: SearchKey,
  studies: number,
  when: SearchTimes['when'],
  ms: readonly number[],
): SearchTimes => ({
  key,
  studies,
  when,
  requests: ms.length,
  p50: percentile(ms, 0.5)!,
  p99: percentile(ms, 0.99)!,
});

/** All keys in turn, one search of each after the other, for as long as objects arrive. */
async function searchMeanwhile(
  { load }: Stage,
  receiver: Receiver,
  studies: number,
  times: SearchTimes[],
  isOver: () => boolean,
): Promise<void> {
  const requests = SEARCH_KEYS.map((key) => searchesFor(key, studies, SEARCHES));
  const ms = SEARCH_KEYS.map((): number[] => []);
  for (let turn = 0; !isOver(); turn++) {
    const round = requests.map((ofKey) => ofKey[turn % SEARCHES]!);
    // Over one connection answers come in the order of the requests.
    const outcome = await load.run(receiver.url ?? '', round, { atMost: round.length });
    if (isOver()) break;
    for (const [n, one] of outcome.ms.entries()) ms[n]!.push(one);
  }
  for (const [n, key] of SEARCH_KEYS.entries())
    if (ms[n]!.length > 0) times.push(timesOf(key, studies, 'while receiving', ms[n]!));
}
