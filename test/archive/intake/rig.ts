/**
 * The intake taken apart, in this one thread: a journal, a settler, the port between them, a real database and store.
 * A test decides when the settler runs, what is damaged in between, and who is gone.
 */
import { readdirSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { afterEach } from 'vitest';
import type { ConflictPolicy } from '../../../src/archive/decide-indexing.ts';
import { createBudget, type JournalBudget } from '../../../src/archive/intake/budget.ts';
import { createIntake, type Intake, type Reception } from '../../../src/archive/intake/reception.ts';
import type { Provenance } from '../../../src/archive/intake/record.ts';
import { createSettler, type Settler, type SettlerParts } from '../../../src/archive/intake/settler.ts';
import { createFileStore } from '../../../src/archive/object-store/file-store.ts';
import type { ObjectStore } from '../../../src/archive/object-store/object-store.ts';
import { createObjectReader, type ObjectReader } from '../../../src/archive/read-object.ts';
import { createLog } from '../../../src/log.ts';
import type { AnObject } from '../../support/an-object.ts';
import { type TestDatabase, testDatabase } from '../../support/database.ts';
import { tempFolder } from '../../support/temp-folder.ts';

export const NODE = 'node-of-the-test';
const log = createLog(process.env.TEST_LOG_LEVEL ?? 'silent', 'test');

export interface RigOptions {
  segmentBytes?: number;
  limitBytes?: number;
  ackAfter?: 'journal' | 'store';
  conflictPolicy?: ConflictPolicy;
  storeLimitMs?: number;
  packed?: SettlerParts['packed'];
  /** Instead of the file store. */
  wrapStore?(store: ObjectStore): ObjectStore;
}

export interface SettlerRun {
  settler: Settler;
  replayed: Promise<void>;
  /** Rejects when the settler cannot go on. */
  running: Promise<void>;
  stop(limitMs?: number): Promise<void>;
}

export interface Journal {
  intake: Intake;
  open(more?: Partial<Provenance>): Reception;
  /** As at a drain: segments are sealed, and the port is closed behind that. */
  close(): void;
  /** As when the thread dies: the port is closed, nothing is sealed. */
  die(): void;
}

export interface Rig {
  folder: string;
  journalFolder: string;
  db: TestDatabase;
  store: ObjectStore;
  budget: JournalBudget;
  journal(name?: string): Journal;
  /** Replays what lies in the journal folder and runs, as at a start. */
  settle(): SettlerRun;
  quarantined(): Promise<{ path: string; sop_uid: string | null; reason: string; bytes: Buffer }[]>;
  close(): Promise<void>;
}

/** Reads what the rig stored, as this node does or another one. */
export function readerOf({ store, db, folder }: Rig, nodeName = NODE): ObjectReader {
  return createObjectReader({ store, database: db.database, nodeName, dataFolder: folder });
}

/** @returns opens a rig, which is closed after the test */
export function rigsOfTests(): (options?: RigOptions) => Promise<Rig> {
  const rigs: Rig[] = [];
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.close();
  });
  return async (options) => {
    const rig = await openRig(options);
    rigs.push(rig);
    return rig;
  };
}

