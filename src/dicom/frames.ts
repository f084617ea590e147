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

/** The byte ranges of each frame, by its index: of native frames they are reckoned when they are asked for. */
export interface FramePlaces {
  readonly length: number;
  at(index: number): readonly FrameRange[] | undefined;
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
 * Fewer than there should be where encapsulated pixels end early: those are the first ones, and whole.
 * Failure 'invalid' when dimensions and pixels do not fit together; 'unsupported' when nothing says which fragments
 * make a frame: no table, and no frameStarts that fit.
 * Sources: PS3.5 8.1.1 and A.4, PS3.3 C.7.6.3.1.8 for the Extended Offset Table.
 */
export function frameLocations(of: FramesOf): FramePlaces {
  if (!Number.isSafeInteger(of.numberOfFrames) || of.numberOfFrames < 1) {
    throw new Failure('invalid', `${NUMBER_OF_FRAMES} is no positive whole number`, {
      attribute: NUMBER_OF_FRAMES,
    });
  }
  return of.pixel.encapsulated ? encapsulatedFrames(of) : nativeFrames(of);
}

/** Bytes of a fragment that beginsFrame wants to see. */
export const FRAME_START_BYTES = 12;

/** Whether the place of encapsulated pixels tells where their frames are, whatever else the object says. */
export function tellsFrames({ fragments, basicOffsetTable }: PixelLocation, numberOfFrames: number): boolean {
  if (!fragments) return false;
  if (numberOfFrames === 1 || fragments.offsets.length === numberOfFrames) return true;
  return basicOffsetTable?.length === numberOfFrames && indexesOf(basicOffsetTable, fragments) !== undefined;
}

/**
 * Whether only the fragments themselves can tell which of them make a frame: not as many as frames, and no table that
 * fits. Their first bytes then go into frameStarts.
 */
export function hasToLookInside({ pixel, numberOfFrames, extendedOffsetTable }: FramesOf): boolean {
  if (!pixel.fragments || numberOfFrames < 2) return false;
  if (extendedOffsetTable && extendedOffsetTable.offsets.length > 0) return false;
  return !tellsFrames(pixel, numberOfFrames);
}

/**
 * Whether a fragment's first bytes begin a codestream: SOI of JPEG and JPEG-LS, SOC with SIZ of JPEG 2000 and HTJ2K,
 * the signature of a JP2 file, or the header of RLE with its first segment behind it. No fragment that goes on can
 * begin so: these markers stand in no coded data (in that of RLE, hardly ever).
 */
export function beginsFrame(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return /^(ffd8ff|ff4fff51|0000000c6a502020|0[1-f]00000040000000)/.test(head);
}

/** Not a list: a frame may be one bit, and a small object then has more of them than memory holds places. */
function nativeFrames(of: FramesOf): FramePlaces {
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
  return {
    length: numberOfFrames,
    at(frame) {
      if (frame < 0 || frame >= numberOfFrames) return undefined;
      const firstBit = frame * frameBits;
      const firstByte = Math.floor(firstBit / 8);
      const length = Math.ceil((firstBit + frameBits) / 8) - firstByte;
      const range = { offset: pixel.offset + firstByte, length };
      const bitOffset = firstBit % 8;
      return [bitOffset === 0 ? range : { ...range, bitOffset }];
    },
  };
}

function encapsulatedFrames(of: FramesOf): FrameRange[][] {
  const { pixel, numberOfFrames } = of;
  if (!pixel.fragments)
    throw new Failure('unsupported', `${PIXEL_DATA} has more fragments than are kept in mind`);
  const { fragments } = pixel;
  const ranges = fragments.offsets.map((offset, at) => ({ offset, length: fragments.lengths[at]! }));
  if (ranges.length === 0)
    throw new Failure('invalid', `${PIXEL_DATA} has no fragment`, { attribute: PIXEL_DATA });
  if (of.extendedOffsetTable && of.extendedOffsetTable.offsets.length > 0) {
    return byExtendedOffsetTable(of.extendedOffsetTable, fragments, numberOfFrames);
  }
  if (numberOfFrames === 1) return [ranges];
  const beginningAt = (starts: readonly number[]): FrameRange[][] =>
    starts.map((start, frame) => ranges.slice(start, starts[frame + 1]));
  if (pixel.basicOffsetTable?.length === numberOfFrames) {
    const starts = indexesOf(pixel.basicOffsetTable, fragments);
    if (starts) return beginningAt(starts);
  }
  if (ranges.length === numberOfFrames) return ranges.map((range) => [range]);
  const starts = of.frameStarts?.flatMap((isStart, fragment) => (isStart ? [fragment] : []));
  // Where there are fewer fragments than frames, each has to begin one: then the last frames are missing.
  if (starts?.length === Math.min(ranges.length, numberOfFrames) && starts[0] === 0)
    return beginningAt(starts);
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
  fragments: Fragments,
  numberOfFrames: number,
): FrameRange[][] {
  const fail = () =>
    new Failure('invalid', `(7FE0,0001) ExtendedOffsetTable does not fit the fragments of ${PIXEL_DATA}`, {
      attribute: '(7FE0,0001) ExtendedOffsetTable',
    });
  if (table.offsets.length !== numberOfFrames * 8 || table.lengths.length !== numberOfFrames * 8)
    throw fail();
  const indexes = indexesOf(numbers64(table.offsets), fragments);
  if (!indexes) throw fail();
  const lengths = numbers64(table.lengths);
  return indexes.map((index, frame) => {
    const length = lengths[frame]!;
    if (length > fragments.lengths[index]!) throw fail();
    return [{ offset: fragments.offsets[index]!, length }];
  });
}

type Fragments = NonNullable<PixelLocation['fragments']>;

/**
 * The fragment each offset of a table points at; fewer where the next offset is where the last fragment ends, since the
 * pixels then end early. undefined unless the offsets begin at the first fragment, rise, and hit fragments exactly.
 */
function indexesOf(table: readonly number[], { offsets, lengths }: Fragments): number[] | undefined {
  const base = offsets[0]! - ITEM_HEADER;
  const end = offsets.at(-1)! + lengths.at(-1)!;
  const indexes: number[] = [];
  let fragment = 0;
  for (const offset of table) {
    const at = base + offset;
    if (at === end && indexes.length > 0) break;
    while (fragment < offsets.length && offsets[fragment]! - ITEM_HEADER < at) fragment++;
    if (fragment === offsets.length || offsets[fragment]! - ITEM_HEADER !== at) return undefined;
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
