/** A program over a data folder and an embedded Postgres of its own, for the suites that kill it and start it again. */
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { type Program, postgresOf, startProgram } from '../support/program.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { isReplayed } from './what-is-there.ts';

export interface OwnProgram {
  readonly dataFolder: string;
  /** Ready, and what an earlier one left is replayed. */
  start(): Promise<Program>;
  /** The one that was started last. */
  last(): Program;
}

/** For a whole test file: made before its tests, stopped and removed after them. */
export function ownProgram(name: string, env: Record<string, string> = {}): OwnProgram {
  let temp: TempFolder | undefined;
  let last: Program | undefined;
  const dataFolder = (): string => {
    if (!temp) throw new Error('there is a data folder from the first test on');
    return join(temp.path, 'data');
  };
  beforeAll(async () => {
    temp = await tempFolder(name);
  });
  afterAll(async () => {
    await last?.child.stop(20_000);
    for (const pid of postgresOf(dataFolder())) process.kill(pid, 'SIGINT');
    await temp?.remove();
  });
  return {
    get dataFolder() {
      return dataFolder();
    },
    async start() {
      last = await startProgram({ dataFolder: dataFolder(), env });
      await isReplayed(last);
      return last;
    },
    last() {
      if (!last) throw new Error('no program was started');
      return last;
    },
  };
}
