/**
 * Where each frame of an object lies: byte ranges only, so that WADO and the renderer read exactly those bytes.
 * Called by dicomweb (frames) and pixels, with the place the header scan found and the image's dimensions.
 */

import { Failure } from '../failure.ts';
import type { PixelLocation } from './scan.ts';

export interface FrameRange {
  /** From the start of the data set. */
  readonly offset: number;
  readonly length: number;
  /** Frames of single bits that begin inside a byte: the bits of the first byte to pass over, lowest first. */
  readonly bitOffset?: number;
}

export interface FramesOf {
  pixel: PixelLocation;
  numberOfFrames: number;
  rows: number;
  columns: number;
  samplesPerPixel: number;
  bitsAllocated: number;
  /** Raw values of (7FE0,0001) and (7FE0,0002). */
  extendedOffsetTable?: { offsets: Uint8Array; lengths: Uint8Array };
  /** Per fragment whether it begins a frame, by its first bytes (beginsFrame); asked for by hasToLookInside. */
  frameStarts?: readonly boolean[];
}

const PIXEL_DATA = '(7FE0,0010) PixelData';
const NUMBER_OF_FRAMES = '(0028,0008) NumberOfFrames';
const ITEM_HEADER = 8;

/**
 * Per frame its byte ranges, in order: one for native pixels, the fragments (without item headers) for encapsulated.
 * Failure 'invalid' when dimensions and pixels do not fit together; 'unsupported' when nothing says which fragments
 * make a frame: no table, and no frameStarts that fit.
 * Sources: PS3.5 8.1.1 and A.4, PS3.3 C.7.6.3.1.8 for the Extended Offset Table.
 */
export function frameLocations(of: FramesOf): FrameRange[][] {
  if (!Number.isSafeInteger(of.numberOfFrames) || of.numberOfFrames < 1) {
    throw new Failure('invalid', `${NUMBER_OF_FRAMES} is no positive whole number`, {
      attribute: NUMBER_OF_FRAMES,
    });
  }
  return of.pixel.encapsulated ? encapsulatedFrames(of) : nativeFrames(of);
}

/** Bytes of a fragment that beginsFrame wants to see. */
export const FRAME_START_BYTES = 12;

/**
 * Whether only the fragments themselves can tell which of them make a frame: more of them than frames, and no table
 * that fits. Their first bytes then go into frameStarts.
 */
export function hasToLookInside({ pixel, numberOfFrames, extendedOffsetTable }: FramesOf): boolean {
  const { fragments, basicOffsetTable } = pixel;
  if (!fragments || numberOfFrames < 2 || fragments.offsets.length <= numberOfFrames) return false;
  if (extendedOffsetTable && extendedOffsetTable.offsets.length > 0) return false;
  const ranges = fragments.offsets.map((offset) => ({ offset }));
  return basicOffsetTable?.length !== numberOfFrames || !indexesOf(basicOffsetTable, ranges);
}

/**
 * Whether a fragment's first bytes begin a codestream: SOI of JPEG and JPEG-LS, SOC with SIZ of JPEG 2000 and HTJ2K, or
 * the signature of a JP2 file. No fragment that goes on can begin so: these markers stand in no coded data.
 */
export function beginsFrame(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return /^(ffd8ff|ff4fff51|0000000c6a502020)/.test(head);
}

function nativeFrames(of: FramesOf): FrameRange[][] {
  const { pixel, numberOfFrames } = of;
  const present = pixel.length ?? 0;
  const pixels = positive(of.rows, '(0028,0010) Rows') * positive(of.columns, '(0028,0011) Columns');
  const bits = positive(of.bitsAllocated, '(0028,0100) BitsAllocated');
  const samples = positive(of.samplesPerPixel, '(0028,0002) SamplesPerPixel');
  let frameBits = pixels * bits * samples;
  // YBR_FULL_422 and YBR_PARTIAL_422 share the colour samples of two neighbours: two samples a pixel, not three.
  const sharedBits = pixels * bits * 2;
  if (samples === 3 && evenBytes(sharedBits * numberOfFrames) === present) frameBits = sharedBits;
  const needed = Math.ceil((frameBits * numberOfFrames) / 8);
  if (needed > present) {
    throw new Failure(
      'invalid',
      `${PIXEL_DATA} has ${present} bytes where ${numberOfFrames} frames need ${needed}`,
      {
        attribute: PIXEL_DATA,
      },
    );
  }
  return Array.from({ length: numberOfFrames }, (_, frame) => {
    const firstBit = frame * frameBits;
    const firstByte = Math.floor(firstBit / 8);
    const length = Math.ceil((firstBit + frameBits) / 8) - firstByte;
    const range = { offset: pixel.offset + firstByte, length };
    const bitOffset = firstBit % 8;
    return [bitOffset === 0 ? range : { ...range, bitOffset }];
  });
}

