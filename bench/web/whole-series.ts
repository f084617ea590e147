/**
 * A whole series as multipart (PS3.18 10.4.1.1.2): how fast it comes and what memory the server takes for it.
 * Called by dicomweb.ts in each round.
 */
import { readTree, resetPeaks } from '../process-tree.ts';
import type { Figure } from './results.ts';
import { type SentSeries, seriesPath } from './shapes.ts';
import { inTurn, type Stage, urlOf } from './stage.ts';

const HEADERS = { Accept: 'multipart/related; type="application/dicom"' };

const figures = (what: string): { time: Figure; rate: Figure; memory: Figure } => ({
  time: { name: `${what} as multipart`, unit: 'ms', goal: { times: [{ server: 'orthanc', ratio: 1 }] } },
  rate: { name: `${what} as multipart, rate`, unit: 'MB/s' },
  memory: { name: `${what} as multipart, peak memory`, unit: 'MB' },
});

export async function measureWholeSeries(stage: Stage, sent: SentSeries, what: string): Promise<void> {
  const { time, rate, memory } = figures(what);
  const request = { path: seriesPath(sent), headers: HEADERS };
  for (const archive of inTurn(stage.archives, stage.round)) {
    const { name } = archive.kind;
    const { pid } = archive.receiver;
    // The peaks begin anew at what is resident now.
    resetPeaks(pid);
    const { ms, bytes } = await stage.load.run(urlOf(archive), [request]);
    stage.results.add(time, name, ms[0]!);
    stage.results.add(rate, name, bytes / 1e6 / (ms[0]! / 1000));
    stage.results.add(memory, name, readTree(pid).memoryBytes / 1e6);
    if (bytes < sent.series.bytes)
      stage.results.fault(time, name, `${bytes} bytes came for a series of ${sent.series.bytes}`);
  }
}
