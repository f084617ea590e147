/** Real headers of many makers, de-identified: they stay readable, and who it was is nowhere in them any more. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { parseDataSet, text } from '../../src/dicom/data-set.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { buildFileMeta, readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_BE, EXPLICIT_LE, transferSyntax } from '../../src/dicom/transfer-syntax.ts';
import { editable } from '../../src/transform/editable-data-set.ts';
import { compileTransform } from '../../src/transform/transform.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';

const KEY = 'a key of the test, which is long enough';
/** Name, ID, birth date, accession number, and the UIDs of study, series and instance. */
const WHO = ['00100010', '00100020', '00100030', '00080050', '0020000D', '0020000E', '00080018'];
/** Values of (0010,0010) to (0010,0020) in the corpus that are no person's, and stand elsewhere too. */
const NOBODY = /^(123456|ANONYMIZED)$/;
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

test.skipIf(!corpusFolder)(
  'who it was is nowhere in a header of the corpus any more (needs the corpus)',
  async () => {
    const compiled = compileTransform(
      [{ deidentify: { retain: ['modified-dates'], burnedIn: 'send' } }],
      KEY,
    );
    if ('faults' in compiled) throw new Error('faults');
    const found: string[] = [];
    const all = headers();
    const folder = await tempFolder('de-identified');
    try {
      for (const [index, { file, header, syntax }] of all.entries()) {
        const before = parseDataSet(header, syntax);
        if (before.fault !== undefined) continue;
        const dataSet = editable(header, syntax);
        compiled.edit(dataSet);
        const after = dataSet.bytes(!transferSyntax(syntax).explicit);
        expect(parseDataSet(after, syntax).fault, file).toBeUndefined();
        const latin1 = after.toString('latin1');
        for (const tag of WHO)
          for (const word of (text(before, tag) ?? '').split(/[\^= ]+/))
            if (word.length >= 6 && !NOBODY.test(word) && latin1.includes(word)) found.push(`${file} ${tag}`);
        if (index % 10 === 0 && peer('dcmtk')) {
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
    expect(all.length).toBeGreaterThan(100);
  },
);
