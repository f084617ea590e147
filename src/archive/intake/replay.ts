/**
 * What an earlier run left in the journal folder: its segments are put on the settler's shelf, and once they are
 * settled its damaged files, the spill files that no record names and its open receptions are dealt with.
 * Called by settler.ts at start, with the files that intake.ts listed before this run made any.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Database } from '../database/database.ts';
import type { JournalBudget } from './budget.ts';
import type { Patience } from './patience.ts';
import { type Quarantine, quarantineFile } from './quarantine.ts';
import { closeLostReceptions } from './reception-log.ts';
import type { SegmentShelf } from './segment-shelf.ts';

/** Puts them on the shelf; those that hold nothing are removed. @returns those whose header does not hold */
export function openLeftSegments(
  files: readonly string[],
  shelf: SegmentShelf,
  budget: JournalBudget,
  segmentBytes: number,
): string[] {
  const damaged: string[] = [];
  for (const file of files) {
    const segment = shelf.open(file, undefined);
    if (segment === 'free') fs.rmSync(file, { force: true });
    else if (segment === 'damaged') damaged.push(file);
    else budget.count(segmentBytes);
  }
  return damaged;
}

/** Waits while the quarantine is away. @param mayBeNamed damage may have hidden the records of the spill files */
export async function clearLeftFiles(
  quarantine: Quarantine,
  { persistently }: Patience,
  left: {
    damaged: readonly string[];
    spills: readonly string[];
    mayBeNamed: boolean;
    isIndexed(spill: string): Promise<boolean>;
  },
): Promise<void> {
  const setAside = (file: string, reason: string): Promise<void> =>
    persistently('the quarantine', () => quarantineFile(quarantine, file, reason));
  for (const file of left.damaged)
    await setAside(file, 'the header of a journal segment is damaged; the file may hold objects');
  for (const file of left.spills.filter((spill) => fs.existsSync(spill)))
    if (left.mayBeNamed)
      await setAside(file, 'a large object of the journal that no record names; some were damaged');
    else if (await persistently('the index', () => left.isIndexed(file)))
      await setAside(file, 'a large object of the journal whose record is damaged');
    else fs.rmSync(file, { force: true }); // never finished, so never acknowledged
}

/** Whether the index has an object in this spill file of the node: then it was acknowledged. */
export async function isIndexedSpill(
  { database, nodeName, dataFolder }: { database: Database; nodeName: string; dataFolder: string },
  file: string,
): Promise<boolean> {
  const { rows } = await database.query(
    `select 1 from object where location = 'journal' and node = $1 and journal->>'path' = $2 limit 1`,
    [nodeName, path.relative(dataFolder, file)],
  );
  return rows.length > 0;
}

/** @param known receptions of this run */
export function closeLeftReceptions(
  database: Database,
  { persistently }: Patience,
  nodeName: string,
  known: () => string[],
): Promise<void> {
  return persistently('the index', () => closeLostReceptions(database, nodeName, known()));
}
