/**
 * The settler's thread: opens its own database pool and store, takes a MessagePort for each journal, and settles.
 * Started by intake.ts, which hears of replay, state and faults over parentPort.
 */
import fs from 'node:fs';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type pg from 'pg';
import { createLog } from '../../log.ts';
import { openDatabase } from '../database/database.ts';
import { openStore, type StoreConfig } from '../open-store.ts';
import { createBudget } from './budget.ts';
import { closeLostReceptions } from './reception-log.ts';
import { createSettler, type SettlerState } from './settler.ts';

export interface SettlerThreadData {
  connection: pg.PoolConfig;
  store: StoreConfig;
  nodeName: string;
  dataFolder: string;
  journalFolder: string;
  /** segments of an earlier run, listed before any journal of this one was made */
  found: string[];
  foundSpills: string[];
  quarantineFolder: string;
  budgetCounter: SharedArrayBuffer;
  limitBytes: number;
  reserveBytes: number;
  segmentBytes: number;
  ackAfter: 'journal' | 'store';
  logLevel: string;
}

export type ToSettlerThread =
  | { type: 'attach'; name: string; port: MessagePort }
  | { type: 'detach'; name: string }
  | { type: 'stop'; limitMs: number };

export type FromSettlerThread =
  | { type: 'replayed' }
  | { type: 'stopped' }
  | ({ type: 'state' } & SettlerState);

const STATE_EVERY_MS = 1000;

const data = workerData as SettlerThreadData;
const parent = parentPort!;
const log = createLog(data.logLevel, 'settler');
const database = openDatabase(data.connection, { max: 4, applicationName: 'isocenter settler', log });
const store = openStore(data.store, log);
const budget = createBudget({
  counter: data.budgetCounter,
  limitBytes: data.limitBytes,
  reserveBytes: data.reserveBytes,
  folder: data.journalFolder,
});
const settler = createSettler({
  database,
  store,
  budget,
  nodeName: data.nodeName,
  dataFolder: data.dataFolder,
  segmentBytes: data.segmentBytes,
  quarantine: { folder: data.quarantineFolder, database },
  ackAfter: data.ackAfter,
  log,
});

const say = (message: FromSettlerThread): void => parent.postMessage(message);
const startedAt = new Date();

// A thread that cannot settle must not pretend to: what run() throws ends the thread, and the process with it.
const running = settler.run();
settler
  .replay(data.found)
  .then(() => {
    // Objects that outgrew a segment and were never finished: no record names them.
    for (const file of data.foundSpills) fs.rmSync(file, { force: true });
  })
  .then(() => closeLostReceptions(database, data.nodeName, startedAt))
  .then(() => say({ type: 'replayed' }))
  .catch((err: unknown) => log.error({ err }, 'the receptions of the last run could not be closed'));

const timer = setInterval(() => say({ type: 'state', ...settler.state() }), STATE_EVERY_MS);

parent.on('message', (message: ToSettlerThread) => {
  if (message.type === 'attach') {
    const { name, port } = message;
    const receive = settler.attach(name, (answer) => port.postMessage(answer));
    port.on('message', receive);
  } else if (message.type === 'detach') settler.detach(message.name);
  else void stop(message.limitMs);
});

async function stop(limitMs: number): Promise<void> {
  clearInterval(timer);
  await settler.stop(limitMs);
  await running;
  await database.close();
  await store.stop();
  say({ type: 'stopped' });
  parent.close();
}
