/** The command line of `bench dicomweb`, parsed; called by dicomweb.ts. Nothing here measures. */
import { parseArgs } from 'node:util';
import { chosen, whole } from './receive-options.ts';

export const PARTS = ['metadata', 'frames', 'multi-frame', 'series', 'rendered'] as const;
export type Part = (typeof PARTS)[number];

export interface DicomwebOptions {
  readonly parts: readonly Part[];
  readonly rounds: number;
  /** No round begins later than so many minutes after the start. */
  readonly minutes: number;
  readonly without: readonly string[];
  /** Where series and data are written; the project's own disk when not given. */
  readonly folder: string | undefined;
}

export const DICOMWEB_USAGE = `npm run bench -- dicomweb [options]
  --parts ${PARTS.join(',')}
                             what is measured (all)
  --rounds N                 rounds, of which the median is told (5)
  --minutes N                no round begins later than this (10)
  --without NAME,…           leave servers out: orthanc, node, nginx
  --folder FOLDER            disk to measure on (the project's storage folder)`;

const MOST_ROUNDS = 50;
const MOST_MINUTES = 600;

/** @throws Error in words for the person who typed it */
export function parseDicomwebOptions(args: readonly string[], servers: readonly string[]): DicomwebOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      parts: { type: 'string', default: PARTS.join() },
      rounds: { type: 'string', default: '5' },
      minutes: { type: 'string', default: '10' },
      without: { type: 'string', default: '' },
      folder: { type: 'string' },
    },
  });
  return {
    parts: chosen('--parts', values.parts, PARTS),
    rounds: whole('--rounds', values.rounds, MOST_ROUNDS),
    minutes: whole('--minutes', values.minutes, MOST_MINUTES),
    without: chosen('--without', values.without, servers),
    folder: values.folder,
  };
}
