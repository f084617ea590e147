/** Searches of the index whose way depends on how many rows match: the same answers by either way. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COUNTED, countRemaining, findMatches, type StudySearch } from '../../src/archive/find-studies.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
const STUDIES = 16_000;

beforeAll(async () => {
  db = await testDatabase();
  await db.database.query("insert into patient (patient_id) values ('P')");
  // Dates repeat, so that times and ids decide; every hundredth has another name.
  await db.database.query(
    `insert into study (study_uid, patient, attributes, patient_name, name_words, study_date, study_time, modalities, instance_count)
     select '1.' || n, p.id, '{}', name || ' anna', array[name, 'anna'], '202401' || lpad((1 + n % 28)::text, 2, '0'),
       lpad((n % 24)::text, 2, '0'), array['CT'], 1
     from patient p, generate_series(1, ${STUDIES}) n, lateral (select case n % 100 when 0 then 'rare' else 'common' end as name) x`,
  );
});
afterAll(() => db?.drop());

const byName = (pattern: string, more: Partial<StudySearch> = {}, fuzzy = false): StudySearch => ({
  level: 'study',
  criteria: [{ path: ['00100010'], vr: 'PN', match: { kind: 'name', pattern, fuzzy } }],
  limit: 7,
  offset: 0,
  ...more,
});
const expected = async (name: string, limit: number, offset: number): Promise<number[]> => {
  const { rows } = await db.database.query<{ id: number }>(
    `select id from study where patient_name like $1 order by study_date desc, study_time desc, id desc limit $2 offset $3`,
    [`${name}%`, limit, offset],
  );
  return rows.map(({ id }) => id);
};

describe('a search by name', () => {
  it.each([
    ['rare', 0, 153],
    ['rare', 150, 3],
    ['rare', 155, 0],
    ['rare', 160, 0],
    ['common', 0, 'some'],
    ['common', 14_990, 'some'],
    ['common', 15_830, 3],
    ['common', 15_840, 0],
  ] as const)('%s from %i on: newest first, %s remaining', async (name, offset, remaining) => {
    const prefix = byName(`${name}*`, { offset });
    // What goes beside the name holds for all.
    const beside: StudySearch['criteria'] = [
      { path: ['00080061'], vr: 'CS', match: { kind: 'one-of', values: ['CT'] } },
      { path: ['00080020'], vr: 'DA', match: { kind: 'range', from: '20240101', to: '20240131' } },
      { path: ['00080061'], vr: 'CS', match: { kind: 'one-of', values: ['CT', 'MR'] } },
    ];
    const searches = [
      prefix,
      byName(name, { offset }, true),
      byName(`*${name.slice(1)}*`, { offset }),
      ...beside.map((one) => ({ ...prefix, criteria: [...prefix.criteria, one] })),
      { ...prefix, criteria: [...prefix.criteria, ...beside.slice(0, 2)], upTo: 1_000_000 },
    ];
    for (const search of searches) {
      const found = await findMatches(db.database, search);
      expect(found.ids).toEqual(await expected(name, 7, offset));
      const counted =
        found.remaining === 'some' ? await countRemaining(db.database, search) : found.remaining;
      expect(counted).toBe(remaining === 'some' ? COUNTED + 1 : remaining);
    }
  });

  it('whose representations are alike is one result', async () => {
    await withStudy(
      { patient_name: 'kim minsu=kim minsu=kim minsu', name_words: ['kim', 'minsu'] },
      async (id) => {
        const found = await findMatches(db.database, byName('kim*'));
        expect(found).toEqual({ ids: [id], remaining: 0 });
      },
    );
  });

  it.each(['王*', '*小东', 'おう*'])('%s is asked of every representation', async (pattern) => {
    await withStudy({ patient_name: 'wang xiaodong=王 小东=おう しょうとう' }, async (id) => {
      expect((await findMatches(db.database, byName(pattern))).ids).toEqual([id]);
    });
  });
});

describe('a search for a part of a text', () => {
  const byText = (tag: string, pattern: string): StudySearch => ({
    ...byName(''),
    criteria: [{ path: [tag], vr: 'LO', match: { kind: 'one-of', values: [pattern] } }],
  });

  it.each([
    ['00100020', '*N4-7*', { patient_id: 'KLIN4-711' }],
    ['00080050', 'A_%*9', { accession_number: 'A_%0049' }],
    ['00200010', '*x?z', { study_id: '77xyz' }],
    ['00081030', '*SCHÄDEL*', { description: 'ct schadel nativ' }],
  ])('%s %s finds the one', async (tag, pattern, columns) => {
    await withStudy(columns, async (id) => {
      expect(await findMatches(db.database, byText(tag, pattern))).toEqual({ ids: [id], remaining: 0 });
    });
  });

  it('that most have gives the newest', async () => {
    await db.database.query("update study set description = 'thorax p.a.'");
    const search = byText('00081030', '*RAX*');
    const found = await findMatches(db.database, search);
    expect(found.ids).toEqual(await expected('', 7, 0));
    expect(found.remaining).toBe('some');
    expect(await countRemaining(db.database, search)).toBe(COUNTED + 1);
  });
});

it('given up when it takes too long says how to narrow it, and the count says that there are more', async () => {
  await db.database.transaction(async (tx) => {
    // Whoever reads it waits: nothing depends on how fast the machine is.
    await tx.query('lock table study_key in access exclusive mode');
    const search = byName('rare*');
    await expect(findMatches(db.database, search, 50)).rejects.toMatchObject({
      kind: 'too-large',
      message: expect.stringContaining('add a StudyDate'),
    });
    expect(await countRemaining(db.database, search, 50)).toBe('some');
  });
  expect((await findMatches(db.database, byName('rare*'))).ids).toHaveLength(7);
});

/** Beside the others, while `work` runs. */
async function withStudy(
  columns: Record<string, string | string[]>,
  work: (id: number) => Promise<void>,
): Promise<void> {
  const names = Object.keys(columns);
  const { rows } = await db.database.query<{ id: number }>(
    `insert into study (study_uid, patient, attributes, instance_count, ${names.join()})
     select '2.1', id, '{}', 1, ${names.map((_, n) => `$${n + 1}`).join()} from patient returning id`,
    Object.values(columns),
  );
  try {
    await work(rows[0]!.id);
  } finally {
    await db.database.query('delete from study where id = $1', [rows[0]!.id]);
  }
}
