/**
 * Writes seeded studies (seeded-study.ts) with their patients and series into an index, as the archive would have them:
 * the same columns made by the same code, the same triggers; a few of them with instances (fill-instances.ts).
 * Called by seed.ts and by web/qido.ts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { studyColumns } from '../../src/archive/indexed-attributes.ts';
import { fillInstances } from './fill-instances.ts';
import { hasInstances } from './seeded-instances.ts';
import { ISSUER, type SeededStudy, seededStudy } from './seeded-study.ts';

const BATCH = 2000;
/** Transactions at once: one for each of two cores. */
const LANES = 2;
const TABLES = ['patient', 'study', 'series', 'study_key', 'study_modality', 'object', 'instance'];

export interface Filling {
  /** From this number. */
  readonly from: number;
  /** Up to it, without it. */
  readonly to: number;
  readonly signal: AbortSignal;
  progress(studies: number): void;
}

/** @returns how to reach the embedded Postgres of a running Isocenter, by its own note (postmaster.pid) */
export function embeddedDatabase(dataFolder: string): pg.ClientConfig {
  const note = readFileSync(join(dataFolder, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n');
  const [, , , port, sockets = ''] = note;
  return { host: sockets.trim(), port: Number(port), user: 'isocenter', database: 'isocenter' };
}

export async function fill(
  database: pg.ClientConfig,
  { from, to, signal, progress }: Filling,
): Promise<void> {
  // Made anew at the end: kept while rows come, they would take most of the time.
  const indexes = await takeIndexes(database);
  let next = from;
  const lane = async (): Promise<void> => {
    const client = new pg.Client(database);
    await client.connect();
    try {
      // What a power cut takes can be seeded again.
      await client.query('set synchronous_commit = off');
      while (next < to) {
        signal.throwIfAborted();
        const first = next;
        next = Math.min(to, first + BATCH);
        const studies = Array.from({ length: next - first }, (_, n) => seededStudy(first + n));
        await client.query('begin');
        await insert(client, studies);
        const whole = studies.filter((_, n) => hasInstances(first + n));
        await fillInstances(
          client,
          whole.flatMap(({ series }) => series),
        );
        await client.query('commit');
        progress(studies.length);
      }
    } finally {
      await client.end();
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await inLanes(database, indexes);
}

/** Drops the indexes that guard nothing. @returns the statements that make them again */
async function takeIndexes(database: pg.ClientConfig): Promise<string[]> {
  const client = new pg.Client(database);
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string; statement: string }>(
      `select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as statement
       from pg_index where indrelid = any($1::regclass[]) and not indisunique`,
      [TABLES],
    );
    for (const { name } of rows) await client.query(`drop index ${name}`);
    return rows.map(({ statement }) => statement);
  } finally {
    await client.end();
  }
}

async function inLanes(database: pg.ClientConfig, statements: readonly string[]): Promise<void> {
  const waiting = [...statements];
  const lane = async (): Promise<void> => {
    const client = new pg.Client(database);
    await client.connect();
    try {
      await client.query("set maintenance_work_mem = '256MB'");
      for (let statement = waiting.shift(); statement !== undefined; statement = waiting.shift())
        await client.query(statement);
    } finally {
      await client.end();
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** As autovacuum leaves a table that has stood for a while. */
export async function tidy(database: pg.ClientConfig): Promise<void> {
  const client = new pg.Client(database);
  await client.connect();
  try {
    for (const table of TABLES) await client.query(`vacuum analyze ${table}`);
    await client.query('checkpoint');
  } finally {
    await client.end();
  }
}

async function insert(client: pg.Client, studies: readonly SeededStudy[]): Promise<void> {
  const rows = studies.map((study) => ({ ...study, columns: studyColumns(study.attributes) }));
  // In the order of their IDs: a patient at the edge of two batches must not lock two lanes into each other.
  await client.query(
    `insert into patient (patient_id, issuer) select distinct p, $2 from unnest($1::text[]) p order by 1
     on conflict do nothing`,
    [studies.map(({ patientId }) => patientId), ISSUER],
  );
  const names = Object.keys(rows[0]!.columns).filter((name) => name !== 'name_words') as Exclude<
    keyof (typeof rows)[number]['columns'],
    'name_words'
  >[];
  await client.query(
    `insert into study (study_uid, patient, attributes, modalities, series_count, instance_count, version,
       stable_version, stable_at, name_words, ${names.join(', ')})
     select u, p.id, a::jsonb, string_to_array(m, ' '), s, i, 1, 1, now(), string_to_array(w, ' '),
       ${names.map((name) => `c_${name}`).join(', ')}
     from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[],
       ${names.map((_, n) => `$${n + 8}::text[]`).join(', ')})
       x(u, a, m, w, s, i, ${names.map((name) => `c_${name}`).join(', ')})
     join patient p on p.patient_id = c_patient_id and p.issuer = $7 and p.anchor = ''`,
    [
      rows.map(({ studyUid }) => studyUid),
      rows.map(({ attributes }) => JSON.stringify(attributes)),
      rows.map(({ modalities }) => modalities.join(' ')),
      rows.map(({ columns }) => columns.name_words.join(' ')),
      rows.map(({ series }) => series.length),
      rows.map(({ series }) => series.reduce((sum, { instances }) => sum + instances, 0)),
      ISSUER,
      ...names.map((name) => rows.map(({ columns }) => columns[name])),
    ],
  );
  const series = studies.flatMap((study) =>
    study.series.map((one) => ({ ...one, studyUid: study.studyUid })),
  );
  await client.query(
    `insert into series (study, series_uid, modality, number, attributes, instance_count)
     select s.id, u, m, n, a::jsonb, i
     from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::int[]) x(study_uid, u, m, n, a, i)
     join study s on s.study_uid = x.study_uid`,
    [
      series.map(({ studyUid }) => studyUid),
      series.map(({ seriesUid }) => seriesUid),
      series.map(({ modality }) => modality),
      series.map(({ number }) => number),
      series.map(({ attributes }) => JSON.stringify(attributes)),
      series.map(({ instances }) => instances),
    ],
  );
}
