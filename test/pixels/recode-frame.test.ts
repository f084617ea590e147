/**
 * Frames made up, encoded by us in every way we offer, and decoded by us, DCMTK and GDCM: what is lossless is the same to
 * the bit for each of them, what is not stays within what was asked.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOSSLESS, type Loss } from '../../src/dicom/encodings.ts';
import {
  HTJ2K_LOSSLESS,
  JPEG_2000,
  JPEG_2000_LOSSLESS,
  JPEG_BASELINE,
  JPEG_LS_NEAR_LOSSLESS,
  transferSyntax,
} from '../../src/dicom/transfer-syntax.ts';
import { decodedPixel } from '../../src/pixels/decodable.ts';
import { encodedPixel, whyNotRecoded } from '../../src/pixels/encodable.ts';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { uint16 } from '../dicom/elements.ts';
import { madeObject } from '../dicomweb/made-object.ts';
import { peer } from '../support/peers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { imageOf } from './image-file.ts';
import { byDcmtk, byGdcm } from './other-decoder.ts';
import { pixelOf } from './pixel-of.ts';
import { furthest, valuesByPixel } from './values.ts';

const [dcmtk, gdcm] = [peer('dcmtk'), peer('gdcm')];
const workers = createPixelWorkers({ threads: 1 });
let folder: TempFolder;
beforeAll(async () => {
  folder = await tempFolder('encoded');
});
afterAll(async () => {
  await workers.stop();
  await folder.remove();
});

const EXPLICIT_LE = '1.2.840.10008.1.2.1';
const [ROWS, COLUMNS] = [45, 63];
type Kind = readonly [allocated: 1 | 8 | 16 | 32, stored: number, signed: boolean, photometric: string];

const GREY: readonly Kind[] = [
  [8, 8, false, 'MONOCHROME2'],
  [8, 6, false, 'MONOCHROME1'],
  [8, 1, false, 'MONOCHROME2'],
  [8, 8, true, 'MONOCHROME2'],
  [8, 8, false, 'PALETTE COLOR'],
  [16, 12, false, 'MONOCHROME2'],
  [16, 12, true, 'MONOCHROME2'],
  [16, 8, false, 'MONOCHROME2'],
  [16, 8, true, 'MONOCHROME2'],
  [16, 10, false, 'MONOCHROME2'],
  [16, 13, true, 'MONOCHROME2'],
  [16, 16, false, 'MONOCHROME2'],
  [16, 16, true, 'MONOCHROME2'],
  [32, 32, false, 'MONOCHROME2'],
  [1, 1, false, 'MONOCHROME2'],
];
const COLOUR: readonly Kind[] = [
  [8, 8, false, 'RGB'],
  [8, 8, false, 'YBR_FULL'],
  [16, 12, false, 'RGB'],
  [16, 16, false, 'RGB'],
];

function madePixel([bitsAllocated, bitsStored, signed, photometricInterpretation]: Kind): ImagePixel {
  return pixelOf({
    transferSyntaxUid: EXPLICIT_LE,
    rows: ROWS,
    columns: COLUMNS,
    bitsAllocated,
    bitsStored,
    highBit: bitsStored - 1,
    signed,
    photometricInterpretation,
    samplesPerPixel: /RGB|YBR/.test(photometricInterpretation) ? 3 : 1,
  });
}

/** Slopes, edges, flat parts, the least value beside the greatest; signed values with their sign to the top. */
function samplesOf(pixel: ImagePixel): Buffer {
  const { samplesPerPixel: samples, bitsAllocated: allocated, bitsStored: stored, signed } = pixel;
  const value = (at: number): number => {
    const [x, y] = [Math.floor(at / samples) % COLUMNS, Math.floor(at / samples / COLUMNS)];
    if (y < 3) return (x % 2) * (2 ** stored - 1);
    const part = x > 40 ? 0.9 : x < 10 ? 0.1 : ((x * 7 + y * 3 + (at % samples) * 20) % 97) / 97;
    return Math.floor(part * (2 ** stored - 1));
  };
  const values = Array.from(
    { length: ROWS * COLUMNS * samples },
    (_, at) => value(at) - (signed ? 2 ** (stored - 1) : 0),
  );
  if (allocated === 1) {
    const bytes = Buffer.alloc(Math.ceil(values.length / 8));
    for (const [at, bit] of values.entries()) bytes[at >> 3]! |= bit << (at & 7);
    return bytes;
  }
  const array = allocated === 8 ? Uint8Array : allocated === 16 ? Uint16Array : Uint32Array;
  return Buffer.from(array.from(values.map((one) => one >>> 0)).buffer);
}

