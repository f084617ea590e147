/**
 * De-identified objects as others judge them: dciodvfy finds nothing wrong that was not wrong before, Orthanc takes them
 * and shows their pseudonyms.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_BE, transferSyntax } from '../../src/dicom/transfer-syntax.ts';
import { Failure } from '../../src/failure.ts';
import { changeObject } from '../../src/forwarding/changed-object.ts';
import type { DeidentifySettings } from '../../src/transform/de-identify.ts';
import { compileTransform } from '../../src/transform/transform.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { startOrthanc } from '../support/orthanc.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';

const KEY = 'a key of the test, which is long enough';
const MOST_BYTES = 2_000_000;
const OPTIONS: readonly Partial<DeidentifySettings>[] = [
  {},
  { retain: ['modified-dates', 'safe-private', 'patient', 'device'], content: {}, graphics: {} },
];

interface Source {
  readonly name: string;
  readonly file: Buffer;
}

/** All kinds that have a structure of their own, and some of the many pictures. */
function sources(): Source[] {
  return corpusIndex().flatMap(({ file = '', size = '0', modality = '' }, index) => {
    const isRare = /^(SR|PR|KO|SEG|RT|REG|SM|DOC|ECG|HD|PT|NM)/.test(modality);
    if (Number(size) > MOST_BYTES || modality === '' || (!isRare && index % 8 !== 0)) return [];
    if (/DICOMDIR|malformed|^fuzz-corpus/.test(file)) return [];
    return [{ name: file, file: readFileSync(path.join(corpusFolder!, file)) }];
  });
}

/** The file that leaves, under the File Meta of the stored one, so that only the data set is compared. */
async function sent(
  { file }: Source,
  settings: Partial<DeidentifySettings>,
): Promise<{ file: Buffer; sopUid: string; studyUid: string } | undefined> {
  const { transferSyntaxUid: syntax, dataSetOffset } = readFileMeta(file);
  if (transferSyntax(syntax).deflated || syntax === EXPLICIT_BE) return undefined;
  const compiled = compileTransform([{ deidentify: { retain: [], burnedIn: 'send', ...settings } }], KEY);
  if ('faults' in compiled) throw new Error(compiled.faults.join());
  async function* bytes() {
    yield file.subarray(dataSetOffset);
  }
  const { bytes: changed, sopUid, studyUid } = await changeObject(bytes(), syntax, compiled);
  const out: Uint8Array[] = [file.subarray(0, dataSetOffset)];
  for await (const chunk of changed) out.push(Buffer.from(chunk));
  return { file: Buffer.concat(out), sopUid, studyUid };
}

/** What it says is wrong, UIDs left out because they are others by intent; it says so by its exit code, too. */
async function faultsOf(file: string): Promise<string[]> {
  const said = await new Promise<string>((resolve) => {
    execFile('dciodvfy', [file], { encoding: 'latin1', timeout: 20_000 }, (_, out, err) =>
      resolve(out + err),
    );
  });
  return said
    .split('\n')
    .filter((line) => line.startsWith('Error') && !/MediaStorage|\(0x0002,/.test(line))
    .map((line) => line.replace(/\b\d+(\.\d+){2,}\b|\b0$/g, 'UID'));
}

/** Known and meant. */
const MEANT = [
  // A sequence written as UN of known length, which is removed.
  /ReferencedRTPlanSequence> Module=<RTDose>/,
  // The content of a report without Clean Structured Content is dummies.
  /Value is zero for value 1 of attribute <Referenced Frame Number>/,
];

const all = corpusFolder ? sources() : [];

describe.skipIf(!corpusFolder || !peer('dicom3tools'))('dciodvfy (needs the corpus and dicom3tools)', () => {
  test.each(OPTIONS)('finds nothing new with %j', { timeout: 120_000 }, async (settings) => {
    const folder = await tempFolder('dciodvfy');
    const [stored, changed] = ['stored.dcm', 'changed.dcm'].map((name) => path.join(folder.path, name));
    const found: string[] = [];
    let looked = 0;
    try {
      for (const source of all) {
        const what = await sent(source, settings).catch((thrown: unknown) => {
          // What cannot be read to its end, or has no UIDs, is not sent.
          if (thrown instanceof Failure) return undefined;
          throw thrown;
        });
        if (!what) continue;
        looked++;
        writeFileSync(stored!, source.file);
        writeFileSync(changed!, what.file);
        const [before, after] = await Promise.all([faultsOf(stored!), faultsOf(changed!)]);
        for (const fault of after) {
          const known = before.indexOf(fault);
          if (known >= 0) before.splice(known, 1);
          else if (!MEANT.some((one) => one.test(fault))) found.push(`${source.name}: ${fault}`);
        }
      }
    } finally {
      await folder.remove();
    }
    expect(found).toEqual([]);
    expect(looked).toBeGreaterThan(60);
  });
});

describe.skipIf(!corpusFolder || !peer('orthanc'))('Orthanc (needs the corpus and orthanc)', () => {
  test('takes them and shows the same UIDs, and one patient per pseudonym', { timeout: 60_000 }, async () => {
    const orthanc = await startOrthanc();
    try {
      const uids = new Set<string>();
      for (const source of all.filter((_, index) => index % 5 === 0)) {
        const what = await sent(source, { retain: ['modified-dates', 'safe-private'], content: {} }).catch(
          (thrown: unknown) => {
            if (thrown instanceof Failure) return undefined;
            throw thrown;
          },
        );
        if (!what) continue;
        const answer = await fetch(`${orthanc.url}/instances`, {
          method: 'POST',
          body: new Uint8Array(what.file),
        });
        expect(answer.status, source.name).toBe(200);
        const { ID } = (await answer.json()) as { ID: string };
        const tags = (await orthanc.get(`/instances/${ID}/simplified-tags`)) as Record<string, string>;
        expect(tags.SOPInstanceUID, source.name).toBe(what.sopUid);
        expect(tags.StudyInstanceUID, source.name).toBe(what.studyUid);
        expect(tags.PatientID, source.name).toMatch(/^ANON-[0-9A-F]{16}$/);
        expect(tags.PatientName).toBe(tags.PatientID);
        uids.add(what.sopUid);
      }
      expect(uids.size).toBeGreaterThan(10);
    } finally {
      await orthanc.stop();
    }
  });
});
