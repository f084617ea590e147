/**
 * Takes a batch of the journal's records into the index: each is read back, all are committed in one transaction, and
 * what turns out wrong after Success goes to quarantine with its reason. Called by settler.ts; what is indexed goes on
 * to the placer.
 */
import path from 'node:path';
import { asFailure, Failure } from '../../failure.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../database/database.ts';
import type { ConflictPolicy, Decision } from '../decide-indexing.ts';
import type { IncomingObject } from '../incoming-object.ts';
import { indexObjects } from '../study-index.ts';
import { mayPass, type Patience } from './patience.ts';
import { type Quarantine, quarantineGap, quarantineRecord } from './quarantine.ts';
import { readIncoming } from './read-record.ts';
import type { JournalGap } from './segment-reader.ts';
import { isSettledSpill, type Work } from './settling-segment.ts';

export type RecordWork = Extract<Work, { record: unknown }>;

/** A record with what the index is to know of it. */
interface Reading {
  work: RecordWork;
  object: IncomingObject;
}

/** An object that is in the index, or was decided not to be. */
export interface Indexed extends Reading {
  /** What the index made of it. */
  outcome: Decision['outcome'];
  /** Its sender waits for the comparison. */
  awaits: boolean;
}

export interface NewPack {
  id: number;
  bytes: Uint8Array;
}

export interface BatchParts {
  database: Database;
  nodeName: string;
  dataFolder: string;
  quarantine: Quarantine;
  conflictPolicy?: ConflictPolicy;
  patience: Patience;
  /** Told the packs of what /metadata says that were written with a batch; their bytes are no longer needed here. */
  packed?: ((packs: readonly NewPack[]) => void) | undefined;
  log: Log;
  /** Nothing more is to be done for it: set aside, or settled before a crash. */
  done(work: Work): void;
}

export interface BatchIndexing {
  /** Waits while the index or the quarantine is away. @throws Failure when the end comes first */
  index(batch: readonly Work[]): Promise<Indexed[]>;
  /** The bytes and the reason go to quarantine, and the work is done. */
  setAside(work: RecordWork, failure: Failure): Promise<void>;
  /** An earlier run's segments were damaged: a spill file no record names may be what one of them named. */
  readonly sawDamage: boolean;
}

export function createBatchIndexing(parts: BatchParts): BatchIndexing {
  const { database, nodeName, quarantine, log, done } = parts;
  const { persistently } = parts.patience;
  let sawDamage = false;

  const setAside = async (work: RecordWork, failure: Failure): Promise<void> => {
    log.error({ err: failure, sop: work.record.header.meta.sopInstanceUid }, 'an object goes to quarantine');
    // Another program's words could quote a patient; the log names such an error without them.
    const foreign = failure.kind === 'internal' && failure.cause !== undefined;
    const reason = foreign ? 'the object could not be indexed; the log has the cause' : failure.message;
    await persistently('the quarantine', () => quarantineRecord(quarantine, work.record, reason));
    done(work);
  };

  /** Undefined when nothing is left to index: set aside, or settled before a crash. */
  const read = async (work: Work): Promise<Reading | undefined> => {
    if ('gap' in work) {
      const end = work.unproven
        ? await persistently('the index', () => indexedUpTo(parts, work.segment.nonce, work.gap))
        : work.gap.end;
      if (end !== undefined) {
        const gap = { ...work.gap, end };
        sawDamage ||= work.segment.found;
        log.error({ ...gap }, 'a stretch of the journal is damaged and goes to quarantine');
        await persistently('the quarantine', () => quarantineGap(quarantine, gap));
      }
      done(work);
      return undefined;
    }
    if (work.segment.found && isSettledSpill(work.record)) {
      done(work);
      return undefined;
    }
    if (work.damaged) {
      await setAside(work, new Failure('internal', 'the bytes in the journal are no longer those that came'));
      return undefined;
    }
    try {
      const { segment, record } = work;
      const place = {
        path: path.relative(parts.dataFolder, segment.path),
        nonce: segment.nonce,
        end: record.end,
      };
      return { work, object: { ...readIncoming(record, parts), record: place, replayed: segment.found } };
    } catch (thrown) {
      await setAside(work, asFailure(thrown));
      return undefined;
    }
  };

  /** One transaction; when something in it is poison, each object has its own and the poisoned one is set aside. */
  const indexAll = async (readings: Reading[]): Promise<Indexed[]> => {
    if (readings.length === 0) return [];
    let packs: NewPack[] = [];
    try {
      const { outcomes, awaits } = await persistently('the index', () => {
        // Of a try that failed: a Postgres that fell may give their ids away again.
        packs = [];
        return indexObjects(
          database,
          nodeName,
          readings.map(({ object }) => object),
          {
            policy: parts.conflictPolicy ?? 'keep-first',
            packed: (id, bytes) => packs.push({ id, bytes }),
          },
        );
      });
      parts.packed?.(packs);
      return readings.map((reading, n) => ({ ...reading, outcome: outcomes[n]!, awaits: awaits[n]! }));
    } catch (thrown) {
      const failure = asFailure(thrown);
      if (mayPass(failure)) throw failure;
      const [only, ...others] = readings;
      if (others.length > 0) {
        const indexed: Indexed[] = [];
        for (const reading of readings) indexed.push(...(await indexAll([reading])));
        return indexed;
      }
      await setAside(only!.work, failure);
      return [];
    }
  };

  return {
    async index(batch) {
      const readings: Reading[] = [];
      for (const work of batch) {
        const reading = await read(work);
        if (reading) readings.push(reading);
      }
      return indexAll(readings);
    },
    setAside,
    get sawDamage() {
      return sawDamage;
    },
  };
}

/**
 * Where the last object ends that the index has in this use of the segment behind the gap's start: what is indexed was
 * acknowledged, so nothing there is a write that was cut off. Undefined when it has none.
 */
async function indexedUpTo(
  { database, nodeName, dataFolder }: BatchParts,
  nonce: string,
  { path: file, start }: JournalGap,
): Promise<number | undefined> {
  const { rows } = await database.query<{ end: number | null }>(
    `select max((journal->>'offset')::bigint + length) as "end" from object
     where location = 'journal' and node = $1 and journal->>'path' = $2 and journal->>'nonce' = $3
       and (journal->>'offset')::bigint >= $4`,
    [nodeName, path.relative(dataFolder, file), nonce, start],
  );
  return rows[0]?.end ?? undefined;
}
