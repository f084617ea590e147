/**
 * Real files in every lossless compression and in none: each says of its pixels what they are, and decodes, by our
 * decoder and by DCMTK's or GDCM's, to the pixels that they make of the original.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSpool } from '../../src/archive/intake/spool.ts';
import { parseDataSet } from '../../src/dicom/data-set.ts';
import { LOSSLESS } from '../../src/dicom/encodings.ts';
import { buildFileMeta, readFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE, IMPLICIT_LE, transferSyntax } from '../../src/dicom/transfer-syntax.ts';
import { Failure } from '../../src/failure.ts';
import { createByteRoom } from '../../src/forwarding/byte-room.ts';
import { openObject } from '../../src/forwarding/object-bytes.ts';
import { isRecoded } from '../../src/forwarding/recoded-object.ts';
import type { RecodingParts } from '../../src/forwarding/recoded-pixels.ts';
import { waysOutOf } from '../../src/forwarding/ways-out.ts';
import { decodedPixel } from '../../src/pixels/decodable.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { imageOf } from '../pixels/image-file.ts';
import { byDcmtk, byGdcm } from '../pixels/other-decoder.ts';
import { furthest, valuesByPixel } from '../pixels/values.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { storedFile } from './stored-file.ts';

const workers = createPixelWorkers({ threads: 1, maxWaiting: 100 });
let folder: TempFolder;
let recoding: RecodingParts;
beforeAll(async () => {
  folder = await tempFolder('recoded-corpus');
  const spool = createSpool({ folder: folder.path, limitBytes: 2 ** 30, reserveBytes: 0 });
  recoding = { workers, spool, room: createByteRoom(2 ** 28) };
});
afterAll(async () => {
  await workers.stop();
  await folder.remove();
});

const MOST_BYTES = 400_000;
/** The others differ from these in a label, or in the order of packets: recode-frame.test.ts has them. */
const TARGETS = [EXPLICIT_LE, IMPLICIT_LE, ...LOSSLESS.filter((uid) => !/\.(57|202)$/.test(uid))];
/** Their samples share colour, and are spread before they are compressed: read by nobody else with as many. */
const SHARED_COLOUR = 'YBR_FULL_422';

/** Of each form of pixels that the corpus has, the smallest file. */
function examples(): { file: string; bytes: Buffer }[] {
  const smallest = new Map<string, { file: string; bytes: Buffer }>();
  for (const { file } of corpusIndex().sort((a, b) => Number(a.size) - Number(b.size))) {
    // Damaged ones are another suite's: what another program makes of them says nothing of us.
    if (!file || /fuzz|malformed/.test(file)) continue;
    try {
      const bytes = readFileSync(join(corpusFolder!, file));
      if (bytes.length > MOST_BYTES) continue;
      const { header, pixel, frameCount } = imageOf(bytes);
      if (!header.elements.has('00080016')) continue;
      const { rows: _rows, columns: _columns, numberOfFrames, ...form } = pixel;
      const of = JSON.stringify([form, numberOfFrames > 1, frameCount === numberOfFrames]);
      if (!smallest.has(of)) smallest.set(of, { file, bytes });
    } catch (thrown) {
      if (!(thrown instanceof Failure)) throw thrown;
    }
  }
  return [...smallest.values()];
}

const files = corpusFolder ? examples() : [];

async function recoded(bytes: Buffer, to: string): Promise<Buffer | undefined> {
  const { object, reader } = storedFile(bytes);
  if (!waysOutOf(object, { allowed: [to] }).includes(to) || !isRecoded(object, to)) return undefined;
  const data = await openObject(reader, object, to, { recoding });
  const out: Uint8Array[] = [
    buildFileMeta({ sopClassUid: object.sopClass, sopInstanceUid: data.sopUid, transferSyntaxUid: to }),
  ];
  try {
    for await (const chunk of data.bytes) out.push(Buffer.from(chunk));
  } finally {
    await data.close();
  }
  return Buffer.concat(out);
}

/** Numbers by pixel of every frame. */
async function valuesOf(file: Buffer) {
  const image = imageOf(file);
  const pixel = decodedPixel(image.pixel);
  const frames: ArrayLike<number>[] = [];
  for (let number = 1; number <= image.frameCount; number++)
    frames.push(valuesByPixel(await workers.decode(image.pixel, await image.frame(number)), pixel));
  return { pixel, frames };
}

describe.skipIf(files.length === 0)('files of the corpus (needs it)', () => {
  test.each(TARGETS)(
    'in %s are the same',
    async (to) => {
      const refused: string[] = [];
      let done = 0;
      let others = 0;
      for (const { file, bytes } of files) {
        let made: Buffer | undefined;
        try {
          made = await recoded(bytes, to);
        } catch (thrown) {
          if (!(thrown instanceof Failure)) throw thrown;
          refused.push(`${file}: ${thrown.message}`);
          continue;
        }
        if (!made) continue;
        done++;
        const meta = readFileMeta(made);
        expect(parseDataSet(made.subarray(meta.dataSetOffset), to).fault, file).toBeUndefined();
        const [before, after] = [await valuesOf(bytes), await valuesOf(made)];
        expect(after.frames.length, file).toBe(before.frames.length);
        const isSpread = before.pixel.photometricInterpretation === SHARED_COLOUR;
        if (!isSpread)
          expect(after.pixel.photometricInterpretation, file).toBe(before.pixel.photometricInterpretation);
        for (const [index, frame] of after.frames.entries())
          if (!isSpread)
            expect(furthest(frame, before.frames[index]!), `${file}, frame ${index + 1}`).toBe(0);
        if (!peer('dcmtk') || !peer('gdcm')) continue;
        const path = join(folder.path, 'made.dcm');
        await writeFile(path, made);
        const differences: number[] = [];
        for (const other of [await byDcmtk(path, to, folder.path), await byGdcm(path, folder.path)]) {
          if (!other || transferSyntax(readFileMeta(other).transferSyntaxUid).encapsulated) continue;
          const theirs = await valuesOf(other);
          if (theirs.pixel.photometricInterpretation !== after.pixel.photometricInterpretation) continue;
          differences.push(
            Math.max(...theirs.frames.map((frame, index) => furthest(frame, after.frames[index]!))),
          );
        }
        if (differences.length === 0) continue;
        others++;
        expect(Math.min(...differences), file).toBe(0);
      }
      expect(refused).toEqual([]);
      expect(done).toBeGreaterThan(30);
      // Nobody here knows the UIDs of HTJ2K.
      if (peer('dcmtk') && peer('gdcm') && !to.includes('.4.20')) expect(others).toBeGreaterThan(done / 2);
    },
    300_000,
  );
});
