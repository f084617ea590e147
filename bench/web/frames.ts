/**
 * Single frames (PS3.18 10.4.1.1.6) as viewers ask for them, over eight connections, beside bare Node and nginx that hand
 * out the same bytes as files; and the first and the last frame of a 2,000-frame object. Called by dicomweb.ts.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadOutcome, Request } from './load-job.ts';
import { type Figure, percentile } from './results.ts';
import { frameBytes, instancePath, type SentSeries } from './shapes.ts';
import { inTurn, type Stage, urlOf } from './stage.ts';

const MULTIPART = { Accept: 'multipart/related; type="application/octet-stream"' };
const SINGLE = { Accept: 'application/octet-stream' };

const RATE: Figure = {
  name: 'one frame of 512 KB, multipart, over 8 connections',
  unit: '/s',
  goal: {
    times: [
      { server: 'orthanc', ratio: 4 },
      { server: 'node', ratio: 0.7 },
    ],
  },
};
const SINGLE_RATE: Figure = {
  name: 'one frame of 512 KB, single part, over 8 connections',
  unit: '/s',
  goal: { times: [{ server: 'node', ratio: 0.7 }] },
};
const P99: Figure = { name: 'of these, multipart, 99 in 100 answered in', unit: 'ms' };
const FIRST: Figure = { name: 'first frame of 2,000 in one object', unit: 'ms' };
const LAST: Figure = { name: 'last frame of 2,000 in one object', unit: 'ms' };

/** Beside each other so that no server is asked for what it has just sent. */
const SECONDS = 2;
const WARM_UP = 400;

/** The frames as files for the file servers: one for each object, 1 to n. @returns the folder */
export function writeFrameFiles(sent: SentSeries, workspace: string): string {
  const folder = join(workspace, 'frames');
  mkdirSync(folder);
  const files = sent.series.folders.flatMap((lane) => readdirSync(lane).map((name) => join(lane, name)));
  for (const [index, file] of files.entries())
    writeFileSync(join(folder, String(index + 1)), readFileSync(file).subarray(-frameBytes(sent.shape)));
  return folder;
}

export async function measureFrames(stage: Stage, sent: SentSeries, files: string): Promise<void> {
  const { objects } = sent.series;
  const frames = (headers: Request['headers']): Request[] =>
    Array.from({ length: objects }, (_, n) => ({ path: `${instancePath(sent, n)}/frames/1`, headers }));
  const turns = [
    ...stage.archives.map((archive) => ({
      name: archive.kind.name,
      url: urlOf(archive),
      requests: frames(MULTIPART),
      figures: [RATE],
    })),
    ...stage.archives
      .filter(({ kind }) => kind.name === 'isocenter')
      .map((archive) => ({
        name: archive.kind.name,
        url: urlOf(archive),
        requests: frames(SINGLE),
        figures: [SINGLE_RATE],
      })),
    ...stage.fileServers.map(({ kind, server }) => ({
      name: kind.name,
      url: server.url,
      requests: Array.from({ length: objects }, (_, n) => ({ path: `/${n + 1}`, headers: {} })),
      figures: [RATE, SINGLE_RATE],
    })),
  ];
  const expected = readFileSync(join(files, '1'));
  for (const { name, url, requests, figures } of inTurn(turns, stage.round)) {
    const probe = await stage.load.run(url, requests, { keepFirst: true });
    const job = { connections: 8, warmUp: WARM_UP, seconds: SECONDS, atMost: 100_000 };
    const outcome = await stage.load.run(url, requests, job);
    for (const figure of figures) {
      stage.results.add(figure, name, outcome.ms.length / outcome.wallSeconds);
      if (!holds(probe, expected)) stage.results.fault(figure, name, 'the frame has other bytes');
    }
    if (figures.includes(RATE)) stage.results.add(P99, name, percentile(outcome.ms, 0.99)!);
  }
}

/** The frame stands in the answer, be it a part of it. */
const holds = ({ first }: LoadOutcome, bytes: Buffer): boolean =>
  first !== undefined && Buffer.from(first.body).includes(bytes);

export async function measureMultiFrame(stage: Stage, sent: SentSeries): Promise<void> {
  const path = `${instancePath(sent, 0)}/frames`;
  for (const archive of inTurn(stage.archives, stage.round)) {
    for (const [figure, number] of [
      [FIRST, 1],
      [LAST, sent.shape.frames],
    ] as const) {
      const request = { path: `${path}/${number}`, headers: MULTIPART };
      const { ms, bytes } = await stage.load.run(urlOf(archive), [request], {
        warmUp: 1,
        seconds: 1.5,
        atMost: 50,
      });
      for (const time of ms) stage.results.add(figure, archive.kind.name, time);
      if (bytes < ms.length * frameBytes(sent.shape))
        stage.results.fault(figure, archive.kind.name, 'the answer is shorter than the frame');
    }
  }
}
