/** The command line of `bench dicomweb`, parsed; called by dicomweb.ts. Nothing here measures. */
import { parseArgs } from 'node:util';
import { chosen, whole } from './receive-options.ts';

export const PARTS = ['metadata', 'frames', 'multi-frame', 'series', 'rendered', 'qido'] as const;
export type Part = (typeof PARTS)[number];

export interface DicomwebOptions {
  readonly parts: readonly Part[];
  readonly rounds: number;
  /** No round and no index is begun later than so many minutes after the start. */
  readonly minutes: number;
  readonly without: readonly string[];
  /** Sizes of the index that is searched, smallest first. */
  readonly studies: readonly number[];
  /** Seeded with the largest size before; searched instead of a new one. */
  readonly index: string | undefined;
  /** Where series and data are written; the project's own disk when not given. */
  readonly folder: string | undefined;
}

export const DICOMWEB_USAGE = `npm run bench -- dicomweb [options]
  --parts ${PARTS.join(',')}
                             what is measured (all)
  --rounds N                 rounds, of which the median is told (5)
  --minutes N                no round and no index is begun later than this (10)
  --without NAME,…           leave servers out: orthanc, node, nginx
  --studies N,N              sizes of the index that QIDO searches (100000,1000000)
  --index FOLDER             a folder that "bench seed" filled with the largest size: searched as it is, and sent to
  --folder FOLDER            disk to measure on (the project's storage folder)`;

const MOST_ROUNDS = 50;
const MOST_MINUTES = 600;
const MOST_STUDIES = 20_000_000;

/** @throws Error in words for the person who typed it */
export function parseDicomwebOptions(args: readonly string[], servers: readonly string[]): DicomwebOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      parts: { type: 'string', default: PARTS.join() },
      rounds: { type: 'string', default: '5' },
      minutes: { type: 'string', default: '10' },
      without: { type: 'string', default: '' },
      studies: { type: 'string', default: '100000,1000000' },
      index: { type: 'string' },
      folder: { type: 'string' },
    },
  });
  return {
    parts: chosen('--parts', values.parts, PARTS),
    rounds: whole('--rounds', values.rounds, MOST_ROUNDS),
    minutes: whole('--minutes', values.minutes, MOST_MINUTES),
    without: chosen('--without', values.without, servers),
    studies: values.studies
      .split(',')
      .map((text) => whole('--studies', text, MOST_STUDIES))
      .sort((left, right) => left - right),
    index: values.index,
    folder: values.folder,
  };
}
