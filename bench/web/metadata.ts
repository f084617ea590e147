/**
 * /metadata of a series (PS3.18 10.4.1.1.3) of 400 and of 2,000 objects: asked for the first time a moment after the
 * release, again and again, compressed, and as the first thing after a restart; and QIDO for the same objects.
 * Called by dicomweb.ts, which restarts last of all.
 */
import { rm } from 'node:fs/promises';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { LoadOutcome } from './load-job.ts';
import type { Figure, Goal } from './results.ts';
import { freshSeries, type SentSeries, seriesPath } from './shapes.ts';
import { inTurn, makeSeries, type RunningArchive, restart, type Stage, sendTo, urlOf } from './stage.ts';

const SIZES = [400, 2000] as const;
/** Issue 4, in ms. */
const GOALS: Readonly<Record<(typeof SIZES)[number], Goal>> = { 400: { reach: 10 }, 2000: { reach: 40 } };
const CODINGS = ['identity', 'gzip', 'zstd'] as const;
type Coding = (typeof CODINGS)[number];

const FIRST = 'first request, not stable yet, gzip';
const AGAIN = 'again';
const AFTER_RESTART = ['first of all after a restart, gzip', 'second of all after a restart, gzip'] as const;

const figure = (objects: (typeof SIZES)[number], how: string): Figure => ({
  name: `/metadata of ${objects.toLocaleString('en')}, ${how}`,
  unit: 'ms',
  goal: GOALS[objects],
});

/** Of a program that has just started: the first answer it gives at all, then that for the other series. */
export async function measureAfterRestart(
  stage: Stage,
  sent: ReadonlyMap<number, SentSeries>,
): Promise<void> {
  // Each size is the very first every other time.
  const sizes = inTurn(SIZES, stage.round);
  for (const archive of inTurn(stage.archives, stage.round)) {
    await restart(archive);
    for (const [at, objects] of sizes.entries())
      await ask(stage, archive, sent.get(objects)!, figure(objects, AFTER_RESTART[at === 0 ? 0 : 1]));
  }
}

/** @returns the series that were sent, by size */
export async function measureMetadata(stage: Stage): Promise<Map<number, SentSeries>> {
  const sent = new Map<number, SentSeries>();
  for (const objects of SIZES)
    for (const how of [FIRST, AGAIN, `${AGAIN}, gzip`, ...AFTER_RESTART])
      stage.results.declare(figure(objects, how));
  for (const objects of SIZES) {
    const fresh = await makeSeries(stage, freshSeries(objects, stage.round + 1));
    for (const archive of inTurn(stage.archives, stage.round)) {
      await sendTo(stage, archive, fresh);
      await ask(stage, archive, fresh, figure(objects, FIRST));
      for (const coding of CODINGS) await askWarm(stage, archive, fresh, objects, coding);
      await listInstances(stage, archive, fresh, objects);
    }
    for (const folder of fresh.series.folders) await rm(folder, { recursive: true });
    sent.set(objects, fresh);
  }
  return sent;
}

const requestFor = (sent: SentSeries, coding: Coding) => ({
  path: `${seriesPath(sent)}/metadata`,
  headers: { Accept: 'application/dicom+json', 'Accept-Encoding': coding },
});

async function ask(stage: Stage, archive: RunningArchive, sent: SentSeries, what: Figure): Promise<void> {
  const outcome = await stage.load.run(urlOf(archive), [requestFor(sent, 'gzip')], { keepFirst: true });
  stage.results.add(what, archive.kind.name, outcome.ms[0]!);
  check(stage, archive, what, outcome, sent.series.objects);
}

async function askWarm(
  stage: Stage,
  archive: RunningArchive,
  sent: SentSeries,
  objects: (typeof SIZES)[number],
  coding: Coding,
): Promise<void> {
  const what = figure(objects, coding === 'identity' ? AGAIN : `${AGAIN}, ${coding}`);
  const request = requestFor(sent, coding);
  const probe = await stage.load.run(urlOf(archive), [request], { keepFirst: true });
  if (codingOf(probe) !== coding) return;
  check(stage, archive, what, probe, sent.series.objects);
  const { ms } = await stage.load.run(urlOf(archive), [request], { atMost: 20, seconds: 2 });
  for (const time of ms) stage.results.add(what, archive.kind.name, time);
}

/** QIDO for the series' instances, which viewers without /metadata ask for. */
async function listInstances(
  stage: Stage,
  archive: RunningArchive,
  sent: SentSeries,
  objects: (typeof SIZES)[number],
): Promise<void> {
  const what: Figure = { name: `QIDO for the ${objects.toLocaleString('en')} instances`, unit: 'ms' };
  const request = { path: `${seriesPath(sent)}/instances`, headers: { Accept: 'application/dicom+json' } };
  const url = urlOf(archive);
  check(stage, archive, what, await stage.load.run(url, [request], { keepFirst: true }), sent.series.objects);
  const { ms } = await stage.load.run(url, [request], { atMost: 20, seconds: 2 });
  for (const time of ms) stage.results.add(what, archive.kind.name, time);
}

const codingOf = ({ first }: LoadOutcome): string =>
  /\r\ncontent-encoding: *(\w+)/.exec(first?.head ?? '')?.[1] ?? 'identity';

/** A time that was reached by leaving instances out is none. */
function check(
  { results }: Stage,
  archive: RunningArchive,
  what: Figure,
  outcome: LoadOutcome,
  objects: number,
): void {
  const body = outcome.first?.body ?? new Uint8Array();
  const coding = codingOf(outcome);
  const text =
    coding === 'gzip' ? gunzipSync(body) : coding === 'zstd' ? zstdDecompressSync(body) : Buffer.from(body);
  const list: unknown = JSON.parse(text.toString('utf8'));
  const count = Array.isArray(list) ? list.length : 0;
  if (count !== objects) results.fault(what, archive.kind.name, `${count} of ${objects} instances were told`);
}
