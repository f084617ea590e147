/**
 * The strong room's door: opens the store, the intake and the clocks of the archive in order, and closes them in
 * reverse. Made by main.ts; dicomweb, fhir, routing and forwarding get it or the parts they need of it.
 */
import type pg from 'pg';
import { asFailure, type Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import { createVersionComparer } from './compare-versions.ts';
import type { DataFolder } from './data-folder.ts';
import type { Database } from './database/database.ts';
import type { Listening } from './database/listener.ts';
import type { ConflictPolicy } from './decide-indexing.ts';
import { createPackReader, type PackReader } from './header-pack-rows.ts';
import { type IntakeThreads, type JournalSeat, startIntake } from './intake/intake.ts';
import type { SettlerState } from './intake/settler.ts';
import { createSpool, type Spool } from './intake/spool.ts';
import type { WebReception } from './intake/web-reception.ts';
import type { ObjectStore } from './object-store/object-store.ts';
import { openStore, type StoreConfig } from './open-store.ts';
import { createObjectReader, type ObjectReader } from './read-object.ts';
import { sweepRefusals } from './refusal.ts';
import { createRefusalLog, type RefusalLog } from './refusal-log.ts';
import { removeBytes, removeLeftOver } from './removal.ts';
import { createStableStudies } from './stable-study.ts';
import { createStandings, type Standings } from './standing.ts';

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
  conflictPolicy: ConflictPolicy;
  journal: { limitBytes: number; reserveBytes: number; segmentBytes?: number };
  logLevel: string;
  log: Log;
  onFatal(failure: Failure): void;
}

/** What waits in the journals of this node. */
export interface JournalState {
  heldBytes: number;
  /** Age of the oldest object that is not in the index, and of the oldest that is not in the store; 0 for none. */
  oldestUnindexedS: number;
  oldestS: number;
  /** Why new objects are refused; undefined while they are taken. */
  refuses: string | undefined;
  settler: SettlerState;
}

export interface Archive {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly reader: ObjectReader;
  /** What /metadata says of instances. */
  readonly packs: PackReader;
  readonly nodeName: string;
  /** Where the doors take down what they refuse. */
  readonly refusals: RefusalLog;
  start(): Promise<void>;
  /** After the doors are closed. Settles what is durable within the limit. */
  stop(limitMs: number): Promise<void>;
  /** A journal for one receiver thread. */
  seat(name: string): JournalSeat;
  /** Every receiver has its seat: the free segments of others are removed. */
  seated(): void;
  /** The only way in for STOW. */
  openReception(from: { actor?: string; address?: string }): Promise<WebReception>;
  /** Where STOW's bulk data waits for its instance. */
  readonly spool: Spool;
  /** Removes from the store what `removal` says and nothing else refers to; what fails is tried again later. */
  removeBytes(key: string): Promise<void>;
  /** The same for all that waits for it, behind the caller's back. */
  removeDropped(): void;
  /** Resolves when what an earlier run left in its journals is settled. */
  replayed(): Promise<void>;
  journal(): JournalState;
  /** Which of index and store is away, since when and why: as last seen, or looked at anew (within 5 s). */
  readonly standings: Pick<Standings, 'known' | 'look'>;
}

const HEARTBEAT_MS = 10_000;
const STORE_RETRY_MS = 5000;
const SWEEP_MS = 3_600_000;
const REMOVAL_MS = 60_000;
/** Of what /metadata says of instances: of some 10,000, those that came or were asked for last. */
const HELD_PACK_BYTES = 32 * 1024 * 1024;

