/**
 * The results as Markdown, to be pasted into the README: medians, spreads, and ratios of the medians to storescp's and
 * Orthanc's in the same run. Called by receive.ts.
 */
import type { Run } from './measure.ts';
import type { ReceiverKind } from './receivers/receiver.ts';
import type { Associations, Series } from './series/series.ts';

export interface Row {
  readonly series: Series;
  readonly associations: Associations;
  readonly kind: ReceiverKind;
  readonly runs: readonly Run[];
}

const MB = 1e6;
const HEAD = [
  'Series',
  'Assoc.',
  'Receiver',
  'Wall s (min–max)',
  'Objects/s',
  'MB/s',
  'Memory MB (at start)',
  'Postgres MB',
  'CPU s',
  '× storescp',
  '× Orthanc',
  'Longest pause ms',
  'Runs',
];

/** What the columns mean, for whoever reads the numbers elsewhere. */
export const LEGEND = `Median of the runs; MB are 10^6 bytes. Wall: start of the first storescu to the end of the last, reading their files
included; Isocenter has then synced and indexed everything (asked by QIDO), storescp has synced and indexed nothing.
Memory: sum of the peak resident sets since the start (libraries that processes share count for each), Postgres apart.
CPU: of the receiver with its Postgres, until it rests again. Longest pause: of Isocenter's main event loop, worst of
the runs, with up to 10 ms that are the measuring timer's own.`;

export function markdownTable(rows: readonly Row[]): string {
  const lines = rows
    .filter(({ runs }) => runs.length > 0)
    .map((row) => {
      const wall = medianWall(row);
      const { series, kind, associations } = row;
      const good = sound(row);
      const beside = (name: string): number | undefined =>
        medianWall(
          rows.find(
            (other) =>
              other.kind.name === name && other.series === series && other.associations === associations,
          ),
        );
      const walls = good.map(({ wallSeconds }) => wallSeconds);
      const spread = `${fixed(wall, 2)} (${fixed(Math.min(...walls), 2)}–${fixed(Math.max(...walls), 2)})`;
      const worst = (of: (run: Run) => number | undefined): number | undefined => {
        const values = good.map(of).filter((value) => value !== undefined && value > 0) as number[];
        return values.length > 0 ? Math.max(...values) : undefined;
      };
      return [
        series.title,
        String(associations),
        kind.title,
        good.length > 0 ? spread : '–',
        fixed(wall && series.objects / wall, series.objects < 100 ? 1 : 0),
        fixed(wall && series.bytes / MB / wall, 0),
        `${megabytes(worst(({ memoryBytes }) => memoryBytes))} (${megabytes(worst(({ startBytes }) => startBytes))})`,
        megabytes(worst(({ postgresBytes }) => postgresBytes)),
        fixed(median(good.map(({ cpuSeconds }) => cpuSeconds)), 2),
        ratio(wall, beside('storescp')),
        ratio(wall, beside('orthanc')),
        fixed(
          worst(({ pauseMs }) => pauseMs),
          0,
        ),
        good.length === row.runs.length ? String(good.length) : `${good.length} of ${row.runs.length}`,
      ];
    });
  return [HEAD, HEAD.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const sound = ({ runs }: Row): Run[] => runs.filter(({ faults }) => faults.length === 0);

function medianWall(row: Row | undefined): number | undefined {
  return row && median(sound(row).map(({ wallSeconds }) => wallSeconds));
}

export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length / 2;
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)];
  return sorted.length === 0 ? undefined : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const megabytes = (bytes: number | undefined): string => fixed(bytes && bytes / MB, 0);

function ratio(wall: number | undefined, other: number | undefined): string {
  return fixed(wall && other && wall / other, 2);
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? '–' : value.toFixed(digits);
}
