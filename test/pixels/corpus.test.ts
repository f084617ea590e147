/**
 * Every image of the corpus that DCMTK or GDCM can read, decoded and rendered by the worker threads and compared with
 * theirs: samples bit for bit (lossy JPEG within 1), pictures within 2 of 255, which is where roundings differ.
 * Where the corpus or a peer is missing the suite leaves itself out by name; generated-images.test.ts stays.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { Failure } from '../../src/failure.ts';
import { decodedPixel, isDecodable, lossyMethod } from '../../src/pixels/decodable.ts';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { presentationOf } from '../../src/pixels/presentation.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { type ImageFile, imageOf } from './image-file.ts';
import { byDcmtk, byGdcm, pictureByDcmtk } from './other-decoder.ts';
import { furthest, valuesByPixel } from './values.ts';

const LIMIT_MS = 400_000;
const workers = createPixelWorkers({ threads: 2 });
let folder = '';
beforeAll(async () => {
  const temporary = await tempFolder('other-decoder');
  folder = temporary.path;
  return async () => {
    await temporary.remove();
  };
});
afterAll(() => workers.stop());

/** Where we differ on purpose, and why. */
const OURS_IS_RIGHT: Readonly<Record<string, string>> = {
  'dicom-test-files/data/pydicom/SC_rgb_jpeg_lossy_gdcm.dcm':
    'says RGB, but its JPEG shares colour samples between neighbours as only YCbCr does',
  'fo-dicom/Tests/FO-DICOM.Benchmark/Data/multiframe.dcm':
    'its last frames are smaller than it says; a client that was given them would read past their end',
  'synth/malformed/53-rle-fewer-frames.dcm': 'says three frames and has two: which, nothing tells',
  'synth/malformed/55-rle-no-bot-item.dcm':
    'the same, its first frame standing where the offset table should',
};
const SHOWN_OTHERWISE: Readonly<Record<string, string>> = {
  ...OURS_IS_RIGHT,
  'fo-dicom/Tests/FO-DICOM.Tests/Test Data/RI6XDosiGap.dcm':
    'a LINEAR window narrower than 1 has no meaning (C.11.2.1.2); DCMTK shows nothing, we take it as LINEAR_EXACT',
};
/** Encoders' own uncompressed originals, where no other program here reads the compressed one. */
const SIBLINGS: Readonly<Record<string, string>> = {
  'synth/htj2k/us-rgb-lossless.dcm': 'pydicom/src/pydicom/data/test_files/examples_rgb_color.dcm',
  'synth/htj2k/us-rgb-lossless-rpcl.dcm': 'pydicom/src/pydicom/data/test_files/examples_rgb_color.dcm',
  'synth/htj2k/us-rgb-lossy.dcm': 'pydicom/src/pydicom/data/test_files/examples_rgb_color.dcm',
  'synth/htj2k/ct16s-lossless-rpcl.dcm': 'synth/htj2k/ct16s-lossless.dcm',
  'synth/htj2k/ct16s-lossy.dcm': 'synth/htj2k/ct16s-lossless.dcm',
  ...Object.fromEntries(
    ['FromJPEG2000Lossless', 'FromJPEG2000Lossy'].map((form) => [
      `ms-dicom/src/Microsoft.Health.Dicom.Tests.Common/TranscoderTestsFiles/Decode/${form}/Input.dcm`,
      `ms-dicom/src/Microsoft.Health.Dicom.Tests.Common/TranscoderTestsFiles/Decode/${form}/ExpectedOutput.dcm`,
    ]),
  ),
};

/** Each file once, damaged ones too: what another program reads of them has to be the same here. */
const rows = corpusIndex().filter(
  (row, at, all) => row.file && all.findIndex((other) => other.sha256 === row.sha256) === at,
);
const files = rows.map((row) => row.file!).filter((file) => syntaxOf(file) !== undefined);

function syntaxOf(file: string): string | undefined {
  try {
    return readFileMeta(readFileSync(join(corpusFolder!, file))).transferSyntaxUid;
  } catch (thrown) {
    if (thrown instanceof Failure) return undefined;
    throw thrown;
  }
}

interface Decoded {
  readonly pixel: ImagePixel;
  readonly frames: ReadonlyMap<number, ArrayLike<number>>;
}

/** The samples of the first, the middle and the last frame, by pixel. */
async function decoded(file: string | Uint8Array): Promise<Decoded> {
  const image = imageOf(file);
  const pixel = decodedPixel(image.pixel);
  const frames = new Map<number, ArrayLike<number>>();
  for (const number of [1, Math.ceil(image.frameCount / 2), image.frameCount]) {
    const samples = await workers.decode(image.pixel, await image.frame(number));
    frames.set(number, valuesByPixel(samples, pixel));
  }
  return { pixel, frames };
}

