/**
 * `npm run bench -- seed`: an index of a million made-up studies in a data folder of its own, to be searched by hand or by
 * other programs. It has rows and no objects. Called by run.ts; `bench dicomweb` seeds one for itself and removes it.
 */
import { mkdir, readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { whole } from './receive-options.ts';
import { isocenter } from './receivers/isocenter.ts';
import { embeddedDatabase, fill, tidy } from './seed/fill.ts';

export const SEED_USAGE = `npm run bench -- seed --folder FOLDER [options]
  --folder FOLDER            a new data folder for it; it stays, and ISOCENTER_DATA=FOLDER npm start serves it
  --studies N                studies, with some three series each (1000000; some 4 KB of disk each)`;

const MOST_STUDIES = 20_000_000;

/** @returns the exit code */
export async function seed(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { folder: { type: 'string' }, studies: { type: 'string', default: '1000000' } },
  });
  const studies = whole('--studies', values.studies, MOST_STUDIES);
  if (values.folder === undefined) throw new Error('--folder: name a folder for the index');
  const folder = resolve(values.folder);
  await mkdir(folder, { recursive: true });
  // Made-up patients must not come among real ones.
  if ((await readdir(folder)).length > 0) throw new Error(`--folder ${folder} is not empty`);
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(new Error('interrupted; the folder has what was written'));
  // Heard until the end: timeout(1) and npm both pass a signal on, and the second must not cut the cleaning up.
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  const receiver = await isocenter.start(folder);
  try {
    const database = embeddedDatabase(folder);
    const began = performance.now();
    await fill(database, {
      from: 0,
      to: studies,
      signal: interrupted.signal,
      progress: countProgress(studies),
    });
    await tidy(database);
    const seconds = (performance.now() - began) / 1000;
    console.log(
      `${studies} studies in ${seconds.toFixed(0)} s. ISOCENTER_DATA=${folder} npm start serves them.`,
    );
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    await receiver.stop();
  }
  return 0;
}

/** Says so at every tenth. */
export function countProgress(studies: number): (added: number) => void {
  let done = 0;
  return (added) => {
    const before = Math.floor((done * 10) / studies);
    done += added;
    if (Math.floor((done * 10) / studies) > before) console.error(`${done} of ${studies} studies are seeded`);
  };
}
