/**
 * The corpus of DICOM files beside the project, where there is one: its folder and its index.
 * Suites over real files ask here and leave themselves out, by name, where it is absent.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const folder = resolve(import.meta.dirname, '../../../shared/corpus');

/** The corpus folder, or undefined on a machine without it. */
export const corpusFolder: string | undefined = existsSync(join(folder, 'INDEX.tsv')) ? folder : undefined;

/** The rows of INDEX.tsv by column name; empty without the corpus. */
export function corpusIndex(): Record<string, string>[] {
  if (!corpusFolder) return [];
  const [head = '', ...rows] = readFileSync(join(corpusFolder, 'INDEX.tsv'), 'utf8').trimEnd().split('\n');
  const columns = head.split('\t');
  return rows.map((row) => {
    const cells = row.split('\t');
    return Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? '']));
  });
}