function fileOf(pixel: ImagePixel, frame: Uint8Array): Buffer {
  return madeObject({
    transferSyntax: pixel.transferSyntaxUid,
    elements: [
      ['00280002', 'US', uint16(pixel.samplesPerPixel)],
      ['00280004', 'CS', pixel.photometricInterpretation],
      ...(pixel.samplesPerPixel === 3
        ? ([['00280006', 'US', uint16(pixel.planarConfiguration)]] as const)
        : []),
      ['00280010', 'US', uint16(pixel.rows)],
      ['00280011', 'US', uint16(pixel.columns)],
      ['00280100', 'US', uint16(pixel.bitsAllocated)],
      ['00280101', 'US', uint16(pixel.bitsStored)],
      ['00280102', 'US', uint16(pixel.highBit)],
      ['00280103', 'US', uint16(pixel.signed ? 1 : 0)],
    ],
    fragments: [Buffer.alloc(0), Buffer.from(frame)],
  });
}

const named = ([allocated, stored, signed, photometric]: Kind): string =>
  `${photometric} ${allocated}/${stored}${signed ? ' signed' : ''}`;

describe('a frame that its encoder spoils', () => {
  // These are not offered (whyNotRecoded), because the codecs lose them without a word.
  it.each([
    [JPEG_2000_LOSSLESS, [16, 16, false, 'RGB']],
    [JPEG_2000_LOSSLESS, [8, 8, true, 'MONOCHROME2']],
    [HTJ2K_LOSSLESS, [16, 12, false, 'RGB']],
  ] as const)('in %s, %j, does not leave', async (to, kind) => {
    const pixel = madePixel(kind);
    expect(whyNotRecoded(pixel, { to })).toBeDefined();
    await expect(workers.recode(pixel, samplesOf(pixel), { to })).rejects.toThrow(
      /did not decode to the pixels it was made of/,
    );
  });
});

/** Single bits in RLE: DCMTK and GDCM give up. */
const NOBODY_ELSE_READS: readonly string[] = ['1.2.840.10008.1.2.5 MONOCHROME2 1/1'];

describe('a frame encoded without loss', () => {
  const cases = LOSSLESS.flatMap((to) =>
    [...GREY, ...COLOUR].map((kind) => [`${transferSyntax(to).name}, ${named(kind)}`, to, kind] as const),
  );

  it.each(cases)('in %s is the same to every decoder, or is not offered', async (_name, to, kind) => {
    const pixel = madePixel(kind);
    const samples = samplesOf(pixel);
    const why = whyNotRecoded(pixel, { to });
    if (why !== undefined) {
      expect(why).toMatch(/^its? /);
      return;
    }
    const frame = await workers.recode(pixel, samples, { to });
    expect(frame.length % 2).toBe(0);
    const after = encodedPixel(pixel, { to });
    const values = valuesByPixel(samples, pixel);
    expect(furthest(valuesByPixel(await workers.decode(after, frame), decodedPixel(after)), values)).toBe(0);

    if (!dcmtk || !gdcm) return;
    const file = join(folder.path, `${to}-${named(kind).replaceAll(/\W/g, '-')}.dcm`);
    // GDCM knows no UID of HTJ2K; its OpenJPEG reads the codestream, which says itself what it is.
    const known = {
      ...after,
      ...(to.includes('.4.20') && { transferSyntaxUid: JPEG_2000_LOSSLESS }),
      // They would ask for the palette, which the frame does not need.
      ...(after.photometricInterpretation === 'PALETTE COLOR' && {
        photometricInterpretation: 'MONOCHROME2',
      }),
    };
    await writeFile(file, fileOf(known, frame));
    const others = await Promise.all([
      byDcmtk(file, known.transferSyntaxUid, folder.path),
      byGdcm(file, folder.path),
    ]);
    const read = others.flatMap((other) => (other ? [imageOf(other)] : []));
    const same = read.filter(
      ({ pixel: theirs }) =>
        theirs.transferSyntaxUid === EXPLICIT_LE &&
        (theirs.samplesPerPixel === 1 ||
          theirs.photometricInterpretation === pixel.photometricInterpretation),
    );
    const differences = await Promise.all(
      same.map(async (other) => furthest(valuesByPixel(await other.frame(1), other.pixel), values)),
    );
    // GDCM takes the bytes of colour with 16 bits in RLE for those of its neighbours; DCMTK, and we, do not.
    if (differences.length > 0) expect(Math.min(...differences)).toBe(0);
    else expect(NOBODY_ELSE_READS).toContain(`${to} ${named(kind)}`);
  });
});

