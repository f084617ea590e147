/**
 * One study with what stands beside images in real ones: an MR series, a colour ultrasound loop in JPEG-LS, a report
 * and a PDF. Made up as Part 10 files, apart from the code under test, for journeys of other people's viewers.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { uint16 } from '../dicom/elements.ts';
import { madeObject, NO_PIXELS } from '../dicomweb/made-object.ts';
import { reportContent, reportObject } from '../dicomweb/made-report.ts';
import { tempFolder } from '../support/temp-folder.ts';

export const STUDY = '2.25.5001';
export const MR_SLICES = 6;
export const US_FRAMES = 3;

type Elements = [tag: string, vr: string, value: string | Buffer][];

const ABOUT: Elements = [
  ['00080020', 'DA', '20260102'],
  ['00080050', 'SH', 'A7'],
  ['00081030', 'LO', 'Heart of all kinds'],
  ['00100010', 'PN', 'Gemischt^Anna'],
];

/** @param dcmcjpls DCMTK's compressor for JPEG-LS */
export async function mixedStudy(dcmcjpls: string): Promise<Buffer[]> {
  const slices = Array.from({ length: MR_SLICES }, (_, index) => mrSlice(index));
  return [...slices, await inJpegLs(dcmcjpls, ultrasoundLoop()), report(), pdfObject()];
}

const SIDE = 64;

/** Whether a point lies in a disc in the middle, `radius` from 0 to 1. */
function inDisc(pixel: number, radius: number): boolean {
  const [x, y] = [(pixel % SIDE) - SIDE / 2, Math.floor(pixel / SIDE) - SIDE / 2];
  return Math.hypot(x, y) < (radius * SIDE) / 2;
}

function mrSlice(index: number): Buffer {
  const pixels = Uint16Array.from({ length: SIDE * SIDE }, (_, pixel) =>
    inDisc(pixel, 0.5 + index / 20) ? 900 : 100,
  );
  return madeObject({
    study: STUDY,
    series: `${STUDY}.1`,
    instance: `${STUDY}.1.${index + 1}`,
    elements: [
      ...ABOUT,
      ['00080016', 'UI', '1.2.840.10008.5.1.4.1.1.4'],
      ['00080060', 'CS', 'MR'],
      ['0008103E', 'LO', 'Discs'],
      ['00200011', 'IS', '1'],
      ['00200013', 'IS', String(index + 1)],
      ['00200032', 'DS', `0\\0\\${index * 5}`],
      ['00200037', 'DS', '1\\0\\0\\0\\1\\0'],
      ['00200052', 'UI', `${STUDY}.9`],
      ['00280010', 'US', uint16(SIDE)],
      ['00280011', 'US', uint16(SIDE)],
      ['00280030', 'DS', '2\\2'],
      ['00281050', 'DS', '500'],
      ['00281051', 'DS', '1000'],
    ],
    pixels: Buffer.from(pixels.buffer),
  });
}

/** A disc: red in the first frame, green in the second, blue in the third. */
function ultrasoundLoop(): Buffer {
  const pixels = Buffer.alloc(US_FRAMES * SIDE * SIDE * 3, 20);
  for (let at = 0; at < US_FRAMES * SIDE * SIDE; at++)
    if (inDisc(at % (SIDE * SIDE), 0.9)) pixels[3 * at + Math.floor(at / (SIDE * SIDE))] = 230;
  return madeObject({
    study: STUDY,
    series: `${STUDY}.2`,
    instance: `${STUDY}.2.1`,
    elements: [
      ...ABOUT,
      ['00080016', 'UI', '1.2.840.10008.5.1.4.1.1.3.1'],
      ['00080060', 'CS', 'US'],
      ['0008103E', 'LO', 'Loop'],
      ['00181063', 'DS', '40'],
      ['00200011', 'IS', '2'],
      ['00280002', 'US', uint16(3)],
      ['00280004', 'CS', 'RGB'],
      ['00280006', 'US', uint16(0)],
      ['00280008', 'IS', String(US_FRAMES)],
      ['00280010', 'US', uint16(SIDE)],
      ['00280011', 'US', uint16(SIDE)],
      ['00280100', 'US', uint16(8)],
      ['00280101', 'US', uint16(8)],
      ['00280102', 'US', uint16(7)],
    ],
    pixels,
  });
}

async function inJpegLs(dcmcjpls: string, file: Buffer): Promise<Buffer> {
  const folder = await tempFolder('jpeg-ls');
  try {
    const [plain, coded] = [join(folder.path, 'plain.dcm'), join(folder.path, 'coded.dcm')];
    await writeFile(plain, file);
    await promisify(execFile)(dcmcjpls, [plain, coded]);
    return await readFile(coded);
  } finally {
    await folder.remove();
  }
}

function report(): Buffer {
  const about = { study: STUDY, series: `${STUDY}.3`, instance: `${STUDY}.3.1` };
  const elements: Elements = [...ABOUT, ['0008103E', 'LO', 'Report'], ['00200011', 'IS', '3']];
  return reportObject({ ...about, elements }, reportContent());
}

function pdfObject(): Buffer {
  return madeObject({
    study: STUDY,
    series: `${STUDY}.4`,
    instance: `${STUDY}.4.1`,
    without: NO_PIXELS,
    elements: [
      ...ABOUT,
      ['00080016', 'UI', '1.2.840.10008.5.1.4.1.1.104.1'],
      ['00080060', 'CS', 'DOC'],
      ['0008103E', 'LO', 'Letter'],
      ['00200011', 'IS', '4'],
      ['00420011', 'OB', PDF],
      ['00420012', 'LO', 'application/pdf'],
    ],
  });
}

/** One white page (ISO 32000); of an even length, and too long to stand in metadata. */
const PDF = Buffer.from(
  `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]>>endobj
%${'-'.repeat(100_000)}
trailer<</Root 1 0 R>>
%%EOF
`,
);
