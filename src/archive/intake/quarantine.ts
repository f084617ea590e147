/**
 * Where an object goes whose fault shows only after Success: its bytes to a file, its reason to a row.
 * Nothing that was acknowledged is ever thrown away. Called by the settler; listed at /api/quarantine.
 * A disk or a database that is away is waited for (Failure 'no-space', 'unavailable'); a part of the journal that the
 * disk does not give back is left out, because waiting would not bring it.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Database } from '../database/database.ts';
import { fileFailure } from '../object-store/file-failure.ts';
import { syncFolder } from './journal.ts';
import { type JournalGap, type JournalRecord, type RecordBody, readBody } from './segment-reader.ts';

export interface Quarantine {
  folder: string;
  database: Database;
}

/** The same record twice makes one file and one row. */
export async function quarantineRecord(
  quarantine: Quarantine,
  { header, body }: JournalRecord,
  why: string,
): Promise<void> {
  const { meta } = header;
  const name = `${meta.sopInstanceUid}_${header.contentHash.toString('hex').slice(0, 32)}.dcm`;
  const missing = copy(quarantine, name, body);
  const reason = missing === 0 ? why : `${why}; ${missing} bytes cannot be read`;
  await list(quarantine, name, reason, meta.sopInstanceUid, meta.from.callingAe);
}

/** A stretch of a segment in which records were that can no longer be told apart. */
export async function quarantineGap(
  quarantine: Quarantine,
  { path: file, start, end }: JournalGap,
): Promise<void> {
  const name = `${path.basename(file, '.seg')}_${start}.raw`;
  const body = { path: file, nonce: '', offset: start, length: end - start, external: false };
  const missing = copy(quarantine, name, body);
  await list(
    quarantine,
    name,
    `a stretch of the journal is damaged; it held one or more objects${missing === 0 ? '' : `, and ${missing} bytes cannot be read`}`,
  );
}

/** A whole file of an earlier run that no record leads to any more. */
export async function quarantineFile(quarantine: Quarantine, file: string, reason: string): Promise<void> {
  const name = path.basename(file);
  try {
    fs.renameSync(file, path.join(quarantine.folder, name));
    syncFolder(quarantine.folder);
  } catch (thrown) {
    throw fileFailure('move a damaged file to the quarantine', thrown);
  }
  await list(quarantine, name, reason);
}

/** @returns how many bytes could not be read */
function copy({ folder }: Quarantine, name: string, body: RecordBody): number {
  const file = path.join(folder, name);
  try {
    const fd = fs.openSync(`${file}.part`, 'w', 0o600);
    let copied = 0;
    try {
      for (const piece of readable(body)) {
        fs.writeFileSync(fd, piece);
        copied += piece.length;
      }
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(`${file}.part`, file);
    syncFolder(folder);
    return body.length - copied;
  } catch (thrown) {
    throw fileFailure(`write ${name} to the quarantine`, thrown);
  }
}

/** The bytes up to the first that the disk does not give back. */
function* readable(body: RecordBody): Generator<Buffer> {
  const pieces = readBody(body);
  for (;;) {
    let next: IteratorResult<Buffer>;
    try {
      next = pieces.next();
    } catch {
      // The caller counts what is missing, and the reason says so.
      return;
    }
    if (next.done) return;
    yield next.value;
  }
}

async function list(
  { database }: Quarantine,
  name: string,
  reason: string,
  sopUid?: string,
  sourceAe?: string,
): Promise<void> {
  await database.query(
    `insert into quarantine (path, sop_uid, source_ae, reason) values ($1, $2, $3, $4) on conflict (path) do nothing`,
    [name, sopUid ?? null, sourceAe ?? null, reason.slice(0, 500)],
  );
}
