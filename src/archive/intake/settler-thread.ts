/**
 * The settler's thread: opens its own database pool and store, takes a MessagePort for each journal, and settles.
 * Started by intake.ts, which hears of replay, state and faults over parentPort.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type pg from 'pg';
import { createLog } from '../../log.ts';
import { openDatabase } from '../database/database.ts';
import type { ConflictPolicy } from '../decide-indexing.ts';
import { openStore, type StoreConfig } from '../open-store.ts';
import { warmUp } from '../warm-up.ts';
import { createBudget } from './budget.ts';
import type { NewPack } from './index-batch.ts';
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
  conflictPolicy: ConflictPolicy;
  logLevel: string;
}

export type ToSettlerThread =
  | { type: 'attach'; name: string; port: MessagePort }
  | { type: 'stop'; limitMs: number };

export type FromSettlerThread =
  | { type: 'replayed' }
  /** Written with the index: whoever asks for metadata finds them in memory. */
  | { type: 'packed'; packs: readonly NewPack[] }
  | { type: 'stopped' }
  | ({ type: 'state' } & SettlerState);

const STATE_EVERY_MS = 1000;
const WARM_UP_MS = 100;

const data = workerData as SettlerThreadData;
const parent = parentPort!;
const log = createLog(data.logLevel, 'settler');
const database = openDatabase(data.connection, {
  max: 4,
  applicationName: 'isocenter settler',
  prepare: true,
  log,
});
const store = await openStore(data.store, log);
const budget = createBudget({
  counter: data.budgetCounter,
  limitBytes: data.limitBytes,
  reserveBytes: data.reserveBytes,
  folder: data.journalFolder,
});
const say = (message: FromSettlerThread, transfer: ArrayBuffer[] = []): void =>
  parent.postMessage(message, transfer);
const settler = createSettler({
  database,
  store,
  budget,
  nodeName: data.nodeName,
  dataFolder: data.dataFolder,
  segmentBytes: data.segmentBytes,
  quarantine: { folder: data.quarantineFolder, database },
  ackAfter: data.ackAfter,
  conflictPolicy: data.conflictPolicy,
  ...(data.store.s3 && { uploads: data.store.s3.uploads }),
  packed: (packs) =>
    say(
      { type: 'packed', packs },
      packs.flatMap(({ bytes }) => ownMemory(bytes)),
    ),
  log,
});

// What journals and the main thread say meanwhile waits in their ports.
await warmUp(WARM_UP_MS);

// A thread that cannot settle must not pretend to: what run() or replay() throws ends the thread, and the process
// with it; the next start replays. A run that is stopped in its replay throws there, and that is no fault.
let stopping = false;
const running = settler.run();
settler.replay(data.found, data.foundSpills).then(
  () => say({ type: 'replayed' }),
  (thrown: unknown) => {
    if (!stopping) throw thrown;
  },
);

/** Of the journals: while one is open, this thread does not end. */
const ports = new Set<MessagePort>();
const timer = setInterval(() => say({ type: 'state', ...settler.state() }), STATE_EVERY_MS);

parent.on('message', (message: ToSettlerThread) => {
  if (message.type === 'stop') {
    void stop(message.limitMs);
    return;
  }
  const { name, port } = message;
  ports.add(port);
  const receive = settler.attach(name, (answer) => port.postMessage(answer));
  port.on('message', receive);
  // The kernel of the port keeps order: all that was sent before the thread ended has been received by now.
  port.on('close', () => {
    ports.delete(port);
    settler.detach(name);
  });
});

async function stop(limitMs: number): Promise<void> {
  stopping = true;
  clearInterval(timer);
  await settler.stop(limitMs);
  await running;
  await database.close();
  await store.stop();
  for (const port of ports) port.close();
  say({ type: 'stopped' });
  parent.close();
}

/** Moved to the other thread, unless others have theirs in it. */
function ownMemory({ buffer, byteLength }: Uint8Array): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : [];
}
