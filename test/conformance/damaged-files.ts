/**
 * The damaged files of the corpus as suites need them: what a modality would send of each, and what others made of it
 * (DCMTK and pydicom, by the corpus' INDEX.tsv), so that what must be accepted is not decided by our own reader.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { HeaderScan, scanText, scanUid } from '../../src/dicom/header-scan.ts';
import { type FileMeta, readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, isKnownTransferSyntax } from '../../src/dicom/transfer-syntax.ts';
import { isUid } from '../../src/dicom/uid.ts';
import { Failure } from '../../src/failure.ts';
import { CT, uid } from '../support/an-object.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import type { SentObject } from '../support/modality.ts';

export interface DamagedFile extends SentObject {
  name: string;
  file: Buffer;
  /** What the header says of the patient, as far as it can be read. */
  patient: string[];
  /** Both DCMTK and pydicom read it to its end and find its four UIDs, or the corpus' notes call it legal. */
  sound: boolean;
  /** The same of its File Meta, which travels over STOW and not over DIMSE. */
  soundFile: boolean;
}

/** A UID that is missing, empty or none; a File Meta that misses what STOW needs of it. */
const NO_UID =
  /(missing|empty) (SOPClass|SOPInstance|Study|Series)\w*UID|Invalid value for VR UI|allowed for VR UI/;
const NO_META = /no-meta|meta-without-TS|no-preamble|meta MediaStorage/;

export function damagedFiles(): DamagedFile[] {
  if (corpusFolder === undefined) return [];
  const folder = corpusFolder;
  const notes = readFileSync(path.join(folder, 'synth/malformed/NOTES.tsv'), 'utf8').split('\n');
  const legal = new Set(
    notes.filter((line) => /legal|valid|must be accepted/.test(line)).map((line) => line.split('\t')[0]!),
  );
  return corpusIndex()
    .filter(({ file = '' }) => /^(synth\/malformed|fuzz-corpus)\//.test(file))
    .map(({ file = '', special = '', ...row }) => {
      const name = path.basename(file);
      const whole = row.dcmdump_rc === '0' && row.pydicom === 'ok' && !NO_UID.test(special);
      const sound = whole || legal.has(name);
      return {
        ...damagedFile(name, readFileSync(path.join(folder, file))),
        sound,
        soundFile: sound && !NO_META.test(special),
      };
    });
}

/** The data set as a modality has it, and the UIDs it would put into the command: those of the data set. */
function damagedFile(name: string, file: Buffer): Omit<DamagedFile, 'sound' | 'soundFile'> {
  let meta: Partial<FileMeta> = {};
  let dataSet = file;
  try {
    meta = readFileMeta(file);
    dataSet = file.subarray(meta.dataSetOffset);
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    dataSet = file.subarray(Math.max(0, firstElement(file)));
  }
  const { transferSyntaxUid = '' } = meta;
  const syntax = isKnownTransferSyntax(transferSyntaxUid) ? transferSyntaxUid : EXPLICIT_LE;
  const reading = new HeaderScan(syntax);
  reading.push(dataSet);
  const scan = reading.end();
  const known = (...uids: (string | undefined)[]) =>
    uids.find((found) => found !== undefined && isUid(found));
  const sopClass = known(scanUid(scan, '00080016'), meta.sopClassUid);
  return {
    name,
    file,
    dataSet,
    declared: {
      sopClassUid: sopClass?.startsWith('1.2.840.10008.5.1.4.1.1.') ? sopClass : CT,
      sopInstanceUid: known(scanUid(scan, '00080018'), meta.sopInstanceUid) ?? uid(),
      transferSyntaxUid: syntax,
    },
    patient: ['00100010', '00100020', '00080050']
      .map((tag) => scanText(scan, tag))
      .filter((value) => value.length > 5 && !/^[\d.]+$/.test(value)),
  };
}

/** Where group 0008 begins in Explicit VR Little Endian, when the File Meta before it cannot be read. */
function firstElement(file: Buffer): number {
  const starts = ['\x08\0\x05\0CS', '\x08\0\x08\0CS', '\x08\0\x16\0UI']
    .map((start) => file.indexOf(start, 0, 'latin1'))
    .filter((at) => at >= 0);
  return starts.length > 0 ? Math.min(...starts) : -1;
}
