/** Real headers of many makers, de-identified: they stay readable, and who it was is nowhere in them any more. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { attribute } from '../../src/dicom/attributes.ts';
import { type DataSet, parseDataSet } from '../../src/dicom/data-set.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { buildFileMeta, readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_BE, EXPLICIT_LE, transferSyntax } from '../../src/dicom/transfer-syntax.ts';
import type { DeidentifySettings } from '../../src/transform/de-identify.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { deidentified } from './de-identified.ts';

/** Of the table's attributes those that point at somebody; what describes stands elsewhere too, as it may. */
const IDENTIFYING = new Set(
  `PatientName PatientID OtherPatientIDs OtherPatientNames PatientBirthDate PatientBirthName PatientMotherBirthName
   PatientAddress PatientTelephoneNumbers AccessionNumber IssuerOfPatientID ReferringPhysicianName OperatorsName
   PerformingPhysicianName NameOfPhysiciansReadingStudy RequestingPhysician PhysiciansOfRecord InstitutionAddress
   PersonName VerifyingObserverName StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID
   ReferencedSOPInstanceUID UID StudyDate SeriesDate AcquisitionDate ContentDate InstanceCreationDate DateTime Date
   AcquisitionDateTime PerformedProcedureStepStartDate`
    .split(/\s+/)
    .map((keyword) => attribute(keyword)!.tag),
);
const OPTIONS: readonly Partial<DeidentifySettings>[] = [
  {},
  { retain: ['modified-dates', 'safe-private', 'patient', 'device'], content: {}, graphics: {} },
];
/** Values in the corpus that are nobody's, and those of dummies. */
const NOBODY =
  /^(123456|ANONYMIZED|ANONYMOUS|PATIENT|PERFUSION|REMOVED|0+|19000101\d*|1\.2\.840\.10008\..*)$/i;
const MOST_BYTES = 4_000_000;

function headers(): { file: string; header: Buffer; syntax: string }[] {
  return corpusIndex().flatMap(({ file = '', size = '0', modality = '' }) => {
    if (Number(size) > MOST_BYTES || /DICOMDIR|^fuzz-corpus/.test(file) || modality === '') return [];
    try {
      const bytes = readFileSync(path.join(corpusFolder!, file));
      const { transferSyntaxUid: syntax, dataSetOffset } = readFileMeta(bytes);
      if (transferSyntax(syntax).deflated || syntax === EXPLICIT_BE) return [];
      const scan = new HeaderScan(syntax, { keep: new Set() });
      const dataSet = bytes.subarray(dataSetOffset);
      scan.push(dataSet);
      if (scan.end().fault !== undefined) return [];
      return [{ file, syntax, header: dataSet.subarray(0, scan.headerEnd ?? dataSet.length) }];
    } catch {
      // The corpus has files that are no DICOM; those are for other suites.
      return [];
    }
  });
}

/** Every value at any depth that points at somebody, as its bytes are. */
function* identifying(dataSet: DataSet): Generator<[tag: string, value: string]> {
  for (const [tag, { items = [], value }] of dataSet.elements) {
    for (const item of items) yield* identifying(item);
    if (!IDENTIFYING.has(tag)) continue;
    const raw = Buffer.from(value).toString('latin1');
    const words = attribute(tag)!.vr === 'PN' ? /[\\^= ]+/ : /\\/;
    for (const word of raw.split(words)) yield [tag, word.replaceAll('\0', '').trim()];
  }
}

describe.skipIf(!corpusFolder)('the corpus (needs it)', () => {
  const all = headers();
  test.each(OPTIONS)('with %j: who it was is nowhere in a header any more', async (settings) => {
    expect(all.length).toBeGreaterThan(100);
    const found: string[] = [];
    const folder = await tempFolder('de-identified');
    try {
      for (const [index, { file, header, syntax }] of all.entries()) {
        const before = parseDataSet(header, syntax);
        if (before.fault !== undefined) continue;
        const implicit = !transferSyntax(syntax).explicit;
        const after = deidentified(header, { burnedIn: 'send', ...settings }, { syntax, implicit });
        expect(parseDataSet(after, syntax).fault, file).toBeUndefined();
        const left = after.toString('latin1').toUpperCase();
        for (const [tag, value] of identifying(before))
          if (value.length >= 6 && !NOBODY.test(value) && left.includes(value.toUpperCase()))
            found.push(`${file} ${tag}`);
        if (index % 20 === 0 && peer('dcmtk')) {
          // Without its pixels every header is an Explicit or Implicit VR data set.
          const native = transferSyntax(syntax).encapsulated ? EXPLICIT_LE : syntax;
          const sample = path.join(folder.path, `${index}.dcm`);
          const meta = { sopClassUid: '1.2', sopInstanceUid: '1.2.3', transferSyntaxUid: native };
          writeFileSync(sample, Buffer.concat([buildFileMeta(meta), after]));
          execFileSync('dcmdump', ['-q', sample], { stdio: 'pipe' });
        }
      }
    } finally {
      await folder.remove();
    }
    expect(found).toEqual([]);
  });
});
