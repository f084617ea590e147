/**
 * Where an object goes whose fault shows only after Success: its bytes to a file, its reason to a row.
 * Nothing that was acknowledged is ever thrown away. Listed at /api/quarantine.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Failure } from '../../failure.ts';
import type { Database } from '../database/database.ts';
import { syncFolder } from './journal.ts';
import { type JournalRecord, readBody } from './segment-reader.ts';

export interface Quarantine {
  folder: string;
  database: Database;
}

/** The same record twice makes one file and one row. */
export async function quarantineRecord(
  quarantine: Quarantine,
  record: JournalRecord,
  failure: Failure,
): Promise<void> {
  const { meta, contentHash } = record.header;
  const name = `${meta.sopInstanceUid}_${contentHash.toString('hex').slice(0, 32)}.dcm`;
  const file = path.join(quarantine.folder, name);
  const fd = fs.openSync(`${file}.part`, 'w', 0o600);
  try {
    for (const piece of readBody(record.body)) fs.writeFileSync(fd, piece);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(`${file}.part`, file);
  syncFolder(quarantine.folder);
  await quarantine.database.query(
    `insert into quarantine (path, sop_uid, source_ae, reason) values ($1, $2, $3, $4) on conflict (path) do nothing`,
    [name, meta.sopInstanceUid, meta.from.callingAe ?? null, failure.message.slice(0, 500)],
  );
}
