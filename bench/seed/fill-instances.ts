/**
 * Writes the instances of seeded studies (seeded-instances.ts) with a row for each object, which there is none of: whoever
 * asks for its bytes is answered 404. Called by fill.ts in the transaction that writes the studies.
 */
import type pg from 'pg';
import { instanceAttributes, NUMBER, SOP_CLASS, sopUidOf } from './seeded-instances.ts';
import type { SeededSeries } from './seeded-study.ts';

export async function fillInstances(client: pg.Client, series: readonly SeededSeries[]): Promise<void> {
  for (const one of series) {
    await client.query(
      `with made as (
         insert into object (sop_uid, content_hash, sop_class, transfer_syntax, length, data_set_offset, pixel, key,
           location, role, source_kind, source_ae, source_address, received_at)
         select replace($1, $2, n::text), sha256(convert_to(replace($1, $2, n::text), 'UTF8')), $3,
           '1.2.840.10008.1.2.1', 526000, 400, '{"offset": 1700, "length": 524288, "vr": "OW"}',
           encode(sha256(convert_to(replace($1, $2, n::text), 'UTF8')), 'hex'), 'store', 'current', 'dimse', 'CT1',
           '127.0.0.1', now()
         from generate_series(1, $4::int) n returning id, sop_uid)
       insert into instance (series, sop_uid, sop_class, number, attributes, object)
       select r.id, m.sop_uid, $3, n, replace(replace($5, $6, n::text), $2, n::text)::jsonb, m.id
       from series r, made m, lateral (select substring(m.sop_uid from '[0-9]+$')::int as n) x
       where r.series_uid = $7 order by n`,
      [
        sopUidOf(one, NUMBER),
        NUMBER,
        SOP_CLASS,
        one.instances,
        JSON.stringify(instanceAttributes(one)),
        // A number, where it is the whole value.
        JSON.stringify(NUMBER),
        one.seriesUid,
      ],
    );
  }
}
