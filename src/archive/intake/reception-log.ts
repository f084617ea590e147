/**
 * Receptions as rows: closed when the settler has passed their last object, when their journal is gone, or when their
 * node starts anew. A study is not stable while one is open (stable-study.ts), so none may stay open for ever.
 * Kept and asked by the settler.
 */
import type { Queryable } from '../database/database.ts';
import type { JournalPoint, ReceptionOutcome } from './messages.ts';
import type { Provenance } from './record.ts';

export interface ReceptionClosing {
  from: Provenance;
  outcome: ReceptionOutcome;
  refused: number;
  /** Closed in the index once these are passed. */
  after: JournalPoint[];
}

export interface ReceptionBook {
  opened(journal: string, from: Provenance): void;
  closed(journal: string, closing: ReceptionClosing): void;
  /** The journal is gone: whatever it had open is lost once `after` is passed. */
  lost(journal: string, after: JournalPoint[]): void;
  /** Nothing waits to be closed. */
  readonly empty: boolean;
  /** Those that can be closed now; `done` strikes one out. */
  due(passed: (point: JournalPoint) => boolean): ReceptionClosing[];
  done(closing: ReceptionClosing): void;
  /** Of this run: open, or waiting to be closed. */
  known(): string[];
}

export function createReceptionBook(): ReceptionBook {
  const open = new Map<string, Map<string, Provenance>>();
  const closings = new Set<ReceptionClosing>();
  const of = (journal: string): Map<string, Provenance> => {
    const known = open.get(journal) ?? new Map<string, Provenance>();
    open.set(journal, known);
    return known;
  };
  return {
    opened: (journal, from) => void of(journal).set(from.reception, from),
    closed(journal, closing) {
      of(journal).delete(closing.from.reception);
      closings.add(closing);
    },
    lost(journal, after) {
      for (const from of of(journal).values()) closings.add({ from, outcome: 'lost', refused: 0, after });
      open.delete(journal);
    },
    get empty() {
      return closings.size === 0;
    },
    due: (passed) => [...closings].filter(({ after }) => after.every(passed)),
    done: (closing) => void closings.delete(closing),
    known: () => [
      ...[...open.values()].flatMap((receptions) => [...receptions.keys()]),
      ...[...closings].map(({ from }) => from.reception),
    ],
  };
}

/** A reception that stored nothing has no row, and gets none. */
export async function closeReception(db: Queryable, closing: ReceptionClosing): Promise<void> {
  await db.query(
    `update reception set closed_at = now(), outcome = $2, refused = $3 where id = $1 and closed_at is null`,
    [closing.from.reception, closing.outcome, closing.refused],
  );
}

/** After the replay: what an earlier run of this node had open ended with it. `known` are those of this run. */
export async function closeLostReceptions(db: Queryable, node: string, known: string[]): Promise<void> {
  await db.query(
    `update reception set closed_at = now(), outcome = 'lost'
     where node = $1 and closed_at is null and id <> all($2::uuid[])`,
    [node, known],
  );
}
