/** What is changed on the way out as a file: its length is known before its pixels are read, and right. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { openFile } from '../../src/forwarding/sent-file.ts';
import { compileTransform, type Transform } from '../../src/transform/transform.ts';
import { element, encapsulated, uint16 } from '../dicom/elements.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { storedFile } from './stored-file.ts';

const KEY = 'a key of the test, which is long enough';
const JPEG = '1.2.840.10008.1.2.4.70';
const DEIDENTIFY: Transform = [{ deidentify: { retain: [], burnedIn: 'send' } }];
const EDIT: Transform = [{ set: { InstitutionName: 'A longer name than that which was there before it' } }];

/** @returns the length said, that of the bytes, and how many were read to say it */
async function lengths(
  file: Buffer,
  transform: Transform,
): Promise<{ said: number; made: number; read: number }> {
  const compiled = compileTransform(transform, KEY);
  if ('faults' in compiled) throw new Error(compiled.faults.join());
  const { object, reader } = storedFile(file, 8192);
  let read = 0;
  const counting: typeof reader = {
    ...reader,
    async *read(...all) {
      for await (const chunk of reader.read(...all)) {
        read += chunk.length;
        yield chunk;
      }
    },
  };
  const sent = await openFile(counting, { ...object, released: false }, { transform: compiled });
  const readToSay = read;
  let made = 0;
  for await (const chunk of sent.open()) made += chunk.length;
  return { said: sent.length, made, read: readToSay };
}

const PIXELS = 2_000_000;
function image(syntax: string): Buffer {
  const as = { implicit: syntax === IMPLICIT_LE };
  const meta = buildFileMeta({ sopClassUid: '1.2', sopInstanceUid: '1.2.3', transferSyntaxUid: syntax });
  return Buffer.concat([
    meta,
    element('00080016', 'UI', '1.2.840.10008.5.1.4.1.1.2\0', as),
    element('00080018', 'UI', '1.2.3.4\0', as),
    element('00080080', 'LO', 'There ', as),
    element('00100010', 'PN', 'Some^Body ', as),
    element('0020000D', 'UI', '1.2.3\0', as),
    element('0020000E', 'UI', '1.2.3.9\0', as),
    element('00280010', 'US', uint16(1000), as),
    element('00280011', 'US', uint16(1000), as),
    syntax === JPEG
      ? encapsulated([Buffer.alloc(0), Buffer.alloc(PIXELS, 7)])
      : element('7FE00010', 'OW', Buffer.alloc(PIXELS, 7), as),
    element('FFFCFFFC', 'OB', 'padded', as),
  ]);
}

test.each([
  ['Explicit VR', EXPLICIT_LE],
  ['Implicit VR', IMPLICIT_LE],
  ['compressed', JPEG],
])('of %s is said without reading the pixels', async (_, syntax) => {
  // Of compressed pixels that are de-identified every frame is looked into, before the first one leaves.
  for (const transform of syntax === JPEG ? [EDIT] : [DEIDENTIFY, EDIT]) {
    const { said, made, read } = await lengths(image(syntax), transform);
    expect(said).toBe(made);
    expect(said).toBeGreaterThan(PIXELS);
    expect(read).toBeLessThan(100_000);
  }
});

test('pixels that are cut short are found when it is opened', async () => {
  const whole = image(EXPLICIT_LE);
  const cut = whole.subarray(0, whole.length - 1000);
  await expect(lengths(cut, DEIDENTIFY)).rejects.toThrow(/cut short/);
});

test.skipIf(!corpusFolder)('is right for every kind of object of the corpus (needs it)', async () => {
  let looked = 0;
  for (const [index, { file = '', size = '0', modality = '' }] of corpusIndex().entries()) {
    if (Number(size) > 4_000_000 || modality === '' || index % 3 !== 0) continue;
    if (/DICOMDIR|malformed|^fuzz-corpus/.test(file)) continue;
    const bytes = readFileSync(path.join(corpusFolder!, file));
    for (const transform of [DEIDENTIFY, EDIT]) {
      const found = await lengths(bytes, transform).catch((thrown: Error) => thrown.message);
      if (typeof found === 'string') {
        expect(found, file).toMatch(/not sent as the rule asks|cut short|cannot|not a DICOM file/);
        continue;
      }
      expect(found.said, file).toBe(found.made);
      looked++;
    }
  }
  expect(looked).toBeGreaterThan(150);
});
