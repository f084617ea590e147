import { expect, test } from 'vitest';
import { testDatabase } from '../../support/database.ts';

test('each test gets a database of its own, with every migration applied', async () => {
  const [one, two] = await Promise.all([testDatabase(), testDatabase()]);
  try {
    await one.database.query("insert into node (name) values ('node-1')");
    const seen = await two.database.query('select name from node');
    expect(seen.rows).toEqual([]);
    const applied = await two.database.query<{ file: string }>(
      'select file from schema_migration order by number',
    );
    expect(applied.rows[0]).toEqual({ file: '0001_archive.sql' });
  } finally {
    await Promise.all([one.drop(), two.drop()]);
  }
});
