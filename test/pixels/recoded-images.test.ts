/**
 * Images made up, compressed by DCMTK and GDCM in every way they know, and decoded by us and by them: what is lossless
 * has to come back bit for bit, what is not has to be what the other decoder makes of it.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFileMeta } from '../../src/dicom/part10.ts';
import { decodedPixel, lossyMethod } from '../../src/pixels/decodable.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { uint16 } from '../dicom/elements.ts';
import { type Made, madeObject } from '../dicomweb/made-object.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { imageOf } from './image-file.ts';
import { byDcmtk, byGdcm } from './other-decoder.ts';
import { furthest, valuesByPixel } from './values.ts';

const [dcmtk, gdcm] = [peer('dcmtk'), peer('gdcm')];
const workers = createPixelWorkers({ threads: 1 });
let folder: TempFolder;
beforeAll(async () => {
  folder = await tempFolder('recoded');
});
afterAll(async () => {
  await workers.stop();
  await folder.remove();
});

const [ROWS, COLUMNS] = [45, 62];

function image(allocated: 8 | 16, stored: number, signed: 0 | 1, photometric = 'MONOCHROME2'): Buffer {
  const samples = photometric === 'MONOCHROME2' ? 1 : 3;
  const count = ROWS * COLUMNS * samples;
  // Slopes, edges and flat parts; signed values lie on both sides of zero.
  const value = (at: number): number => {
    const [x, y] = [Math.floor(at / samples) % COLUMNS, Math.floor(at / samples / COLUMNS)];
    const part = x > 40 ? 0.9 : x < 10 ? 0.1 : ((x * 7 + y * 3 + (at % samples) * 20) % 97) / 97;
    return Math.floor(part * (2 ** stored - 1)) - signed * 2 ** (stored - 1);
  };
  const values = Array.from({ length: count }, (_, at) => value(at));
  const pixels = allocated === 8 ? Buffer.from(values) : Buffer.from(Int16Array.from(values).buffer);
  const elements: Made['elements'] = [
    ['00280002', 'US', uint16(samples)],
    ['00280004', 'CS', photometric],
    ...(samples === 3 ? ([['00280006', 'US', uint16(0)]] as const) : []),
    ['00280010', 'US', uint16(ROWS)],
    ['00280011', 'US', uint16(COLUMNS)],
    ['00280100', 'US', uint16(allocated)],
    ['00280101', 'US', uint16(stored)],
    ['00280102', 'US', uint16(stored - 1)],
    ['00280103', 'US', uint16(signed)],
  ];
  return madeObject({ elements, pixels });
}

const IMAGES = {
  'grey of 8 bits': image(8, 8, 0),
  'grey of 12 bits': image(16, 12, 0),
  'grey of 12 bits, signed': image(16, 12, 1),
  'grey of 16 bits': image(16, 16, 0),
  'grey of 16 bits, signed': image(16, 16, 1),
  RGB: image(8, 8, 0, 'RGB'),
  YBR_FULL: image(8, 8, 0, 'YBR_FULL'),
} as const;
type Name = keyof typeof IMAGES;

const GREY: readonly Name[] = [
  'grey of 8 bits',
  'grey of 12 bits',
  'grey of 12 bits, signed',
  'grey of 16 bits',
  'grey of 16 bits, signed',
];
const ALL: readonly Name[] = [...GREY, 'RGB', 'YBR_FULL'];
const EIGHT: readonly Name[] = ['grey of 8 bits', 'RGB'];

const recodings: readonly (readonly [
  how: string,
  program: string,
  options: readonly string[],
  of: readonly Name[],
])[] = [
  ['JPEG baseline', 'dcmcjpeg', ['+eb'], EIGHT],
  ['JPEG baseline, colours shared by two', 'dcmcjpeg', ['+eb', '+s2'], ['RGB']],
  ['JPEG baseline that stays RGB', 'dcmcjpeg', ['+eb', '+cr'], ['RGB']],
  ['JPEG extended', 'dcmcjpeg', ['+ee'], [...EIGHT, 'grey of 12 bits']],
  ['JPEG spectral selection', 'dcmcjpeg', ['+es'], EIGHT],
  ['JPEG full progression', 'dcmcjpeg', ['+ep'], EIGHT],
  ['JPEG lossless', 'dcmcjpeg', ['+e1'], ALL],
  ...[2, 3, 4, 5, 6, 7].map(
    (predictor) =>
      [
        `JPEG lossless, predictor ${predictor}`,
        'dcmcjpeg',
        ['+el', '+sv', String(predictor)],
        ['grey of 12 bits, signed', 'RGB'],
      ] as const,
  ),
  ['RLE', 'dcmcrle', [], ALL],
  ['JPEG-LS', 'dcmcjpls', ['+el'], ALL],
  // It refuses signed ones.
  ['JPEG-LS near-lossless', 'dcmcjpls', ['+en'], ALL.filter((name) => !name.endsWith('signed'))],
  ['RLE by GDCM', 'gdcmconv', ['--rle'], ALL],
  ['JPEG by GDCM', 'gdcmconv', ['--jpeg'], ALL],
  ['JPEG-LS by GDCM', 'gdcmconv', ['--jpegls'], ALL],
  ['JPEG 2000 by GDCM', 'gdcmconv', ['--j2k'], ALL],
  ['lossy JPEG 2000 by GDCM', 'gdcmconv', ['--j2k', '--lossy', '--irreversible', '-q', '40'], GREY],
];

async function samplesOf(file: Buffer) {
  const { pixel, frame } = imageOf(file);
  const samples = await workers.decode(pixel, await frame(1));
  const after = decodedPixel(pixel);
  return { pixel: after, values: valuesByPixel(samples, after) };
}

describe.skipIf(!dcmtk || !gdcm)('an image recoded as … (needs dcmtk, gdcm)', () => {
  const cases = recodings.flatMap(([how, program, options, of]) =>
    of.map((name) => [`${how}: ${name}`, program, options, name] as const),
  );

  it.each(cases)('%s decodes as the other decoder has it', async (how, program, options, name) => {
    const [plain, coded] = ['plain', 'coded'].map((part) =>
      join(folder.path, `${how.replaceAll(/\W/g, '-')}.${part}`),
    ) as [string, string];
    await writeFile(plain, IMAGES[name]);
    await promisify(execFile)(program === 'gdcmconv' ? gdcm!.gdcmconv! : dcmtk![program]!, [
      ...options,
      plain,
      coded,
    ]);
    const bytes = await readFile(coded);
    const { transferSyntaxUid } = readFileMeta(bytes);
    expect(transferSyntaxUid).not.toBe('1.2.840.10008.1.2.1');
    const lossy = lossyMethod(transferSyntaxUid);
    const others = lossy
      ? await Promise.all([byDcmtk(coded, transferSyntaxUid, folder.path), byGdcm(coded, folder.path)])
      : [IMAGES[name]];
    const ours = await samplesOf(bytes);
    const differences: number[] = [];
    for (const other of others) {
      const theirs = other && (await samplesOf(other));
      if (theirs?.pixel.photometricInterpretation !== ours.pixel.photometricInterpretation) continue;
      // GDCM leaves a lossy decoder's overshoot beyond the bits the object stores.
      const range = 2 ** ours.pixel.bitsStored;
      const least = ours.pixel.signed ? -range / 2 : 0;
      const values = Array.from(theirs.values, (value) =>
        Math.max(least, Math.min(least + range - 1, value)),
      );
      differences.push(furthest(ours.values, values));
    }
    expect(Math.min(...differences)).toBeLessThanOrEqual(lossy === 'ISO_10918_1' ? 1 : 0);
  });
});
