/** `isocenter migrate`: brings the database up to date and stops, for sites that migrate before they roll out. */
import { openDataFolder } from '../archive/data-folder.ts';
import { openConfiguredDatabase } from '../archive/database/connect.ts';
import { migrate } from '../archive/database/migrate.ts';
import { parseConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { MIGRATIONS_FOLDER, PROJECT_FOLDER } from '../main.ts';

export async function migrateOnly(): Promise<number> {
  const config = parseConfig(process.env, PROJECT_FOLDER);
  const dataFolder = await openDataFolder(config.dataFolder);
  try {
    const db = await openConfiguredDatabase(
      { databaseUrl: config.databaseUrl, dataFolder },
      createLog(config.logLevel, 'database'),
    );
    try {
      const applied = await migrate(db.database, MIGRATIONS_FOLDER);
      console.log(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`);
    } finally {
      await db.stop();
    }
  } finally {
    await dataFolder.close();
  }
  return 0;
}
