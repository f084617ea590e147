/** The table of the benchmarks: medians, ratios to the peers of the same run, and no time for what lost objects. */
import { expect, it } from 'vitest';
import type { Run } from '../../bench/measure.ts';
import type { ReceiverKind } from '../../bench/receivers/receiver.ts';
import type { Series } from '../../bench/series/series.ts';
import { markdownTable, median, type Row } from '../../bench/table.ts';

const series: Series = { title: 'CT', studyUid: '1.2', objects: 400, bytes: 200e6, folders: [] };

function run(wallSeconds: number, faults: string[] = []): Run {
  return {
    wallSeconds,
    cpuSeconds: 1,
    startBytes: 50e6,
    memoryBytes: 100e6,
    postgresBytes: 0,
    pauseMs: undefined,
    faults,
  };
}

function row(name: string, runs: Run[], associations: 1 | 8 = 1): Row {
  const kind = { name, title: name, command: name, countsByStudy: true } as ReceiverKind;
  return { series, associations, kind, runs };
}

const cellsOf = (table: string, receiver: string): string[] =>
  table
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .find((cells) => cells[3] === receiver) ?? [];

it('tells medians, and ratios to the peers of the same series and associations', () => {
  const table = markdownTable([
    row('isocenter', [run(4), run(2), run(1)]),
    row('storescp', [run(1)]),
    row('storescp', [run(100)], 8),
    row('orthanc', [run(8), run(8)]),
  ]);
  const cells = cellsOf(table, 'isocenter');
  expect(cells.slice(4, 8)).toEqual(['2.00 (1.00–4.00)', '200', '100', '100 (50)']);
  expect(cells.slice(10, 12)).toEqual(['2.00', '0.25']);
});

it('gives no time to a run that lost objects, and says how many runs count', () => {
  const table = markdownTable([
    row('isocenter', [run(0.1, ['399 of 400 objects were there']), run(2)]),
    row('storescp', [run(0.1, ['lost'])]),
  ]);
  expect(cellsOf(table, 'isocenter')[4]).toBe('2.00 (2.00–2.00)');
  expect(cellsOf(table, 'isocenter').at(-2)).toBe('1 of 2');
  expect(cellsOf(table, 'storescp')[4]).toBe('–');
  expect(cellsOf(table, 'isocenter')[10]).toBe('–');
});

it('takes the middle', () => {
  expect(median([])).toBeUndefined();
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});
