/**
 * The only way in: starts the settler's thread, the web door's at the first STOW, and gives each receiver thread what it
 * needs for a journal of its own. Called by archive.ts; the receivers belong to scp.
 */
import fs from 'node:fs';
import path from 'node:path';
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import type pg from 'pg';
import { Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import { startThread, threadEnd } from '../../thread.ts';
import type { ConflictPolicy } from '../decide-indexing.ts';
import { isCode } from '../object-store/file-failure.ts';
import type { StoreConfig } from '../open-store.ts';
import { createBudget } from './budget.ts';
import type { NewPack } from './index-batch.ts';
import { isFreeSegment, SEGMENT_BYTES, syncFolder } from './journal.ts';
import type { IntakeOptions } from './reception.ts';
import type { SettlerState } from './settler.ts';
import type { FromSettlerThread, SettlerThreadData, ToSettlerThread } from './settler-thread.ts';
import { createWebDoor, type WebDoor, type WebReception } from './web-reception.ts';
import type { WebThreadData } from './web-thread.ts';

export interface IntakeParts {
  connection: pg.PoolConfig;
  store: StoreConfig;
  nodeName: string;
  dataFolder: string;
  journalFolder: string;
  quarantineFolder: string;
  limitBytes: number;
  reserveBytes: number;
  ackAfter: 'journal' | 'store';
  ackLimitMs: number;
  conflictPolicy: ConflictPolicy;
  segmentBytes?: number;
  logLevel: string;
  log: Log;
  /** Told the packs of what /metadata says that are new. */
  packed(packs: readonly NewPack[]): void;
  /** The settler cannot go on: the process must end, and the next start recovers. */
  onFatal(failure: Failure): void;
}

/** What a receiver thread needs; the port must be in the transfer list. */
export interface JournalSeat {
  intake: Omit<IntakeOptions, 'port'>;
  /** Its end tells the settler that the thread is gone. */
  settlerPort: MessagePort;
}

export interface IntakeThreads {
  /** Resolves when segments of an earlier run are settled. */
  replayed: Promise<void>;
  seat(name: string): JournalSeat;
  /** All seats are given: what lies free in the folders of journals that are no more (RECEIVERS lowered) is removed. */
  seated(): void;
  openReception(from: { actor?: string; address?: string }): Promise<WebReception>;
  /** Bytes in journals that are not settled. */
  heldBytes(): number;
  /** Why objects are refused now, in a sentence; undefined while they are taken. */
  refuses(): string | undefined;
  state(): SettlerState;
  stop(limitMs: number): Promise<void>;
}

/** Of JOURNAL_LIMIT, for objects that come by STOW and may take their time: modalities must not find it full of them. */
const WEB_PART = 1 / 4;
/** A thread that fails at once is not started in a tight loop; until then a STOW is answered 503. */
const RESTART_MS = 1000;

export function startIntake(parts: IntakeParts): IntakeThreads {
  const { log } = parts;
  const budgetCounter = new SharedArrayBuffer(8);
  const budget = createBudget({ ...parts, counter: budgetCounter, folder: parts.journalFolder });
  const segmentBytes = parts.segmentBytes ?? SEGMENT_BYTES;
  let state: SettlerState = {
    segments: 0,
    objects: 0,
    oldest: undefined,
    oldestUnindexed: undefined,
    replaying: 0,
    away: [],
  };
  let stopping = false;
  let seats = 0;
  const folders = new Set<string>();
  const replay = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();

  // Before any journal is made: what is free goes to the journal of its folder, the rest to the replay.
  const left = findFiles(parts.journalFolder, '.seg');
  let free = left.filter((file) => isFreeSegment(file, segmentBytes));
  const found = left.filter((file) => !free.includes(file));

  const settlerData: SettlerThreadData = {
    connection: parts.connection,
    store: parts.store,
    nodeName: parts.nodeName,
    dataFolder: parts.dataFolder,
    journalFolder: parts.journalFolder,
    found,
    foundSpills: findFiles(parts.journalFolder, '.obj'),
    quarantineFolder: parts.quarantineFolder,
    budgetCounter,
    limitBytes: parts.limitBytes,
    reserveBytes: parts.reserveBytes,
    segmentBytes,
    ackAfter: parts.ackAfter,
    conflictPolicy: parts.conflictPolicy,
    logLevel: parts.logLevel,
  };
  const settler = startThread(new URL('./settler-thread.ts', import.meta.url), { workerData: settlerData });
  const tell = (message: ToSettlerThread, transfer: MessagePort[] = []): void =>
    settler.postMessage(message, transfer);
  settler.on('message', (message: FromSettlerThread) => {
    if (message.type === 'replayed') replay.resolve();
    else if (message.type === 'state') state = message;
    else if (message.type === 'packed') parts.packed(message.packs);
    else stopped.resolve();
  });
  settler.on('error', (cause) => {
    stopped.resolve();
    parts.onFatal(new Failure('internal', 'the settler cannot go on', { cause }));
  });
  settler.on('exit', () => stopped.resolve());

  const seat = (name: string): JournalSeat => {
    // A seat has its own name each time: a journal that comes back never answers for the one that went.
    const unique = `${name}.${seats++}`;
    const folder = path.join(parts.journalFolder, name);
    folders.add(folder);
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    syncFolder(parts.journalFolder);
    const { port1, port2 } = new MessageChannel();
    tell({ type: 'attach', name: unique, port: port1 }, [port1]);
    // Once: a thread that is started anew must not take what the first one uses.
    const ready = free.filter((file) => path.dirname(file) === folder);
    free = free.filter((file) => !ready.includes(file));
    return {
      intake: {
        folder,
        budgetCounter,
        limitBytes: parts.limitBytes,
        reserveBytes: parts.reserveBytes,
        ackAfter: parts.ackAfter,
        storeLimitMs: parts.ackLimitMs,
        refuses: parts.conflictPolicy === 'refuse',
        segmentBytes,
        ready,
      },
      settlerPort: port2,
    };
  };

  const webObjects = Math.max(1, Math.floor((parts.limitBytes * WEB_PART) / segmentBytes));
  const webFolder = path.join(parts.journalFolder, 'web');
  folders.add(webFolder);
  /** Started by the first STOW: many archives never get one, and the thread weighs 25 MB. */
  let web: WebDoor | undefined;
  let webThread: Worker | undefined;
  let webRestart: NodeJS.Timeout | undefined;
  const startWeb = (): WebDoor => {
    const { intake, settlerPort } = seat(path.basename(webFolder));
    const { port1, port2 } = new MessageChannel();
    const data: WebThreadData = { intake, settlerPort, webPort: port2 };
    const thread = startThread(new URL('./web-thread.ts', import.meta.url), {
      workerData: data,
      transferList: [settlerPort, port2],
    });
    const door = createWebDoor(port1, webObjects);
    web = door;
    webThread = thread;
    thread.on('error', (err) => log.error({ err }, 'the web intake failed and is started anew'));
    thread.on('exit', () => {
      door.fail();
      restartWeb();
    });
    return door;
  };
  const restartWeb = (): void => {
    if (stopping) return;
    webRestart = setTimeout(() => {
      try {
        startWeb();
      } catch (err) {
        log.error({ err }, 'the web intake could not be started');
        restartWeb();
      }
    }, RESTART_MS);
  };
  const webDoor = (): WebDoor => {
    if (web) return web;
    try {
      return startWeb();
    } catch (cause) {
      throw new Failure('unavailable', 'the intake for STOW cannot be started now', {
        cause,
        retryAfterS: 5,
      });
    }
  };

  return {
    replayed: replay.promise,
    seat,
    seated() {
      try {
        for (const file of free) if (!folders.has(path.dirname(file))) fs.rmSync(file, { force: true });
        free = free.filter((file) => folders.has(path.dirname(file)));
        for (const entry of fs.readdirSync(parts.journalFolder, { withFileTypes: true })) {
          const folder = path.join(parts.journalFolder, entry.name);
          if (entry.isDirectory() && !folders.has(folder)) removeIfEmpty(folder);
        }
      } catch (err) {
        // They cost room and nothing else.
        log.warn({ err }, 'what journals that are no more left free is removed at the next start');
      }
    },
    openReception: async (from) => webDoor().open(from),
    heldBytes: () => budget.held(),
    refuses: () => budget.shortage(segmentBytes),
    state: () => state,
    async stop(limitMs) {
      stopping = true;
      clearTimeout(webRestart);
      web?.end();
      if (webThread && !(await threadEnd(webThread))) log.warn('the web intake did not end by itself');
      tell({ type: 'stop', limitMs });
      await stopped.promise;
      if (!(await threadEnd(settler))) log.warn('the settler had stopped and did not end by itself');
    },
  };
}

/** What an earlier run left, oldest first. Called before this run makes files of its own. */
function findFiles(journalFolder: string, ending: string): string[] {
  return fs
    .readdirSync(journalFolder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => path.join(journalFolder, name));
}

/** One that still holds what is to be settled goes at a later start. */
function removeIfEmpty(folder: string): void {
  try {
    fs.rmdirSync(folder);
  } catch (thrown) {
    if (!isCode(thrown, 'ENOTEMPTY', 'EEXIST')) throw thrown;
  }
}
