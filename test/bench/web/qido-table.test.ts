/** The QIDO table of `bench dicomweb`. */
import { expect, it } from 'vitest';
import { qidoTable, type SearchTimes } from '../../../bench/web/qido-table.ts';
import { SEARCH_KEYS } from '../../../bench/web/searches.ts';

it('judges the larger index, at rest and while receiving, and tells how the time grew', () => {
  const key = SEARCH_KEYS[0]!;
  const times = (studies: number, p50: number, p99: number, when: SearchTimes['when']): SearchTimes => ({
    key,
    studies,
    when,
    requests: 400,
    p50,
    p99,
  });
  const table = qidoTable([
    times(1000, 2, 30, 'at rest'),
    times(10_000, 3, 12, 'at rest'),
    times(10_000, 5, 120, 'while receiving'),
  ]);
  const [head, , line] = table.split('\n');
  expect(head).toContain('| 1,000 studies | 10,000 studies | while receiving | Growth |');
  expect(line).toBe(
    '| patient ID | 2.0 / 30.0 | 3.0 / 12.0 | 5.0 / 120.0 | 1.50 | 20 ms: reached; 100 ms: MISSED |',
  );
});

it('leaves open what was not measured', () => {
  const key = SEARCH_KEYS[0]!;
  const table = qidoTable([{ key, studies: 1000, when: 'at rest', requests: 1, p50: 1, p99: 21 }]);
  expect(table.split('\n')[2]).toBe('| patient ID | 1.0 / 21.0 | – | – | 20 ms: MISSED |');
});
