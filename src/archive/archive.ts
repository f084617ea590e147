/**
 * The strong room's door: opens the store, the intake and the clocks of the archive in order, and closes them in
 * reverse. Made by main.ts; dicomweb, fhir, routing and forwarding get it or the parts they need of it.
 */
import type pg from 'pg';
import type { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { DataFolder } from './data-folder.ts';
import type { Database } from './database/database.ts';
import { type IntakeThreads, type JournalSeat, startIntake } from './intake/intake.ts';
import type { SettlerState } from './intake/settler.ts';
import type { WebReception } from './intake/web-reception.ts';
import type { ObjectStore } from './object-store/object-store.ts';
import { openStore, type StoreConfig } from './open-store.ts';
import { createObjectReader, type ObjectReader } from './read-object.ts';
import { sweepRefusals } from './refusal.ts';
import { createRefusalLog, type RefusalLog } from './refusal-log.ts';
import { createStableStudies } from './stable-study.ts';

export interface ArchiveParts {
  database: Database;
  /** for the settler's own pool */
  connection: pg.PoolConfig;
  dataFolder: DataFolder;
  s3: StoreConfig['s3'];
  stableAgeS: number;
  ackAfter: 'journal' | 'store';
  /** How long an object may wait for the store then. */
  ackLimitS: number;
  journal: { limitBytes: number; reserveBytes: number; segmentBytes?: number };
  logLevel: string;
  log: Log;
  onFatal(failure: Failure): void;
}

export interface ArchiveHealth {
  database: string | undefined;
  store: string | undefined;
  journalHeldBytes: number;
  /** Why new objects are refused; undefined while they are taken. */
  refuses: string | undefined;
  settler: SettlerState;
}

export interface Archive {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly reader: ObjectReader;
  readonly nodeName: string;
  /** Where the doors take down what they refuse. */
  readonly refusals: RefusalLog;
  start(): Promise<void>;
  /** After the doors are closed. Settles what is durable within the limit. */
  stop(limitMs: number): Promise<void>;
  /** A journal for one receiver thread. */
  seat(name: string): JournalSeat;
  /** The only way in for STOW. */
  openReception(from: { actor?: string; address?: string }): Promise<WebReception>;
  /** Resolves when what an earlier run left in its journals is settled. */
  replayed(): Promise<void>;
  /** Bytes in journals that are not settled. */
  journalHeldBytes(): number;
  /** Age of the oldest durable object that is not in the index yet, seconds; 0 when there is none. */
  oldestUnindexedS(): number;
  /** A sentence for each part that is away, undefined for one that is well. */
  health(): Promise<ArchiveHealth>;
}

const HEARTBEAT_MS = 10_000;
const SWEEP_MS = 3_600_000;

export function createArchive(parts: ArchiveParts): Archive {
  const { database, dataFolder, log } = parts;
  const storeConfig: StoreConfig = { folder: dataFolder.objects, tmp: dataFolder.tmp, s3: parts.s3 };
  const store = openStore(storeConfig, log);
  const reader = createObjectReader({
    store,
    database,
    nodeName: dataFolder.nodeName,
    dataFolder: dataFolder.path,
  });
  const refusals = createRefusalLog({ database, log });
  let intake: IntakeThreads | undefined;
  const timers: NodeJS.Timeout[] = [];

  const started = (): IntakeThreads => {
    if (!intake) throw new Error('the archive is not started');
    return intake;
  };
  const heartbeat = async (): Promise<void> => {
    await database.query(
      'insert into node (name) values ($1) on conflict (name) do update set seen_at = now()',
      [dataFolder.nodeName],
    );
  };
  const stable = createStableStudies({ database, stableAgeS: parts.stableAgeS, heartbeat, log });
  const every = (ms: number, what: string, work: () => Promise<unknown>): void => {
    timers.push(
      setInterval(() => {
        work().catch((err: unknown) => log.warn({ err }, `${what} failed, trying again later`));
      }, ms),
    );
  };

  return {
    database,
    store,
    reader,
    nodeName: dataFolder.nodeName,
    refusals,
    async start() {
      await store.start();
      await heartbeat();
      intake = startIntake({
        connection: parts.connection,
        store: storeConfig,
        nodeName: dataFolder.nodeName,
        dataFolder: dataFolder.path,
        journalFolder: dataFolder.journal,
        quarantineFolder: dataFolder.quarantine,
        ...parts.journal,
        ackAfter: parts.ackAfter,
        ackLimitMs: parts.ackLimitS * 1000,
        logLevel: parts.logLevel,
        log,
        onFatal: parts.onFatal,
      });
      every(HEARTBEAT_MS, 'the heartbeat', heartbeat);
      every(SWEEP_MS, 'the sweep of old refusals', () => sweepRefusals(database));
      stable.start();
    },
    async stop(limitMs) {
      for (const timer of timers.splice(0)) clearInterval(timer);
      await stable.stop();
      await intake?.stop(limitMs);
      await refusals.stop();
      await store.stop();
    },
    seat: (name) => started().seat(name),
    openReception: (from) => started().openReception(from),
    replayed: () => started().replayed,
    journalHeldBytes: () => intake?.heldBytes() ?? 0,
    oldestUnindexedS() {
      const oldest = intake?.state().oldest;
      return oldest === undefined ? 0 : Math.max(0, (Date.now() - Date.parse(oldest)) / 1000);
    },
    async health() {
      const word = async (work: () => Promise<unknown>): Promise<string | undefined> => {
        try {
          await work();
          return undefined;
        } catch (thrown) {
          return thrown instanceof Error ? thrown.message : 'it does not answer';
        }
      };
      const [databaseWord, storeWord] = await Promise.all([
        word(() => database.query('select 1')),
        word(() => store.check()),
      ]);
      return {
        database: databaseWord,
        store: storeWord,
        journalHeldBytes: intake?.heldBytes() ?? 0,
        refuses: intake?.refuses(),
        settler: intake?.state() ?? { segments: 0, oldest: undefined, replaying: 0, away: [] },
      };
    },
  };
}
