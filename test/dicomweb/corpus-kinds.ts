/** The corpus in short, for suites that send real objects through the door. */
import { corpusIndex } from '../support/corpus.ts';
import { corpusFile } from './door.ts';

/** One readable file for each kind of pixels the corpus has. */
export function corpusKinds(): Record<string, string>[] {
  const kinds = new Map<string, Record<string, string>>();
  for (const row of corpusIndex()) {
    if (row.file!.startsWith('fuzz-corpus/') || row.file!.startsWith('synth/malformed/')) continue;
    if (!row.rows || row.dcmdump_rc !== '0' || row.sop_uid_shared_by !== '1') continue;
    const kind = [row.ts_uid, row.spp, row.bits, row.photometric, Number(row.frames || 1) > 1].join(' ');
    // dicom-parser, which slices the source, wants a preamble.
    if (!kinds.has(kind) && corpusFile(row.file!).toString('latin1', 128, 132) === 'DICM')
      kinds.set(kind, row);
  }
  return [...kinds.values()];
}
