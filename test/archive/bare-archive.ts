/**
 * What settling a conflict needs of the archive, over a database alone: a reader and removal on a file store that is
 * empty, for suites whose objects have rows and no bytes.
 */
import os from 'node:os';
import path from 'node:path';
import type { Database } from '../../src/archive/database/database.ts';
import { createFileStore } from '../../src/archive/object-store/file-store.ts';
import { createObjectReader } from '../../src/archive/read-object.ts';
import { removeBytes } from '../../src/archive/removal.ts';
import type { SettleParts } from '../../src/archive/settle-conflict.ts';

export function bareArchive(database: Database, folder = path.join(os.tmpdir(), 'no-objects')): SettleParts {
  const store = createFileStore({ folder });
  const reader = createObjectReader({ store, database, nodeName: 'node-1', dataFolder: folder });
  return { database, reader, removeBytes: (key) => removeBytes(database, store, key) };
}
