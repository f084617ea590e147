/**
 * The whole program in this process, for journeys and door tests: temporary data folder, free ports, a database of
 * its own in the run's Postgres. `restart()` stops and starts it over the same folder and database.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseConfig } from '../../src/config.ts';
import type { Failure } from '../../src/failure.ts';
import { type Isocenter, PROJECT_FOLDER, startIsocenter } from '../../src/main.ts';
import { type TestDatabase, testDatabase } from './database.ts';

export interface House {
  isocenter: Isocenter;
  readonly url: string;
  readonly dicomPort: number;
  readonly dataFolder: string;
  readonly db: TestDatabase;
  restart(env?: Record<string, string>): Promise<void>;
  close(): Promise<void>;
}

/** @param env beside the defaults: quiet log, STABLE_AGE_S 1, no disk reserve, two receivers */
export async function openHouse(env: Record<string, string> = {}): Promise<House> {
  const dataFolder = await mkdtemp(path.join(os.tmpdir(), 'isocenter-house-'));
  const db = await testDatabase();
  const fatal = (failure: Failure): void => {
    throw failure;
  };
  const start = (more: Record<string, string> = {}): Promise<Isocenter> =>
    startIsocenter(
      parseConfig(
        {
          ISOCENTER_DATA: dataFolder,
          HTTP_PORT: '0',
          DICOM_PORT: '0',
          DATABASE_URL: db.url,
          STABLE_AGE_S: '1',
          DISK_RESERVE: '0B',
          LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
          ...env,
          ...more,
        },
        PROJECT_FOLDER,
      ),
      fatal,
    );
  const remove = async (): Promise<void> => {
    await db.drop();
    await rm(dataFolder, { recursive: true, force: true });
  };
  const house: House = {
    isocenter: await start().catch(async (thrown: unknown) => {
      await remove();
      throw thrown;
    }),
    get url() {
      return `http://127.0.0.1:${house.isocenter.httpPort}`;
    },
    get dicomPort() {
      const { dicomPort } = house.isocenter;
      if (dicomPort === undefined) throw new Error('the plain DICOM port of this house is closed');
      return dicomPort;
    },
    dataFolder,
    db,
    async restart(more) {
      await house.isocenter.stop();
      house.isocenter = await start(more);
    },
    async close() {
      await house.isocenter.stop();
      await remove();
    },
  };
  return house;
}

/** Asks again until the answer is there; fails with what it last saw. Bounded. */
export async function eventually<T>(
  ask: () => Promise<T | undefined>,
  what: string,
  limitMs = 20_000,
): Promise<T> {
  const until = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > until) throw new Error(`${what} did not come within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