function encapsulatedFrames(of: FramesOf): FrameRange[][] {
  const { pixel, numberOfFrames } = of;
  if (!pixel.fragments)
    throw new Failure('unsupported', `${PIXEL_DATA} has more fragments than are kept in mind`);
  const { offsets, lengths } = pixel.fragments;
  const ranges = offsets.map((offset, index) => ({ offset, length: lengths[index]! }));
  if (ranges.length === 0)
    throw new Failure('invalid', `${PIXEL_DATA} has no fragment`, { attribute: PIXEL_DATA });
  if (of.extendedOffsetTable && of.extendedOffsetTable.offsets.length > 0) {
    return byExtendedOffsetTable(of.extendedOffsetTable, ranges, numberOfFrames);
  }
  if (numberOfFrames === 1) return [ranges];
  if (pixel.basicOffsetTable?.length === numberOfFrames) {
    const starts = indexesOf(pixel.basicOffsetTable, ranges);
    if (starts) return starts.map((start, frame) => ranges.slice(start, starts[frame + 1]));
  }
  if (ranges.length === numberOfFrames) return ranges.map((range) => [range]);
  const starts = of.frameStarts?.flatMap((isStart, fragment) => (isStart ? [fragment] : []));
  if (starts?.length === numberOfFrames && starts[0] === 0)
    return starts.map((start, frame) => ranges.slice(start, starts[frame + 1]));
  if (pixel.basicOffsetTable && pixel.basicOffsetTable.length > 0) {
    throw new Failure(
      'invalid',
      `the Basic Offset Table of ${PIXEL_DATA} fits neither its ${ranges.length} fragments nor its ${numberOfFrames} frames`,
      { attribute: PIXEL_DATA },
    );
  }
  throw new Failure(
    'unsupported',
    `no offset table says which of the ${ranges.length} fragments of ${PIXEL_DATA} make its ${numberOfFrames} frames`,
    { attribute: PIXEL_DATA },
  );
}

function byExtendedOffsetTable(
  table: { offsets: Uint8Array; lengths: Uint8Array },
  ranges: { offset: number; length: number }[],
  numberOfFrames: number,
): FrameRange[][] {
  const fail = () =>
    new Failure('invalid', `(7FE0,0001) ExtendedOffsetTable does not fit the fragments of ${PIXEL_DATA}`, {
      attribute: '(7FE0,0001) ExtendedOffsetTable',
    });
  if (table.offsets.length !== numberOfFrames * 8 || table.lengths.length !== numberOfFrames * 8)
    throw fail();
  const indexes = indexesOf(numbers64(table.offsets), ranges);
  if (!indexes) throw fail();
  return numbers64(table.lengths).map((length, frame) => {
    const range = ranges[indexes[frame]!]!;
    if (length > range.length) throw fail();
    return [{ offset: range.offset, length }];
  });
}

/** The fragment each offset points at; undefined unless they begin at the first, rise, and hit fragments exactly. */
function indexesOf(offsets: number[], ranges: { offset: number }[]): number[] | undefined {
  const base = ranges[0]!.offset - ITEM_HEADER;
  const indexes: number[] = [];
  let fragment = 0;
  for (const offset of offsets) {
    while (fragment < ranges.length && ranges[fragment]!.offset - ITEM_HEADER < base + offset) fragment++;
    if (fragment === ranges.length || ranges[fragment]!.offset - ITEM_HEADER !== base + offset)
      return undefined;
    if (fragment === indexes.at(-1)) return undefined;
    indexes.push(fragment);
  }
  return indexes[0] === 0 ? indexes : undefined;
}

function numbers64(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 8 }, (_, index) => Number(view.getBigUint64(index * 8, true)));
}

function positive(value: number, attribute: string): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Failure('invalid', `${attribute} is missing or no positive whole number`, { attribute });
}

function evenBytes(bits: number): number {
  const bytes = Math.ceil(bits / 8);
  return bytes + (bytes % 2);
}
