/** Pictures of single frames (PS3.18 10.4.1.1.4) as JPEG, 512×512. Called by dicomweb.ts in each round. */
import type { Figure } from './results.ts';
import { instancePath, type SentSeries } from './shapes.ts';
import { inTurn, type Stage, urlOf } from './stage.ts';

const HEADERS = { Accept: 'image/jpeg' };
const ALONE: Figure = { name: 'rendered 512×512, JPEG', unit: 'ms', goal: { reach: 5 } };
const TOGETHER: Figure = { name: 'rendered 512×512, JPEG, over 8 connections', unit: '/s' };
const JPEG_START = [0xff, 0xd8];

export async function measureRendered(stage: Stage, sent: SentSeries): Promise<void> {
  const requests = Array.from({ length: sent.series.objects }, (_, n) => ({
    path: `${instancePath(sent, n)}/rendered`,
    headers: HEADERS,
  }));
  for (const archive of inTurn(stage.archives, stage.round)) {
    const { name } = archive.kind;
    const url = urlOf(archive);
    const { first } = await stage.load.run(url, requests, { keepFirst: true });
    const jpeg = JPEG_START.every((byte, at) => first?.body[at] === byte);
    if (!jpeg) stage.results.fault(ALONE, name, 'the answer is no JPEG');
    const { ms } = await stage.load.run(url, requests, { warmUp: 20, seconds: 1.5, atMost: 400 });
    for (const time of ms) stage.results.add(ALONE, name, time);
    const job = { connections: 8, warmUp: 8, seconds: 1.5, atMost: 4000 };
    const { ms: all, wallSeconds } = await stage.load.run(url, requests, job);
    stage.results.add(TOGETHER, name, all.length / wallSeconds);
  }
}
