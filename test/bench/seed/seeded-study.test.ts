/** The made-up archive of `bench seed`, and that the archive's own code and QIDO take it for one. */
import pg from 'pg';
import { expect, it } from 'vitest';
import { fill, tidy } from '../../../bench/seed/fill.ts';
import { hasInstances } from '../../../bench/seed/seeded-instances.ts';
import { seededStudy } from '../../../bench/seed/seeded-study.ts';
import { SEARCH_KEYS, searchesFor, studyByChance } from '../../../bench/web/searches.ts';
import { isUid } from '../../../src/dicom/uid.ts';
import { openHouse } from '../../support/house.ts';

const STUDIES = 3000;

it('is the same each time, with studies of their own and patients who came again', () => {
  const studies = Array.from({ length: STUDIES }, (_, n) => seededStudy(n));
  expect(seededStudy(17)).toEqual(studies[17]);
  const distinct = (of: (study: (typeof studies)[number]) => string): number => new Set(studies.map(of)).size;
  expect(distinct(({ studyUid }) => studyUid)).toBe(STUDIES);
  expect(distinct(({ accessionNumber }) => accessionNumber)).toBe(STUDIES);
  expect(distinct(({ patientId }) => patientId)).toBe((STUDIES / 5) * 2);
  expect(distinct(({ patientName }) => patientName)).toBeGreaterThan(STUDIES / 4);
  const names = studies.map(({ patientName }) => patientName);
  expect(names.some((name) => /^M[uü]ller\^/.test(name))).toBe(true);
  expect(names.some((name) => name.includes('=山田^太郎='))).toBe(true);
  const series = studies.flatMap((study) => study.series);
  expect(series.length / STUDIES).toBeGreaterThan(2.5);
  expect(series.length / STUDIES).toBeLessThan(3.5);
  for (const { seriesUid } of series) expect(isUid(seriesUid)).toBe(true);
});

it('stands in an index so that every search of the bench finds it', async () => {
  const house = await openHouse();
  const client = new pg.Client(house.db.url);
  await client.connect();
  try {
    const indexes = async (): Promise<string[]> =>
      (await client.query('select indexdef from pg_indexes order by 1')).rows.map(({ indexdef }) => indexdef);
    const before = await indexes();
    const filling = { signal: new AbortController().signal, progress: () => {} };
    await fill({ connectionString: house.db.url }, { from: 0, to: 1000, ...filling });
    // Beside those that are there.
    await fill({ connectionString: house.db.url }, { from: 1000, to: STUDIES, ...filling });
    await tidy({ connectionString: house.db.url });
    expect(await indexes()).toEqual(before);
    const { rows } = await client.query(
      'select (select count(*) from study_key) as keys, (select count(*) from patient) as patients',
    );
    expect(rows).toEqual([{ keys: String(STUDIES), patients: String((STUDIES / 5) * 2) }]);
    const instances = Array.from({ length: STUDIES }, (_, n) =>
      hasInstances(n) ? seededStudy(n).series : [],
    )
      .flat()
      .reduce((sum, one) => sum + one.instances, 0);
    const counted = await client.query('select count(*) from instance i join object o on o.id = i.object');
    expect(counted.rows).toEqual([{ count: String(instances) }]);
    for (const key of SEARCH_KEYS) {
      const requests = searchesFor(key, STUDIES, 5);
      for (const [n, { path, headers }] of requests.entries()) {
        const response = await fetch(house.url + path, { headers });
        expect(response.status).toBe(200);
        const found = await response.text();
        const study = studyByChance(key, STUDIES, n);
        if (key.exact) expect(found).toContain(`"${study.studyUid}"`);
      }
    }
  } finally {
    await client.end();
    await house.close();
  }
});