export async function createArchive(parts: ArchiveParts): Promise<Archive> {
  const { database, dataFolder, log } = parts;
  const storeConfig: StoreConfig = { folder: dataFolder.objects, tmp: dataFolder.tmp, s3: parts.s3 };
  const store = await openStore(storeConfig, log);
  const reader = createObjectReader({
    store,
    database,
    nodeName: dataFolder.nodeName,
    dataFolder: dataFolder.path,
  });
  const packs = createPackReader(database, HELD_PACK_BYTES);
  const refusals = createRefusalLog({ database, log });
  let intake: IntakeThreads | undefined;
  let listening: Listening | undefined;
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
  const comparer = createVersionComparer({
    database,
    reader,
    nodeName: dataFolder.nodeName,
    policy: parts.conflictPolicy,
    removeBytes: (key) => removeBytes(database, store, key),
    log,
  });
  const stable = createStableStudies({ database, stableAgeS: parts.stableAgeS, heartbeat, log });
  const standings = createStandings(
    { index: () => database.query('select 1'), store: () => store.check() },
    log,
  );
  const every = (ms: number, what: string, work: () => Promise<unknown>): void => {
    timers.push(
      setInterval(() => {
        work().catch((err: unknown) => log.warn({ err }, `${what} failed, trying again later`));
      }, ms),
    );
  };

  let stopping = false;
  let removing: Promise<unknown> | undefined;
  const removeAll = async (): Promise<void> => {
    removing ??= removeLeftOver(database, store, log, () => !stopping).finally(() => {
      removing = undefined;
    });
    await removing;
  };

  /** A bucket that is away keeps nobody from sending: the journal takes what comes, and it is tried again. */
  const startStore = async (): Promise<void> => {
    try {
      await store.start();
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (store.kind === 'files' || failure.kind !== 'unavailable') throw failure;
      log.error({ err: failure }, 'the store is away; the journal takes what comes');
      let started = false;
      every(STORE_RETRY_MS, 'the start of the store', async () => {
        if (started) return;
        await store.start();
        started = true;
      });
    }
  };

  return {
    database,
    store,
    reader,
    packs,
    nodeName: dataFolder.nodeName,
    refusals,
    async start() {
      await startStore();
      await heartbeat();
      // Called at each connect: nobody tells whether it is to the database that was there before.
      listening = await database.listen('isocenter_reconnected', () => packs.forget());
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
        conflictPolicy: parts.conflictPolicy,
        logLevel: parts.logLevel,
        log,
        packed(written) {
          for (const { id, bytes } of written)
            packs.keep(id, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        },
        onFatal: parts.onFatal,
      });
      every(HEARTBEAT_MS, 'the heartbeat', heartbeat);
      every(SWEEP_MS, 'the sweep of old refusals', () => sweepRefusals(database));
      every(REMOVAL_MS, 'the removal of dropped versions', removeAll);
      await comparer.start();
      stable.start();
      standings.start();
    },
    async stop(limitMs) {
      stopping = true;
      for (const timer of timers.splice(0)) clearInterval(timer);
      standings.stop();
      await Promise.allSettled([removing]);
      await stable.stop();
      await comparer.stop();
      await intake?.stop(limitMs);
      await listening?.stop();
      await refusals.stop();
      await store.stop();
    },
    seat: (name) => started().seat(name),
    seated: () => started().seated(),
    openReception: (from) => started().openReception(from),
    spool: createSpool({ folder: dataFolder.tmp, ...parts.journal }),
    async removeBytes(key) {
      try {
        await removeBytes(database, store, key);
      } catch (err) {
        log.warn({ err }, 'bytes of a dropped version could not be removed, trying again later');
      }
    },
    removeDropped() {
      removeAll().catch((err: unknown) =>
        log.warn({ err }, 'the removal of dropped versions failed, trying again later'),
      );
    },
    replayed: () => started().replayed,
    journal() {
      const settler = started().state();
      return {
        heldBytes: started().heldBytes(),
        oldestUnindexedS: ageS(settler.oldestUnindexed),
        oldestS: ageS(settler.oldest),
        refuses: started().refuses(),
        settler,
      };
    },
    standings,
  };
}

function ageS(moment: string | undefined): number {
  return moment === undefined ? 0 : Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
}
