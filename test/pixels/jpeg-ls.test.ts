/**
 * JPEG-LS against two other encoders: CharLS as dcmjs-codecs brings it, over images made by chance, and DCMTK's with
 * every interleaving; then what broken bytes are answered with.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import codecs from 'dcmjs-codecs';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { storedValues } from '../../src/pixels/grayscale.ts';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { decodeJpegLs } from '../../src/pixels/jpeg-ls.ts';
import { anImage } from '../support/an-image.ts';
import { peer } from '../support/peers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { chance } from '../torture/chance.ts';
import { madeOf, plainContext } from './codec-context.ts';
import { imageOf } from './image-file.ts';
import { pixelOf } from './pixel-of.ts';

const { NativeCodecs } = codecs;
beforeAll(() => NativeCodecs.initializeAsync());

function encoded(pixel: ImagePixel, samples: Uint8Array, allowedLossyError = 0): Uint8Array {
  const context = plainContext(pixel, samples);
  const lossy = allowedLossyError > 0;
  return NativeCodecs.encodeJpegLs(context, { lossy, allowedLossyError }).getEncodedBuffer()!;
}

/** Plains, slopes and noise, so that runs, their ends and every context come up. */
function madeSamples(pixel: ImagePixel, seed: number): Uint8Array {
  const { whole, happens } = chance(seed);
  const most = 2 ** pixel.bitsStored - 1;
  let manner = 0;
  return madeOf(pixel, whole(0, most), (value, at) => {
    if (happens(0.03)) manner = whole(0, 3);
    if (manner === 1) return value + whole(-3, 3);
    if (manner === 2) return whole(0, most);
    return manner === 3 && at % 7 === 0 ? most : value;
  });
}

describe('decodeJpegLs', () => {
  it.each([
    [8, 8, 1],
    [8, 8, 3],
    [8, 2, 1],
    [8, 5, 1],
    [16, 10, 1],
    [16, 12, 1],
    [16, 16, 1],
    [16, 16, 3],
  ])(
    'gives back what was encoded: %i bits allocated, %i stored, %i samples',
    (bitsAllocated, bitsStored, samplesPerPixel) => {
      for (let seed = 1; seed <= 30; seed++) {
        const { whole } = chance(seed * 7919);
        const size = { rows: whole(1, 40), columns: whole(1, 50) };
        const pixel = pixelOf({ ...size, bitsAllocated, bitsStored, samplesPerPixel });
        const samples = madeSamples(pixel, seed);
        const decoded = decodeJpegLs(encoded(pixel, samples), pixel);
        expect(Buffer.compare(decoded, samples), `seed ${seed}, ${size.rows} by ${size.columns}`).toBe(0);
      }
    },
  );

  it.each([1, 2, 5])('stays within a near-lossless error of %i', (near) => {
    for (let seed = 1; seed <= 20; seed++) {
      const pixel = pixelOf({ rows: 33, columns: 47, bitsAllocated: 16 });
      const samples = madeSamples(pixel, seed);
      const values = storedValues(samples, pixel);
      const decoded = storedValues(decodeJpegLs(encoded(pixel, samples, near), pixel), pixel);
      expect(Math.max(...decoded.map((value, at) => Math.abs(value - values[at]!))), `seed ${seed}`).toBe(
        near,
      );
    }
  });

  it('extends the sign of values that fill less than their word', () => {
    const frame = encoded(pixelOf({ rows: 1, columns: 2, bitsAllocated: 8 }), Uint8Array.of(0xff, 0x7f));
    const pixel = pixelOf({ rows: 1, columns: 2, bitsAllocated: 16, bitsStored: 8, signed: true });
    expect([...new Int16Array(Uint8Array.from(decodeJpegLs(frame, pixel)).buffer)]).toEqual([-1, 127]);
  });

  it('begins anew after each restart marker', () => {
    // No encoder here writes them; but an interval is coded as an image of its own (T.87 A.2), so two make one.
    const half = pixelOf({ rows: 9, columns: 31, bitsAllocated: 16 });
    const samples = [3, 4].map((seed) => madeSamples(half, seed));
    const [first, second] = samples.map((one) => Buffer.from(encoded(half, one))) as [Buffer, Buffer];
    const scanAt = (frame: Buffer): number => frame.indexOf('ffda', 'hex');
    const dataAt = (frame: Buffer): number => scanAt(frame) + 2 + frame.readUInt16BE(scanAt(frame) + 2);
    const [header, restarts] = [
      Buffer.from(first.subarray(0, scanAt(first))),
      Buffer.from('ffdd00040009', 'hex'),
    ];
    header.writeUInt16BE(18, header.indexOf('fff7', 'hex') + 5);
    const whole = (marker: string): Buffer =>
      Buffer.concat([
        header,
        restarts,
        first.subarray(scanAt(first), -2),
        Buffer.from(marker, 'hex'),
        second.subarray(dataAt(second)),
      ]);
    const pixel = { ...half, rows: 18 };
    expect(Buffer.compare(decodeJpegLs(whole('ffd0'), pixel), Buffer.concat(samples))).toBe(0);
    expect(() => decodeJpegLs(whole('ffd9'), pixel)).toThrow('cut short');
  });

  it('refuses every beginning of a frame, and words that mean nothing, in words', () => {
    const pixel = pixelOf({ rows: 20, columns: 20, bitsAllocated: 8 });
    const frame = encoded(pixel, madeSamples(pixel, 5));
    // The end marker alone may be missing.
    for (let length = 4; length < frame.length - 4; length++)
      expect(() => decodeJpegLs(frame.subarray(0, length), pixel), `${length} bytes`).toThrow(/JPEG-LS/);
    expect(() => decodeJpegLs(frame, { ...pixel, samplesPerPixel: 3 })).toThrow(/JPEG-LS/);
    const sampled = Uint8Array.from(frame);
    sampled[sampled.indexOf(0xf7) + 10] = 0x22;
    expect(() => decodeJpegLs(sampled, pixel)).toThrow('components of different sizes');
  });
});

const dcmtk = peer('dcmtk');

describe.skipIf(!dcmtk)('JPEG-LS made by DCMTK (needs dcmtk)', () => {
  it.each([
    ['by line', ['+il']],
    ['by sample', ['+is']],
    ['not interleaved', ['+in']],
    ['with thresholds of its own', ['+pc', '+t1', '5', '+t2', '9', '+t3', '40', '+rs', '31']],
    ['padded with zero', ['+pz']],
  ])('%s decodes to the colours that were there', async (_how, options) => {
    const folder = await tempFolder('jpeg-ls');
    const image = anImage({ colour: true });
    const { sopClassUid, sopInstanceUid, transferSyntaxUid } = image.declared;
    const [plain, coded] = [join(folder.path, 'plain'), join(folder.path, 'coded')];
    await writeFile(
      plain,
      Buffer.concat([buildFileMeta({ sopClassUid, sopInstanceUid, transferSyntaxUid }), image.dataSet]),
    );
    await promisify(execFile)(dcmtk!.dcmcjpls!, [...options, plain, coded]);
    const [from, to] = [imageOf(plain), imageOf(coded)];
    expect(to.pixel.transferSyntaxUid).toBe('1.2.840.10008.1.2.4.80');
    expect(Buffer.compare(decodeJpegLs(await to.frame(1), to.pixel), await from.frame(1))).toBe(0);
    await folder.remove();
  });
});