function difference(ours: Decoded, theirs: Decoded): number {
  if (ours.pixel.photometricInterpretation !== theirs.pixel.photometricInterpretation) return Number.NaN;
  return Math.max(
    ...[...ours.frames].map(([number, values]) => furthest(values, theirs.frames.get(number) ?? [])),
  );
}

/** undefined where our own reader finds no image in it. */
async function orUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof Failure) return undefined;
    throw thrown;
  }
}

async function asTheyRead(file: string): Promise<Buffer[]> {
  const path = join(corpusFolder!, file);
  const all = await Promise.all([byDcmtk(path, syntaxOf(file)!, folder), byGdcm(path, folder)]);
  return all.filter((bytes) => bytes !== undefined);
}

const ready = corpusFolder && peer('dcmtk') && peer('gdcm');

describe.skipIf(!ready)(
  'the images of the corpus, beside DCMTK and GDCM (needs both, and ../shared/corpus)',
  () => {
    test('decode to the same samples', { timeout: LIMIT_MS }, async () => {
      const compressed = files.filter((file) => {
        const syntax = syntaxOf(file)!;
        return isDecodable(syntax) && syntax !== '1.2.840.10008.1.2.1' && syntax !== '1.2.840.10008.1.2';
      });
      const wrong: string[] = [];
      let compared = 0;
      for (const file of compressed) {
        const others = await asTheyRead(file);
        const theirs = (await Promise.all(others.map((bytes) => orUndefined(() => decoded(bytes))))).filter(
          (one) => one !== undefined,
        );
        if (theirs.length === 0) continue;
        compared++;
        const allowed = lossyMethod(syntaxOf(file)!) === 'ISO_10918_1' ? 1 : 0;
        const ours = await orUndefined(() => decoded(join(corpusFolder!, file)));
        const differences = ours ? theirs.map((one) => difference(ours, one)) : ['not decoded'];
        const isSame = differences.some((one) => typeof one === 'number' && one <= allowed);
        if (isSame === file in OURS_IS_RIGHT) wrong.push(`${file}: ${differences.join(', ')}`);
      }
      expect(wrong).toEqual([]);
      expect(compared).toBeGreaterThan(100);
    });

    test.each(Object.entries(SIBLINGS))('%s decodes as %s', async (file, sibling) => {
      const [ours, theirs] = await Promise.all(
        [file, sibling].map((one) => decoded(join(corpusFolder!, one))),
      );
      const isLossy = lossyMethod(syntaxOf(file)!) !== undefined && file.startsWith('synth/');
      expect(difference(ours!, theirs!)).toBeLessThanOrEqual(
        !isLossy ? 0 : ours!.pixel.bitsStored === 8 ? 60 : 200,
      );
    });

    test('are shown the same', { timeout: LIMIT_MS }, async () => {
      const wrong: string[] = [];
      let compared = 0;
      for (const file of files) {
        const image = await orUndefined(async () => imageOf(join(corpusFolder!, file)));
        if (!image || !isDecodable(image.pixel.transferSyntaxUid)) continue;
        const number = Math.ceil(image.frameCount / 2);
        const settings = howToShow(image, number);
        if (!settings) continue;
        const isNative = image.pixel.transferSyntaxUid.startsWith('1.2.840.10008.1.2.1');
        const [other] = isNative ? [readFileSync(join(corpusFolder!, file))] : await asTheyRead(file);
        const theirs = other && (await pictureByDcmtk(other, number, settings, folder));
        if (!theirs) continue;
        compared++;
        const difference = await orUndefined(async () =>
          furthest(await shown(image, number), theirs.samples),
        );
        const isSame = difference !== undefined && difference <= 2;
        if (isSame === file in SHOWN_OTHERWISE) wrong.push(`${file}: ${difference ?? 'not shown'}`);
      }
      expect(wrong).toEqual([]);
      expect(compared).toBeGreaterThan(250);
    });
  },
);

/** What DCMTK has to be told to do as we do by ourselves; undefined where it cannot. */
function howToShow({ header, pixel }: ImageFile, number: number): string[] | undefined {
  if (pixel.samplesPerPixel !== 1 || pixel.photometricInterpretation === 'PALETTE COLOR') return [];
  const { window, voiTable, padding } = presentationOf(header, number, pixel.signed);
  if (window)
    return [
      '+Ww',
      String(window.center),
      String(window.width),
      ...(window.shape === 'SIGMOID' ? ['+Wfs'] : []),
    ];
  if (voiTable) return ['+Wl', '1'];
  // It counts padding in, and shows nothing of the rest.
  return padding ? undefined : ['+Wm'];
}

async function shown(image: ImageFile, number: number): Promise<Buffer> {
  const presentation = presentationOf(image.header, number, image.pixel.signed);
  const options = { type: 'image/png', quality: 90 } as const;
  const png = await workers.render(image.pixel, await image.frame(number), presentation, options);
  const picture = sharp(png);
  return (image.pixel.samplesPerPixel === 1 && !presentation.palette ? picture.toColourspace('b-w') : picture)
    .raw()
    .toBuffer();
}
