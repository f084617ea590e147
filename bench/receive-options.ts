/** The command line of `bench receive`, parsed; called by receive.ts. Nothing here measures. */
import { parseArgs } from 'node:util';
import { ASSOCIATIONS, type Associations, SERIES_NAMES, type SeriesName } from './series/series.ts';

export interface ReceiveOptions {
  readonly series: readonly SeriesName[];
  readonly associations: readonly Associations[];
  readonly runs: number;
  /** No run begins later than so many minutes after the start. */
  readonly minutes: number;
  readonly without: readonly string[];
  /** Where series and data are written; the project's own disk when not given. */
  readonly folder: string | undefined;
}

export const RECEIVE_USAGE = `npm run bench -- receive [options]
  --series ct,mr,big,small   which series (all)
  --associations 1,8         over how many associations (both)
  --runs N                   runs of each, of which the median is told (5; Orthanc gets 3 at most)
  --minutes N                no run begins later than this (40; all of it takes some 12 on 2 cores)
  --without NAME,…           leave receivers out: isocenter, storescp, orthanc, reader
  --folder FOLDER            disk to measure on (the project's storage folder)`;

const MOST_RUNS = 50;
const MOST_MINUTES = 600;

/** @throws Error in words for the person who typed it */
export function parseReceiveOptions(args: readonly string[], receivers: readonly string[]): ReceiveOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      series: { type: 'string', default: SERIES_NAMES.join() },
      associations: { type: 'string', default: ASSOCIATIONS.join() },
      runs: { type: 'string', default: '5' },
      minutes: { type: 'string', default: '40' },
      without: { type: 'string', default: '' },
      folder: { type: 'string' },
    },
  });
  return {
    series: chosen('--series', values.series, SERIES_NAMES),
    associations: chosen('--associations', values.associations, ASSOCIATIONS.map(String)).map(
      (text) => Number(text) as Associations,
    ),
    runs: whole('--runs', values.runs, MOST_RUNS),
    minutes: whole('--minutes', values.minutes, MOST_MINUTES),
    without: chosen('--without', values.without, receivers),
    folder: values.folder,
  };
}

export function whole(option: string, text: string, most: number): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > most)
    throw new Error(`${option} ${text}: a whole number from 1 to ${most} is expected`);
  return number;
}

export function chosen<T extends string>(option: string, text: string, known: readonly T[]): T[] {
  const names = text.split(',').filter(Boolean);
  for (const name of names)
    if (!(known as readonly string[]).includes(name))
      throw new Error(`${option} ${name}: one or more of ${known.join(', ')} are expected`);
  return known.filter((name) => names.includes(name));
}
