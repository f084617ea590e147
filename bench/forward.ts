/**
 * `npm run bench -- forward`: how fast a stored series is forwarded over DIMSE, proved and written to the ledger, beside
 * DCMTK's storescu that reads the same files, to the same storescp, in the same run, in alternating order.
 * Called by run.ts. Prints progress to stderr, the table to stdout; removes everything it wrote.
 */
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findPeer, missing } from '../test/support/peers.ts';
import { createDestination, forwardAll } from './forward/isocenter.ts';
import { SINK_COMMAND, type Sink, startSink } from './forward/sinks.ts';
import { describeMachine } from './machine.ts';
import { readTree, resetPeaks } from './process-tree.ts';
import { chosen, whole } from './receive-options.ts';
import { isocenter } from './receivers/isocenter.ts';
import type { Receiver } from './receivers/receiver.ts';
import { SEND_COMMAND, send } from './send.ts';
import { type Series, shapeOf, writeSeries } from './series/series.ts';
import { median } from './table.ts';
import { openWorkspace } from './workspace.ts';

export const FORWARD_USAGE = `npm run bench -- forward [options]
  --destinations 1,4   to how many at once, each over one association (both)
  --series ct,mr,small which series (ct)
  --runs N             runs of each, of which the median is told (5)
  --folder FOLDER      disk to measure on (the project's storage folder)`;

/** The series as files, in the store, and in the journal on its way there; and the reserve that Isocenter keeps. */
const NEEDED_BYTES = 5e9;

interface Row {
  readonly series: Series;
  readonly destinations: number;
  readonly sender: 'storescu' | 'Isocenter';
  readonly walls: number[];
  /** Of Isocenter and its Postgres, a run. */
  readonly cpu: number[];
  /** Peak of Isocenter's processes in each run, Postgres apart. */
  readonly memory: number[];
}

/** @returns the exit code: 0 also when slow */
export async function forward(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      destinations: { type: 'string', default: '1,4' },
      series: { type: 'string', default: 'ct' },
      runs: { type: 'string', default: '5' },
      folder: { type: 'string' },
    },
  });
  const names = chosen('--series', values.series, ['ct', 'mr', 'small'] as const);
  const counts = chosen('--destinations', values.destinations, ['1', '4'] as const).map(Number);
  const runs = whole('--runs', values.runs, 50);
  if (!findPeer('dcmtk')) throw new Error(`The peers are DCMTK's: ${missing('dcmtk')}`);

  const workspace = await openWorkspace(values.folder, NEEDED_BYTES);
  const { signal, path } = workspace;
  const about = [
    ...describeMachine(path),
    `storescu: ${SEND_COMMAND}`,
    `Isocenter: ${isocenter.command}; POST /api/studies/UID/resend`,
    `destinations: ${SINK_COMMAND}`,
  ];
  console.error(about.join('\n'));
  const rows: Row[] = [];
  const sinks: Sink[] = [];
  let house: Receiver | undefined;
  try {
    for (let n = 1; n <= Math.max(...counts); n++) sinks.push(await startSink(`sink${n}`));
    const data = join(path, 'isocenter');
    await mkdir(data);
    house = await isocenter.start(data);
    for (const sink of sinks) await createDestination(house, sink);
    for (const name of names) {
      const series = await writeSeries(shapeOf(name, 1), join(path, name));
      await send({ port: house.port, aeTitle: house.aeTitle }, [series.folders], signal);
      await house.settled();
      for (const count of counts)
        rows.push(...(await measureBoth({ house, series, sinks: sinks.slice(0, count), runs, signal })));
    }
  } finally {
    await house?.stop();
    for (const sink of sinks) await sink.stop();
    await workspace.remove();
  }
  console.log(`\n${about.map((line) => `    ${line}`).join('\n')}\n\n${table(rows)}\n\n${LEGEND}`);
  return 0;
}

interface Measurement {
  house: Receiver;
  series: Series;
  sinks: readonly Sink[];
  runs: number;
  signal: AbortSignal;
}

/** A round more than asked for: the first of each warms up and is not told. */
async function measureBoth({ house, series, sinks, runs, signal }: Measurement): Promise<Row[]> {
  const destinations = sinks.length;
  const row = (sender: Row['sender']): Row => ({
    series,
    destinations,
    sender,
    walls: [],
    cpu: [],
    memory: [],
  });
  const [scu, ours] = [row('storescu'), row('Isocenter')];
  const byStorescu = async (): Promise<void> => {
    const start = performance.now();
    // The start of the process counts, as a person who calls it waits for it.
    await Promise.all(sinks.map(({ port, aeTitle }) => send({ port, aeTitle }, [series.folders], signal)));
    scu.walls.push((performance.now() - start) / 1000);
  };
  let quietS = 0;
  const byIsocenter = async (): Promise<void> => {
    resetPeaks(house.pid);
    const before = readTree(house.pid);
    // Not before the fastest could be done.
    ours.walls.push(await forwardAll(house, series, sinks, quietS));
    quietS = 0.7 * Math.min(...ours.walls);
    const after = readTree(house.pid);
    ours.cpu.push(after.cpuSeconds - before.cpuSeconds);
    ours.memory.push(after.memoryBytes);
  };
  for (let round = 0; round <= runs; round++) {
    for (const turn of round % 2 === 0 ? [byStorescu, byIsocenter] : [byIsocenter, byStorescu]) {
      signal.throwIfAborted();
      spawnSync('sync');
      await turn();
    }
    const [theirs, mine] = [scu.walls.at(-1)!, ours.walls.at(-1)!];
    console.error(
      `${series.title}, ${destinations} destinations, round ${round || 'of warming up'}: storescu ${theirs.toFixed(3)} s, ` +
        `Isocenter ${mine.toFixed(3)} s (${(ours.memory.at(-1)! / 1e6).toFixed(0)} MB)`,
    );
    if (round === 0)
      for (const { walls, cpu, memory } of [scu, ours]) walls.length = cpu.length = memory.length = 0;
  }
  return [scu, ours];
}

const HEAD = [
  'Series',
  'Destinations',
  'Sender',
  'Wall s (min–max)',
  'MB/s',
  'CPU s',
  'Memory MB (first, last run)',
  '× storescu',
];

const LEGEND = `Median of the runs; MB are 10^6 bytes, over all destinations. Wall: of storescu from its start to its end; of Isocenter
from the order to the ledger's word that every instance is delivered, asked every 10 ms towards the end. CPU: of Isocenter with its
Postgres. Memory: peak resident set of Isocenter's processes in a run, Postgres apart.`;

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ series, destinations, sender, walls, cpu, memory }) => {
    const wall = median(walls)!;
    const beside = rows.find(
      (one) => one.series === series && one.destinations === destinations && one.sender === 'storescu',
    )!;
    const mb = (bytes: number | undefined): string => ((bytes ?? 0) / 1e6).toFixed(0);
    return [
      series.title,
      String(destinations),
      sender,
      `${wall.toFixed(2)} (${Math.min(...walls).toFixed(2)}–${Math.max(...walls).toFixed(2)})`,
      mb((series.bytes * destinations) / wall),
      sender === 'Isocenter' ? median(cpu)!.toFixed(2) : '–',
      sender === 'Isocenter' ? `${mb(memory[0])}, ${mb(memory.at(-1))}` : '–',
      (wall / median(beside.walls)!).toFixed(2),
    ];
  });
  return [HEAD, HEAD.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
