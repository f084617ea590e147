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
  const perStudy = [...counts.values()].sort((a, b) => (a.from.reception < b.from.reception ? -1 : 1));
  const perReception = new Map<string, { from: Provenance; stored: number }>();
  for (const { from, stored } of perStudy) {
    const entry = perReception.get(from.reception);
    if (entry) entry.stored += stored;
    else perReception.set(from.reception, { from, stored });
  }
  // One statement for all of them: many associations at once are many receptions in each batch.
  await tx.query(
    `insert into reception (id, node, kind, calling_ae, called_ae, address, actor, opened_at, stored)
     select id, $1, kind, calling_ae, called_ae, address, actor, opened_at, stored from jsonb_to_recordset($2)
       as r(id uuid, kind text, calling_ae text, called_ae text, address text, actor text, opened_at timestamptz,
         stored int)
     on conflict (id) do update set stored = reception.stored + excluded.stored`,
    [
      node,
      JSON.stringify(
        [...perReception.values()].map(({ from, stored }) => ({
          id: from.reception,
          kind: from.kind,
          calling_ae: from.callingAe,
          called_ae: from.calledAe,
          address: from.address,
          actor: from.actor,
          opened_at: from.openedAt,
          stored,
        })),
      ),
    ],
  );
  await tx.query(
    `insert into reception_study (study_uid, reception, stored)
     select * from unnest($1::text[], $2::uuid[], $3::int[])
     on conflict (study_uid, reception) do update set stored = reception_study.stored + excluded.stored`,
    [
      perStudy.map(({ studyUid }) => studyUid),
      perStudy.map(({ from }) => from.reception),
      perStudy.map(({ stored }) => stored),
    ],
  );
}
