/** Receptions as rows: closed when the settler has passed their last object, or when their node starts anew. */
import type { Queryable } from '../database/database.ts';
import type { ReceptionOutcome } from './messages.ts';
import type { Provenance } from './record.ts';

export interface ReceptionClosing {
  from: Provenance;
  outcome: ReceptionOutcome;
  refused: number;
}

/** A reception that stored nothing has no row, and gets none. */
export async function closeReception(db: Queryable, closing: ReceptionClosing): Promise<void> {
  await db.query(
    `update reception set closed_at = now(), outcome = $2, refused = $3 where id = $1 and closed_at is null`,
    [closing.from.reception, closing.outcome, closing.refused],
  );
}

/** After the replay: what an earlier run of this node had open ended with it. */
export async function closeLostReceptions(db: Queryable, node: string, startedAt: Date): Promise<void> {
  await db.query(
    `update reception set closed_at = now(), outcome = 'lost'
     where node = $1 and closed_at is null and opened_at < $2`,
    [node, startedAt],
  );
}
