/** The table of `bench dicomweb`: medians, ratios the right way round, goals, and no time for wrong answers. */
import { expect, it } from 'vitest';
import { createResults, type Figure, percentile } from '../../../bench/web/results.ts';
import { webTable } from '../../../bench/web/web-table.ts';

const COLUMNS = [
  { name: 'isocenter', title: 'Isocenter' },
  { name: 'orthanc', title: 'Orthanc' },
  { name: 'node', title: 'bare Node' },
];
const TIME: Figure = { name: 'metadata', unit: 'ms', goal: { reach: 10 } };
const RATE: Figure = {
  name: 'frames',
  unit: '/s',
  goal: {
    times: [
      { server: 'orthanc', ratio: 4 },
      { server: 'node', ratio: 0.7 },
    ],
  },
};

const cellsOf = (table: string, what: string): string[] =>
  table
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .find((cells) => cells[1] === what)!
    .slice(2, -1);

it('tells medians, and how many times as fast as its peers Isocenter is', () => {
  const results = createResults();
  for (const ms of [12, 9, 8]) results.add(TIME, 'isocenter', ms);
  results.add(TIME, 'orthanc', 300);
  for (const rate of [2000, 2100]) results.add(RATE, 'isocenter', rate);
  results.add(RATE, 'orthanc', 500);
  results.add(RATE, 'node', 4000);
  const table = webTable(results, COLUMNS);
  expect(cellsOf(table, 'metadata')).toEqual([
    'ms',
    '9.00 (8.00–12.0)',
    '300',
    '–',
    '33',
    '–',
    '10 ms: reached',
  ]);
  expect(cellsOf(table, 'frames')).toEqual([
    '/s',
    '2050 (2000–2100)',
    '500',
    '4000',
    '4.10',
    '0.51',
    '4 × Orthanc: reached; 0.7 × bare Node: MISSED',
  ]);
});

it('judges nothing that was not measured, and tells no time of a server that answered wrongly', () => {
  const results = createResults();
  results.declare(TIME);
  results.add(RATE, 'isocenter', 2000);
  results.add(RATE, 'orthanc', 500);
  results.fault(RATE, 'isocenter', 'the frame has other bytes');
  results.add(RATE, 'isocenter', 2000);
  const table = webTable(results, COLUMNS);
  expect(cellsOf(table, 'metadata')).toEqual(['ms', '–', '–', '–', '–', '–', '10 ms']);
  expect(cellsOf(table, 'frames')).toEqual(['/s', '–', '500', '–', '–', '–', '4 × Orthanc; 0.7 × bare Node']);
  expect(results.faults).toEqual(['isocenter, frames: the frame has other bytes']);
});

it('takes percentiles by the nearest rank', () => {
  const values = Array.from({ length: 200 }, (_, n) => 200 - n);
  expect([0.5, 0.99, 1].map((share) => percentile(values, share))).toEqual([100, 198, 200]);
  expect(percentile([7], 0.99)).toBe(7);
  expect(percentile([], 0.5)).toBeUndefined();
});
