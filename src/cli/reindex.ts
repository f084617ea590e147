/** `isocenter reindex`: rebuilds the index from the stored objects, with the archive stopped (it takes the lock). */
import { openDataFolder } from '../archive/data-folder.ts';
import { openConfiguredDatabase } from '../archive/database/connect.ts';
import { migrate } from '../archive/database/migrate.ts';
import { openStore } from '../archive/open-store.ts';
import { reindex as rebuild } from '../archive/reindex.ts';
import { parseConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { MIGRATIONS_FOLDER, PROJECT_FOLDER } from '../main.ts';

/** Unreadable objects named one by one; more are counted. */
const NAMED = 20;

export async function reindex(): Promise<number> {
  const config = parseConfig(process.env, PROJECT_FOLDER);
  const log = createLog(config.logLevel, 'reindex');
  const dataFolder = await openDataFolder(config.dataFolder);
  try {
    const db = await openConfiguredDatabase({ databaseUrl: config.databaseUrl, dataFolder }, log);
    try {
      await migrate(db.database, MIGRATIONS_FOLDER);
      const store = await openStore({ folder: dataFolder.objects, tmp: dataFolder.tmp, s3: config.s3 }, log);
      await store.start();
      const counts = await rebuild(
        { database: db.database, store, nodeName: dataFolder.nodeName, log },
        ({ objects, added }) => {
          if (process.stdout.isTTY)
            process.stdout.write(`\r${objects} objects read, ${added} added to the index `);
        },
      );
      await store.stop();
      if (process.stdout.isTTY) process.stdout.write('\n');
      console.log(
        `${counts.objects} objects read, ${counts.added} added to the index, ${counts.unreadable.length} unreadable.`,
      );
      for (const { key, reason } of counts.unreadable.slice(0, NAMED)) console.log(`  ${key}: ${reason}`);
      return counts.unreadable.length === 0 ? 0 : 1;
    } finally {
      await db.stop();
    }
  } finally {
    await dataFolder.close();
  }
}
