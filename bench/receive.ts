/**
 * `npm run bench -- receive`: how fast objects are received, durable on answer and indexed by the release, beside
 * DCMTK's storescp, Orthanc and a bare Node reader, in the same run on the same disk, in alternating order.
 * Called by run.ts. Prints progress to stderr, the table to stdout; removes everything it wrote.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findPeer, missing } from '../test/support/peers.ts';
import { describeMachine } from './machine.ts';
import { measure, type Run } from './measure.ts';
import { parseReceiveOptions } from './receive-options.ts';
import { isocenter } from './receivers/isocenter.ts';
import { orthanc } from './receivers/orthanc.ts';
import { reader } from './receivers/reader.ts';
import type { ReceiverKind } from './receivers/receiver.ts';
import { storescp } from './receivers/storescp.ts';
import { SEND_COMMAND } from './send.ts';
import { type Series, shapeOf, writeSeries } from './series/series.ts';
import { LEGEND, markdownTable, type Row } from './table.ts';
import { openWorkspace } from './workspace.ts';

const RECEIVERS: readonly ReceiverKind[] = [isocenter, storescp, reader, orthanc];
/** It takes many times as long as the others, and its times vary little. */
const ORTHANC_RUNS = 3;
/** A series of 1 GB, beside it the journal and the store (or what storescp writes), the reserve that Isocenter keeps. */
const NEEDED_BYTES = 8e9;

type MutableRow = Omit<Row, 'runs'> & { runs: Run[] };

/** @returns the exit code: 0 also when slow, 1 when a run was void or it was interrupted */
export async function receive(args: readonly string[]): Promise<number> {
  const options = parseReceiveOptions(
    args,
    RECEIVERS.map(({ name }) => name),
  );
  if (!findPeer('dcmtk')) throw new Error(`The senders are DCMTK's: ${missing('dcmtk')}`);
  const kinds = RECEIVERS.filter(({ name }) => !options.without.includes(name)).filter((kind) => {
    if (kind.missing) progress(`Left out: ${kind.missing}`);
    return !kind.missing;
  });
  const workspace = await openWorkspace(options.folder, NEEDED_BYTES);
  const { signal } = workspace;

  const until = performance.now() + options.minutes * 60_000;
  const rows: MutableRow[] = [];
  const about = [...describeMachine(workspace.path), `Sender: ${SEND_COMMAND}`, ...kinds.map(commandLine)];
  progress(about.join('\n'));
  let stopped: unknown;
  try {
    const warmUp = await writeSeries(shapeOf('warm-up', 1), join(workspace.path, 'warm-up'));
    for (const name of options.series) {
      for (const associations of options.associations) {
        const folder = join(workspace.path, 'series');
        const series = await writeSeries(shapeOf(name, associations), folder);
        await measureAll(
          {
            kinds,
            series,
            warmUp,
            associations,
            workspace: workspace.path,
            signal,
            runs: options.runs,
            until,
          },
          rows,
        );
        await rm(folder, { recursive: true });
      }
    }
  } catch (thrown) {
    stopped = thrown;
  } finally {
    await workspace.remove();
  }
  console.log(`\n${about.map((line) => `    ${line}`).join('\n')}\n\n${markdownTable(rows)}\n\n${LEGEND}`);
  if (stopped && !signal.aborted) throw stopped;
  return stopped || rows.some(({ runs }) => runs.some(isVoid)) ? 1 : 0;
}

interface Measurement {
  kinds: readonly ReceiverKind[];
  series: Series;
  warmUp: Series;
  associations: Row['associations'];
  workspace: string;
  signal: AbortSignal;
  runs: number;
  /** By performance.now(). */
  until: number;
}

/** All runs of one series over one number of associations; every round begins with another receiver. */
async function measureAll(all: Measurement, rows: MutableRow[]): Promise<void> {
  const { kinds, series, associations, runs, signal } = all;
  const mine = kinds.map((kind): MutableRow => ({ series, associations, kind, runs: [] }));
  rows.push(...mine);
  for (let round = 0; round < runs; round++) {
    for (let turn = 0; turn < kinds.length; turn++) {
      const row = mine[(round + turn) % mine.length]!;
      if (row.kind === orthanc && round >= ORTHANC_RUNS) continue;
      // A receiver that failed would fail again, and take its time to.
      if (row.runs.some(isVoid)) continue;
      signal.throwIfAborted();
      if (performance.now() > all.until)
        throw new Error('The time is up (--minutes); the table has what was measured');
      const run = await measureOrFail(all, row.kind);
      row.runs.push(run);
      const outcome = isVoid(run) ? `VOID: ${run.faults.join('; ')}` : summary(run, series);
      progress(
        `${series.title}, ${associations} assoc., round ${round + 1}/${runs}, ${row.kind.name}: ${outcome}`,
      );
    }
  }
}

const NOTHING = {
  wallSeconds: 0,
  cpuSeconds: 0,
  startBytes: 0,
  memoryBytes: 0,
  postgresBytes: 0,
  pauseMs: undefined,
};

/** A run that fails is void; the others go on. */
async function measureOrFail(all: Measurement, kind: ReceiverKind): Promise<Run> {
  try {
    return await measure({ ...all, kind });
  } catch (thrown) {
    if (all.signal.aborted || !(thrown instanceof Error)) throw thrown;
    const faults = [thrown.message];
    return { ...NOTHING, faults };
  }
}

function summary(run: Run, { objects, bytes }: Series): string {
  const { wallSeconds: wall, cpuSeconds, startBytes, memoryBytes, pauseMs } = run;
  const parts = [
    `${wall.toFixed(2)} s`,
    `${(objects / wall).toFixed(objects < 100 ? 1 : 0)} objects/s`,
    `${(bytes / 1e6 / wall).toFixed(0)} MB/s`,
    `${cpuSeconds.toFixed(2)} CPU s`,
    `${(memoryBytes / 1e6).toFixed(0)} MB (${(startBytes / 1e6).toFixed(0)} at start)`,
  ];
  if (pauseMs !== undefined) parts.push(`longest pause ${pauseMs.toFixed(0)} ms`);
  return parts.join(', ');
}

const isVoid = ({ faults }: Run): boolean => faults.length > 0;

const commandLine = ({ name, command }: ReceiverKind): string => `${name}: ${command}`;

function progress(line: string): void {
  console.error(line);
}
