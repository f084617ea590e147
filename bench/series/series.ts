/**
 * The four made-up series of `bench receive`: what they are, and how each is written as Part 10 files into eight folders
 * (one for each of eight associations; one association gets all eight). Called by receive.ts; storescu reads the files.
 * Those of `bench dicomweb` (web/shapes.ts) are written here as well.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { namedUid } from '../../src/cli/random.ts';
import { buildFileMeta } from '../../src/dicom/part10.ts';
import { EXPLICIT_LE } from '../../src/dicom/transfer-syntax.ts';
import { type Element, elementHeader, encode } from './elements.ts';
import { imageHeader } from './header.ts';
import { multiFrameModule } from './multi-frame.ts';
import { createNoise, type Noise } from './noise.ts';

export const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';
export const ENHANCED_CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2.1';
const MR_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.4';

export const SERIES_NAMES = ['ct', 'mr', 'big', 'small'] as const;
export type SeriesName = (typeof SERIES_NAMES)[number];
export const ASSOCIATIONS = [1, 8] as const;
export type Associations = (typeof ASSOCIATIONS)[number];

export interface Shape {
  readonly title: string;
  readonly modality: 'CT' | 'MR';
  readonly sopClassUid: string;
  readonly objects: number;
  /** More than one makes the objects multi-frame. */
  readonly frames: number;
  readonly rows: number;
  readonly columns: number;
  /** Objects go to DICOM series of at most so many. */
  readonly perSeries: number;
  /** Objects go to as many studies; to one when not given. */
  readonly studies?: number;
}

const CT = { modality: 'CT', rows: 512, columns: 512, frames: 1 } as const;
const BIG = { ...CT, sopClassUid: ENHANCED_CT_IMAGE_STORAGE, perSeries: 1 } as const;

const SHAPES: Readonly<Record<Exclude<SeriesName, 'big'>, Shape>> = {
  ct: { ...CT, title: 'CT 400 × 512×512×16', sopClassUid: CT_IMAGE_STORAGE, objects: 400, perSeries: 400 },
  mr: {
    title: 'MR 1,000 × 256×256×16',
    modality: 'MR',
    sopClassUid: MR_IMAGE_STORAGE,
    objects: 1000,
    frames: 1,
    rows: 256,
    columns: 256,
    perSeries: 1000,
  },
  small: {
    title: '5,000 objects of 20 KB',
    modality: 'MR',
    sopClassUid: MR_IMAGE_STORAGE,
    objects: 5000,
    frames: 1,
    rows: 88,
    columns: 96,
    perSeries: 200,
  },
};

/** One association sends one object of 1 GB; eight associations send one of 128 MB each, since one object cannot be split. */
const BIG_SHAPES: Readonly<Record<Associations, Shape>> = {
  1: { ...BIG, title: 'multi-frame 1 × 1 GB', objects: 1, frames: 2048 },
  8: { ...BIG, title: 'multi-frame 8 × 128 MB', objects: 8, frames: 256 },
};

/**
 * Sent before each measurement over eight associations: a receiver in a hospital has run for weeks, and each of its
 * threads and processes has met objects. Every receiver gets the same.
 */
const WARM_UP: Shape = {
  ...CT,
  title: 'warm-up',
  sopClassUid: CT_IMAGE_STORAGE,
  objects: 400,
  perSeries: 400,
};

export interface Series {
  readonly title: string;
  readonly studyUid: string;
  readonly objects: number;
  /** Of all files together. */
  readonly bytes: number;
  /** What each association sends: folders of files. */
  readonly folders: readonly string[];
}

export function shapeOf(name: SeriesName | 'warm-up', associations: Associations): Shape {
  if (name === 'warm-up') return WARM_UP;
  return name === 'big' ? BIG_SHAPES[associations] : SHAPES[name];
}

/** Writes the files of a shape below `folder`; never holds more than one frame. The same each time but for the noise. */
export async function writeSeries(shape: Shape, folder: string): Promise<Series> {
  const noise = createNoise(shape.rows * shape.columns * 2);
  const lanes = Math.min(8, shape.objects);
  const folders = Array.from({ length: lanes }, (_, lane) => join(folder, String(lane + 1)));
  for (const lane of folders) await mkdir(lane, { recursive: true });
  let bytes = 0;
  for (let index = 0; index < shape.objects; index++) {
    const lane = Math.floor((index * lanes) / shape.objects);
    bytes += writeObject(
      shape,
      index,
      join(folders[lane]!, `${String(index + 1).padStart(5, '0')}.dcm`),
      noise,
    );
    // Lets a Ctrl-C through.
    if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { title: shape.title, studyUid: studyUidOf(shape), objects: shape.objects, bytes, folders };
}

/** @param index of the object, from 0 */
function studyUidOf({ title, objects, studies = 1 }: Shape, index = 0): string {
  const study = Math.floor((index * studies) / objects);
  return namedUid(`bench ${title} study${study === 0 ? '' : ` ${study}`}`);
}

/** @param number from 1 */
export const seriesUidOf = ({ title }: Shape, number: number): string =>
  namedUid(`bench ${title} series ${number}`);

/** @param index from 0 */
export const sopInstanceUidOf = ({ title }: Shape, index: number): string =>
  namedUid(`bench ${title} object ${index}`);

/** @returns the length of the file */
function writeObject(shape: Shape, index: number, path: string, noise: Noise): number {
  const { sopClassUid, modality, rows, columns, frames, title } = shape;
  const sopInstanceUid = sopInstanceUidOf(shape, index);
  const seriesNumber = Math.floor(index / shape.perSeries) + 1;
  const elements: Element[] = imageHeader({
    sopClassUid,
    sopInstanceUid,
    studyUid: studyUidOf(shape, index),
    seriesUid: seriesUidOf(shape, seriesNumber),
    frameOfReferenceUid: namedUid(`bench ${title} frame of reference`),
    modality,
    seriesNumber,
    instanceNumber: (index % shape.perSeries) + 1,
    rows,
    columns,
  });
  if (frames > 1) elements.push(...multiFrameModule(frames, namedUid(`bench ${title} dimensions`)));
  const frameBytes = rows * columns * 2;
  const head = Buffer.concat([
    buildFileMeta({ sopClassUid, sopInstanceUid, transferSyntaxUid: EXPLICIT_LE }),
    encode(elements),
    elementHeader('7FE00010', 'OW', frames * frameBytes),
  ]);
  const file = openSync(path, 'wx');
  try {
    writeSync(file, head);
    for (let frame = 0; frame < frames; frame++) writeSync(file, noise.next());
  } finally {
    closeSync(file);
  }
  return head.length + frames * frameBytes;
}