export async function openRig(options: RigOptions = {}): Promise<Rig> {
  const temp = await tempFolder('intake');
  const folder = temp.path;
  const journalFolder = join(folder, 'journal');
  const quarantineFolder = join(folder, 'quarantine');
  for (const name of [journalFolder, quarantineFolder]) await mkdir(name);
  const db = await testDatabase();
  const files = createFileStore({ folder: join(folder, 'objects') });
  const store = options.wrapStore?.(files) ?? files;
  await store.start();
  const {
    segmentBytes = 64 * 1024,
    limitBytes = 2 ** 40,
    ackAfter = 'journal',
    conflictPolicy = 'keep-first',
  } = options;
  const counter = new SharedArrayBuffer(8);
  const budgetOptions = { counter, limitBytes, reserveBytes: 0, folder };
  const budget = createBudget(budgetOptions);
  const ports = new Set<MessagePort>();
  const runs = new Set<SettlerRun>();
  let current: Settler | undefined;
  /** Journals made while no settler runs are attached to nobody, as after a crash. */
  const journal = (name = 'receiver-0'): Journal => {
    const { port1, port2 } = new MessageChannel();
    ports.add(port1).add(port2);
    if (current) {
      const settler = current;
      port1.on(
        'message',
        settler.attach(name, (answer) => port1.postMessage(answer)),
      );
      port1.on('close', () => settler.detach(name));
    }
    const intake = createIntake({
      folder: join(journalFolder, name),
      port: port2,
      budgetCounter: counter,
      limitBytes,
      reserveBytes: 0,
      ackAfter,
      refuses: options.conflictPolicy === 'refuse',
      segmentBytes,
      ...(options.storeLimitMs === undefined ? {} : { storeLimitMs: options.storeLimitMs }),
    });
    return {
      intake,
      open: (more) =>
        intake.open({
          reception: crypto.randomUUID(),
          kind: 'dimse',
          callingAe: 'CT_1',
          calledAe: 'ISOCENTER',
          address: '127.0.0.1',
          openedAt: new Date().toISOString(),
          ...more,
        }),
      close() {
        intake.close();
        port2.close();
      },
      die: () => port2.close(),
    };
  };
  return {
    folder,
    journalFolder,
    db,
    store,
    budget,
    journal,
    settle() {
      const found = (ending: string): string[] =>
        readdirSync(journalFolder, { recursive: true, encoding: 'utf8' })
          .filter((name) => name.endsWith(ending))
          .sort()
          .map((name) => join(journalFolder, name));
      const segments = found('.seg');
      const spills = found('.obj');
      const settler = createSettler({
        database: db.database,
        store,
        budget,
        nodeName: NODE,
        dataFolder: folder,
        segmentBytes,
        quarantine: { folder: quarantineFolder, database: db.database },
        ackAfter,
        conflictPolicy,
        packed: options.packed,
        log,
      });
      current = settler;
      const running = settler.run();
      running.catch(() => undefined); // a test that expects it awaits it
      const run = {
        settler,
        running,
        replayed: settler.replay(segments, spills),
        async stop(limitMs = 20_000) {
          runs.delete(run);
          if (current === settler) current = undefined;
          await settler.stop(limitMs);
        },
      };
      runs.add(run);
      return run;
    },
    async quarantined() {
      const { rows } = await db.database.query<{ path: string; sop_uid: string | null; reason: string }>(
        'select path, sop_uid, reason from quarantine order by id',
      );
      return Promise.all(
        rows.map(async (row) => ({ ...row, bytes: await readFile(join(quarantineFolder, row.path)) })),
      );
    },
    async close() {
      for (const run of runs) await run.stop(0).catch(() => undefined);
      for (const port of ports) port.close();
      await store.stop();
      await db.drop();
      await temp.remove();
    },
  };
}

/** Stores an object in one piece, or in pieces of a given size. */
export function store(reception: Reception, object: AnObject, piece = object.dataSet.length) {
  const writer = reception.begin(object.declared);
  for (let at = 0; at < object.dataSet.length; at += piece)
    writer.write(object.dataSet.subarray(at, at + piece));
  return writer.finish();
}

export type IndexRows = Record<'studies' | 'series' | 'instances' | 'objects', unknown[]>;

/** The index in a form that can be compared; ids and times left out. */
export async function indexRows(db: TestDatabase): Promise<IndexRows> {
  const ask = async (text: string): Promise<unknown[]> => (await db.database.query(text)).rows;
  return {
    studies: await ask(
      `select s.study_uid, p.patient_id, p.issuer, p.anchor, s.attributes, s.series_count, s.instance_count,
         s.modalities, s.held from study s join patient p on p.id = s.patient order by 1`,
    ),
    series: await ask(
      `select s.study_uid, e.series_uid, e.modality, e.attributes, e.instance_count
       from series e join study s on s.id = e.study order by 1, 2`,
    ),
    instances: await ask(
      `select i.sop_uid, e.series_uid, i.sop_class, i.number, i.attributes, encode(o.content_hash, 'hex') as hash,
         o.key, o.length, o.data_set_offset, o.pixel, o.transfer_syntax
       from instance i join series e on e.id = i.series join object o on o.id = i.object order by 1`,
    ),
    objects: await ask(`select sop_uid, encode(content_hash, 'hex') as hash, role from object order by 1, 2`),
  };
}

/** Counts that do not agree with the rows they count; empty when all is well. */
export async function wrongCounts(db: TestDatabase): Promise<unknown[]> {
  const { rows } = await db.database.query(
    `select s.study_uid from study s where
       instance_count <> (select count(*) from instance i join series e on e.id = i.series where e.study = s.id)
       or series_count <> (select count(*) from series e where e.study = s.id)
     union all
     select e.series_uid from series e where instance_count <> (select count(*) from instance i where i.series = e.id)`,
  );
  return rows;
}