describe('a frame encoded with loss', () => {
  const cases: readonly (readonly [string, Loss, Kind, number])[] = [
    [JPEG_BASELINE, { quality: 90 }, [8, 8, false, 'MONOCHROME2'], 20],
    [JPEG_BASELINE, { quality: 90 }, [8, 8, false, 'RGB'], 150],
    [JPEG_BASELINE, { quality: 90 }, [8, 8, false, 'YBR_FULL'], 255],
    [JPEG_LS_NEAR_LOSSLESS, { maxError: 2 }, [8, 8, false, 'MONOCHROME2'], 2],
    [JPEG_LS_NEAR_LOSSLESS, { maxError: 2 }, [16, 12, false, 'MONOCHROME2'], 2],
    [JPEG_LS_NEAR_LOSSLESS, { maxError: 2 }, [16, 10, false, 'MONOCHROME2'], 2],
    [JPEG_LS_NEAR_LOSSLESS, { maxError: 2 }, [8, 8, false, 'RGB'], 2],
    [JPEG_2000, { ratio: 4 }, [8, 8, false, 'MONOCHROME2'], 40],
    [JPEG_2000, { ratio: 4 }, [8, 8, false, 'RGB'], 50],
    [JPEG_2000, { ratio: 4 }, [16, 12, true, 'MONOCHROME2'], 60],
    [JPEG_2000, { ratio: 4 }, [16, 16, true, 'MONOCHROME2'], 1000],
  ];

  it.each(cases)('in %s by %j, %j, is smaller and not far', async (to, loss, kind, far) => {
    const pixel = madePixel(kind);
    const samples = samplesOf(pixel);
    const frame = await workers.recode(pixel, samples, { to, loss });
    expect(frame.length).toBeLessThan(samples.length);
    const after = encodedPixel(pixel, { to, loss });
    const decoded = valuesByPixel(await workers.decode(after, frame), decodedPixel(after));
    // YBR_FULL comes back as RGB: another measure.
    if (pixel.photometricInterpretation !== 'YBR_FULL')
      expect(furthest(decoded, valuesByPixel(samples, pixel))).toBeLessThanOrEqual(far);
    if (!dcmtk || !gdcm) return;
    const file = join(folder.path, `${to}-${named(kind).replaceAll(/\W/g, '-')}-lossy.dcm`);
    await writeFile(file, fileOf(after, frame));
    const others = await Promise.all([byDcmtk(file, to, folder.path), byGdcm(file, folder.path)]);
    const read = others.flatMap((other) => (other ? [imageOf(other)] : []));
    const differences = await Promise.all(
      read
        .filter(({ pixel: theirs }) => theirs.transferSyntaxUid === EXPLICIT_LE)
        .map(async (other) => furthest(valuesByPixel(await other.frame(1), other.pixel), decoded)),
    );
    expect(Math.min(...differences)).toBeLessThanOrEqual(to === JPEG_BASELINE ? 2 : 0);
  });
});
