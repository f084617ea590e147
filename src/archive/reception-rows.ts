/**
 * What each association or STOW request brought to which study: the rows by which stability waits for open ones.
 * Written by study-index.ts in the transaction that indexes the objects; closed by intake/reception-log.ts.
 */
import type { Queryable } from './database/database.ts';
import type { IndexItem } from './incoming-object.ts';
import type { Provenance } from './intake/record.ts';

export async function writeReceptions(tx: Queryable, node: string, items: IndexItem[]): Promise<void> {
  const counts = new Map<string, { from: Provenance; studyUid: string; stored: number }>();
  for (const { object, decision } of items) {
    const id = `${object.from.reception} ${object.studyInstanceUid}`;
    const entry = counts.get(id) ?? { from: object.from, studyUid: object.studyInstanceUid, stored: 0 };
    // What a replay finds in the index was counted when it came there; what is refused is not stored.
    const counted = object.replayed && (decision.outcome === 'same' || decision.outcome === 'gone');
    if (!counted && decision.outcome !== 'refused') entry.stored++;
    counts.set(id, entry);
  }
  // Sorted, as the studies are: rows are always locked in one order.
  const rows = [...counts.values()].sort((a, b) => (a.from.reception < b.from.reception ? -1 : 1));
  for (const { from, studyUid, stored } of rows) {
    await tx.query(
      `insert into reception (id, node, kind, calling_ae, called_ae, address, actor, opened_at, stored)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       on conflict (id) do update set stored = reception.stored + excluded.stored`,
      [
        from.reception,
        node,
        from.kind,
        from.callingAe,
        from.calledAe,
        from.address,
        from.actor,
        from.openedAt,
        stored,
      ],
    );
    await tx.query(
      `insert into reception_study (study_uid, reception, stored) values ($1, $2, $3)
       on conflict (study_uid, reception) do update set stored = reception_study.stored + excluded.stored`,
      [studyUid, from.reception, stored],
    );
  }
}
