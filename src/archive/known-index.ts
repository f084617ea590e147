/**
 * What the index knows of the UIDs of a batch, loaded under the batch's locks for decide-indexing.ts.
 * Called by study-index.ts.
 */
import type { Queryable } from './database/database.ts';
import type { IncomingIdentity, KnownIndex, KnownStudy } from './decide-indexing.ts';

/**
 * One at a time, in one order everywhere: two that change the same studies wait for each other, never on each other.
 * @param uids Study and Series Instance UIDs
 */
export async function lockUids(tx: Queryable, uids: Iterable<string>): Promise<void> {
  await tx.query(
    `select pg_advisory_xact_lock(key) from (
       select hashtextextended(uid, 20) as key from unnest($1::text[]) with ordinality as u (uid, n) order by n offset 0) k`,
    [[...new Set(uids)].sort()],
  );
}

export async function loadKnown(
  tx: Queryable,
  incoming: readonly IncomingIdentity[],
  studyUids: readonly string[],
  seriesUids: readonly string[],
): Promise<KnownIndex> {
  const sopUids = incoming.map((object) => object.sopUid);
  const studies = await tx.query<{ study_uid: string } & KnownStudy>(
    `select s.study_uid, s.patient_id as "patientId", s.issuer, coalesce((select jsonb_agg(jsonb_build_object(
         'patientId', d.patient_id, 'issuer', d.issuer, 'together', d.together))
       from patient_decision d where d.study_uid = s.study_uid), '[]') as decided
     from study s where s.study_uid = any($1)`,
    [studyUids],
  );
  const series = await tx.query<{ series_uid: string; study_uid: string }>(
    'select e.series_uid, s.study_uid from series e join study s on s.id = e.study where e.series_uid = any($1)',
    [seriesUids],
  );
  const instances = await tx.query<{
    sop_uid: string;
    series_uid: string;
    study_uid: string;
    transfer_syntax: string;
    hash: string;
  }>(
    `select i.sop_uid, e.series_uid, s.study_uid, o.transfer_syntax, encode(o.content_hash, 'hex') as hash
     from instance i join series e on e.id = i.series join study s on s.id = e.study join object o on o.id = i.object
     where i.sop_uid = any($1)`,
    [sopUids],
  );
  const objects = await tx.query<{ version: string; role: string }>(
    `select sop_uid || ' ' || encode(content_hash, 'hex') as version, role from object where sop_uid = any($1)`,
    [sopUids],
  );
  const seriesStudies = new Map<string, Set<string>>();
  for (const row of series.rows)
    seriesStudies.set(row.series_uid, (seriesStudies.get(row.series_uid) ?? new Set()).add(row.study_uid));
  return {
    studies: new Map(studies.rows.map(({ study_uid, ...study }) => [study_uid, study])),
    seriesStudies,
    instances: new Map(
      instances.rows.map((row) => [
        row.sop_uid,
        {
          studyUid: row.study_uid,
          seriesUid: row.series_uid,
          transferSyntax: row.transfer_syntax,
          contentHash: row.hash,
        },
      ]),
    ),
    objects: new Map(
      objects.rows.map(({ version, role }) => [version, role === 'undecided' ? 'undecided' : 'decided']),
    ),
  };
}
