/** The QIDO times of `bench dicomweb` as Markdown, with the goals of issue 4. Pure. Called by dicomweb.ts. */
import type { SearchKey } from './searches.ts';

export interface SearchTimes {
  readonly key: SearchKey;
  readonly studies: number;
  readonly when: 'at rest' | 'while receiving';
  /** Measured ones. */
  readonly requests: number;
  /** ms */
  readonly p50: number;
  readonly p99: number;
}

/** Issue 4: no more than five times as long while receiving. */
const TIMES_WHILE_RECEIVING = 5;

export const QIDO_LEGEND = `QIDO searches, one after the other over one connection, limit=100 where nothing else is said; p50 / p99 in ms. Growth: median in the
larger index, as times of that in the smaller one. A study-level search reads no row of an instance.`;

export function qidoTable(times: readonly SearchTimes[]): string {
  const sizes = [...new Set(times.map(({ studies }) => studies))].sort((left, right) => left - right);
  const largest = sizes.at(-1);
  const keys = [...new Set(times.map(({ key }) => key))];
  const of = (key: SearchKey, studies: number | undefined, when: SearchTimes['when']) =>
    times.find((one) => one.key === key && one.studies === studies && one.when === when);
  const head = [
    'QIDO by',
    ...sizes.map((studies) => `${studies.toLocaleString('en')} studies`),
    'while receiving',
    'Growth',
    'To reach (p99)',
  ];
  const lines = keys.map((key) => {
    const rest = sizes.map((studies) => of(key, studies, 'at rest'));
    const receiving = of(key, largest, 'while receiving');
    const [smallest, last] = [rest[0], rest.at(-1)];
    const growth = smallest && last && smallest !== last ? (last.p50 / smallest.p50).toFixed(2) : '–';
    return [key.name, ...rest.map(pair), pair(receiving), growth, verdict(key, last, receiving)];
  });
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function verdict(
  { goalMs }: SearchKey,
  rest: SearchTimes | undefined,
  receiving: SearchTimes | undefined,
): string {
  if (goalMs === undefined) return '';
  const parts = [`${goalMs} ms${rest ? judged(rest.p99 <= goalMs) : ''}`];
  // The five times are of what is to be reached at rest.
  if (receiving)
    parts.push(
      `${TIMES_WHILE_RECEIVING * goalMs} ms${judged(receiving.p99 <= TIMES_WHILE_RECEIVING * goalMs)}`,
    );
  return parts.join('; ');
}

const judged = (reached: boolean): string => (reached ? ': reached' : ': MISSED');

const pair = (times: SearchTimes | undefined): string =>
  times ? `${times.p50.toFixed(1)} / ${times.p99.toFixed(1)}` : '–';
