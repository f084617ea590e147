/**
 * `npm run bench -- dicomweb`: how fast what was received is served, beside Orthanc's DICOMweb over the same objects and,
 * for frames, a bare Node server and nginx with the same bytes as files; all in the same run, in alternating order.
 * Called by run.ts. Prints progress to stderr, the table to stdout; removes everything it wrote.
 */
import { findPeer, missing } from '../test/support/peers.ts';
import { parseDicomwebOptions } from './dicomweb-options.ts';
import { describeMachine } from './machine.ts';
import { ARCHIVES } from './web/archives.ts';
import { measureCompressed, storeCompressed } from './web/compressed.ts';
import { FILE_SERVERS } from './web/file-servers.ts';
import { measureFrames, measureMultiFrame, writeFrameFiles } from './web/frames.ts';
import { startLoad } from './web/load.ts';
import { measureAfterRestart, measureMetadata } from './web/metadata.ts';
import { measureQido } from './web/qido.ts';
import { QIDO_LEGEND, qidoTable, type SearchTimes } from './web/qido-table.ts';
import { measureRendered } from './web/rendered.ts';
import { createResults } from './web/results.ts';
import { CT_SERIES, MULTI_FRAME, type SentSeries } from './web/shapes.ts';
import { inTurn, makeSeries, type Stage, sendTo, startArchive } from './web/stage.ts';
import { WEB_LEGEND, webTable } from './web/web-table.ts';
import { measureWholeSeries } from './web/whole-series.ts';
import { openWorkspace } from './workspace.ts';

/** The series three times (files, two archives), the journal, the frames as files, and the reserve that Isocenter keeps. */
const NEEDED_BYTES = 8e9;

/** @returns the exit code: 0 also when slow, 1 when something is void or it was interrupted */
export async function dicomweb(args: readonly string[]): Promise<number> {
  const known = [...ARCHIVES, ...FILE_SERVERS].filter(({ name }) => name !== 'isocenter');
  const options = parseDicomwebOptions(
    args,
    known.map(({ name }) => name),
  );
  if (!findPeer('dcmtk')) throw new Error(`The senders are DCMTK's: ${missing('dcmtk')}`);
  const here = <Kind extends { name: string; missing?: string }>(kinds: readonly Kind[]): Kind[] =>
    kinds.filter((kind) => {
      if (options.without.includes(kind.name)) return false;
      if (kind.missing) progress(`Left out: ${kind.missing}`);
      return !kind.missing;
    });
  const archiveKinds = here(ARCHIVES);
  const fileServerKinds = options.parts.includes('frames') ? here(FILE_SERVERS) : [];
  const workspace = await openWorkspace(options.folder, NEEDED_BYTES);
  const { signal } = workspace;

  const kinds = [...archiveKinds, ...fileServerKinds];
  const about = [
    ...describeMachine(workspace.path),
    ...kinds.map(({ name, command }) => `${name}: ${command}`),
  ];
  progress(about.join('\n'));
  const results = createResults();
  const stage: Stage = {
    workspace: workspace.path,
    signal,
    load: startLoad(signal),
    results,
    archives: [],
    fileServers: [],
    round: 0,
    progress,
  };
  const searchTimes: SearchTimes[] = [];
  let stopped: unknown;
  try {
    const until = performance.now() + options.minutes * 60_000;
    if (options.parts.some((part) => part !== 'qido')) {
      for (const kind of archiveKinds) stage.archives.push(await startArchive(kind, workspace.path));
      await measureAll(stage, { ...options, until, fileServerKinds });
    }
    if (options.parts.includes('qido')) {
      await stopAll(stage);
      await measureQido(stage, { ...options, until }, searchTimes);
    }
  } catch (thrown) {
    stopped = thrown;
  } finally {
    await stopAll(stage);
    await stage.load.stop();
    await workspace.remove();
  }
  console.log(`\n${about.map((line) => `    ${line}`).join('\n')}`);
  if (results.figures.length > 0) console.log(`\n${webTable(results, kinds)}\n\n${WEB_LEGEND}`);
  if (searchTimes.length > 0) console.log(`\n${qidoTable(searchTimes)}\n\n${QIDO_LEGEND}`);
  for (const fault of results.faults) console.log(`VOID: ${fault}`);
  if (stopped && !signal.aborted) throw stopped;
  return stopped || results.faults.length > 0 ? 1 : 0;
}

/** May be called twice. */
async function stopAll({ fileServers, archives }: Stage): Promise<void> {
  for (const { server } of fileServers.splice(0)) await server.stop();
  for (const { receiver } of archives.splice(0)) await receiver.stop();
}

interface Plan {
  readonly parts: readonly string[];
  readonly rounds: number;
  /** By performance.now(). */
  readonly until: number;
  readonly fileServerKinds: typeof FILE_SERVERS;
}

async function measureAll(stage: Stage, { parts, rounds, until, fileServerKinds }: Plan): Promise<void> {
  const wants = (...names: string[]): boolean => names.some((name) => parts.includes(name));
  const ct = wants('frames', 'series', 'rendered') ? await sendToAll(stage, CT_SERIES) : undefined;
  const multiFrame = wants('multi-frame', 'series') ? await sendToAll(stage, MULTI_FRAME) : undefined;
  if (wants('rendered')) await storeCompressed(stage);
  const files = ct && wants('frames') ? writeFrameFiles(ct, stage.workspace) : undefined;
  if (files !== undefined)
    for (const kind of fileServerKinds)
      stage.fileServers.push({ kind, server: await kind.start(files, stage.workspace) });
  let fresh: ReadonlyMap<number, SentSeries> = new Map();
  for (let round = 0; round < rounds; round++) {
    if (performance.now() > until)
      throw new Error('The time is up (--minutes); the table has what was measured');
    stage.round = round;
    const began = performance.now();
    if (wants('metadata')) fresh = await measureMetadata(stage);
    if (ct && files !== undefined) await step(stage, () => measureFrames(stage, ct, files));
    if (multiFrame && wants('multi-frame')) await step(stage, () => measureMultiFrame(stage, multiFrame));
    if (ct && wants('series')) await step(stage, () => measureWholeSeries(stage, ct, '200 MB in 400 slices'));
    if (multiFrame && wants('series'))
      await step(stage, () => measureWholeSeries(stage, multiFrame, '262 MB in one object'));
    if (ct && wants('rendered')) await step(stage, () => measureRendered(stage, ct));
    if (wants('rendered')) await step(stage, () => measureCompressed(stage));
    const seconds = (performance.now() - began) / 1000;
    stage.progress(`Round ${round + 1} of ${rounds} took ${seconds.toFixed(0)} s`);
  }
  // Last, so that until then every server has run as long as the others.
  for (let round = 0; round < rounds && wants('metadata'); round++) {
    stage.round = round;
    await step(stage, () => measureAfterRestart(stage, fresh));
  }
}

function step(stage: Stage, measure: () => Promise<void>): Promise<void> {
  stage.signal.throwIfAborted();
  return measure();
}

async function sendToAll(stage: Stage, shape: SentSeries['shape']): Promise<SentSeries> {
  const made = await makeSeries(stage, shape);
  for (const archive of inTurn(stage.archives, 0)) {
    await sendTo(stage, archive, made);
    await archive.receiver.settled();
  }
  return made;
}

function progress(line: string): void {
  console.error(line);
}
