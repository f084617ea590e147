/**
 * The results of `bench dicomweb` as Markdown, to be pasted into the README: medians of the rounds, their spread for
 * Isocenter, ratios to the peers of the same run, and whether issue 4's goal was reached. Pure. Called by dicomweb.ts.
 */
import { median } from '../table.ts';
import { type Figure, type Goal, isRate, type Results, type Unit } from './results.ts';

export interface Column {
  readonly name: string;
  readonly title: string;
}

/** What the columns mean, for whoever reads the numbers elsewhere. */
export const WEB_LEGEND = `Median of the rounds, each server's turn alternating; × says how many times as fast as the peer Isocenter is (above 1:
faster or smaller). ms: from the request's writing to the last byte of the answer, over one connection; MB are 10^6
bytes. A first request is the first one for that series; after a restart, the first one the program answers at all.
The client is one process with raw sockets, the same for all; body bytes are counted and thrown away.`;

const SUBJECT = 'isocenter';

/** @param columns the subject first */
export function webTable(results: Results, columns: readonly Column[]): string {
  const [, ...peers] = columns;
  const head = [
    'What',
    '',
    'Isocenter (min–max)',
    ...peers.map(({ title }) => title),
    ...peers.map(({ title }) => `× ${title}`),
    'To reach',
  ];
  const lines = results.figures.map((figure) => {
    const mine = results.values(figure, SUBJECT);
    const of = (server: string): number | undefined => median(results.values(figure, server));
    return [
      figure.name,
      figure.unit,
      mine.length === 0
        ? '–'
        : `${shown(of(SUBJECT))} (${shown(Math.min(...mine))}–${shown(Math.max(...mine))})`,
      ...peers.map(({ name }) => shown(of(name))),
      ...peers.map(({ name }) => {
        const ratio = timesAsFast(figure.unit, of(SUBJECT), of(name));
        return ratio === undefined ? '–' : ratio.toFixed(ratio < 10 ? 2 : 0);
      }),
      figure.goal ? verdict(figure, figure.goal, of, columns) : '',
    ];
  });
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function timesAsFast(unit: Unit, mine: number | undefined, other: number | undefined): number | undefined {
  if (!mine || !other) return undefined;
  return isRate(unit) ? mine / other : other / mine;
}

function verdict(
  { unit }: Figure,
  goal: Goal,
  of: (server: string) => number | undefined,
  columns: readonly Column[],
): string {
  const mine = of(SUBJECT);
  const parts: string[] = [];
  const judge = (words: string, reached: boolean | undefined): void => {
    parts.push(`${words}${reached === undefined ? '' : reached ? ': reached' : ': MISSED'}`);
  };
  if (goal.reach !== undefined)
    judge(
      `${goal.reach} ${unit}`,
      mine === undefined ? undefined : isRate(unit) ? mine >= goal.reach : mine <= goal.reach,
    );
  for (const { server, ratio } of goal.times ?? []) {
    const title = columns.find(({ name }) => name === server)?.title ?? server;
    const times = timesAsFast(unit, mine, of(server));
    judge(`${ratio} × ${title}`, times === undefined ? undefined : times >= ratio);
  }
  return parts.join('; ');
}

function shown(value: number | undefined): string {
  if (value === undefined) return '–';
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
