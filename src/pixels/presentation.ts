/**
 * How a frame's stored values become grey or colour: modality and VOI transformations, palette, as plain values.
 * Read from the header by dicomweb/rendered.ts and handed to a worker with the frame.
 * Enhanced multi-frame objects say it per frame or shared (PS3.3 C.7.6.16); there the frame's own item goes first.
 */
import { type DataSet, int, number, text, texts } from '../dicom/data-set.ts';
import { Failure } from '../failure.ts';
import { type LookupTable, lookupTable } from './lookup-table.ts';
import { type Overlay, overlaysOf } from './overlay.ts';

export interface Window {
  readonly center: number;
  readonly width: number;
  readonly shape: 'LINEAR' | 'LINEAR_EXACT' | 'SIGMOID';
}

export interface Palette {
  readonly red: LookupTable;
  readonly green: LookupTable;
  readonly blue: LookupTable;
}

export interface Presentation {
  readonly rescale: { readonly slope: number; readonly intercept: number };
  readonly modalityTable?: LookupTable;
  readonly window?: Window;
  readonly voiTable?: LookupTable;
  /** PresentationLUTShape INVERSE, or MONOCHROME1 without one. */
  readonly inverse: boolean;
  readonly palette?: Palette;
  /** Stored values that are no image (PixelPaddingValue), left out when the window is taken from the pixels. */
  readonly padding?: { readonly from: number; readonly to: number };
  readonly overlays?: readonly Overlay[];
}

/** Of the items of the Modality and the VOI LUT Sequence. */
const TABLE = { descriptor: '00283002', data: '00283006' };
const RED = { descriptor: '00281101', data: '00281201', segments: '00281221' };
const GREEN = { descriptor: '00281102', data: '00281202', segments: '00281222' };
const BLUE = { descriptor: '00281103', data: '00281203', segments: '00281223' };

/** A mask has its two values also where a frame of it has only one. */
const BLACK_AND_WHITE: Window = { center: 0.5, width: 1, shape: 'LINEAR_EXACT' };
const SHARED_GROUPS = '52009229';
const PER_FRAME_GROUPS = '52009230';

/** @param frame counted from 1 */
export function presentationOf(header: DataSet, frame: number, signed: boolean): Presentation {
  const transformation = functionalGroup(header, frame, '00289145') ?? header;
  const voi = functionalGroup(header, frame, '00289132') ?? header;
  const modalityTable = tableIn(header, '00283000', signed);
  const rescale = {
    slope: number(transformation, '00281053') ?? 1,
    intercept: number(transformation, '00281052') ?? 0,
  };
  // What a modality table gives is never negative; rescaled values may be, and then the VOI table begins below zero.
  const voiTable = tableIn(voi, '00283010', !modalityTable && (signed || rescale.intercept < 0));
  const window = windowIn(voi) ?? (int(header, '00280101') === 1 && !voiTable ? BLACK_AND_WHITE : undefined);
  const palette = paletteIn(header, signed);
  const overlays = overlaysOf(header, frame);
  const padding = paddingIn(header);
  const shape = text(header, '20500020');
  return {
    rescale,
    inverse: shape === undefined ? text(header, '00280004') === 'MONOCHROME1' : shape === 'INVERSE',
    ...(modalityTable && { modalityTable }),
    ...(window && { window }),
    ...(voiTable && { voiTable }),
    ...(palette && { palette }),
    ...(padding && { padding }),
    ...(overlays.length > 0 && { overlays }),
  };
}

/** The first item of a functional group macro that holds for the frame. */
function functionalGroup(header: DataSet, frame: number, macro: string): DataSet | undefined {
  const own = header.elements.get(PER_FRAME_GROUPS)?.items?.[frame - 1];
  const shared = header.elements.get(SHARED_GROUPS)?.items?.[0];
  return own?.elements.get(macro)?.items?.[0] ?? shared?.elements.get(macro)?.items?.[0];
}

function windowIn(dataSet: DataSet): Window | undefined {
  const center = number(dataSet, '00281050');
  const width = number(dataSet, '00281051');
  if (center === undefined || width === undefined) return undefined;
  const shape = text(dataSet, '00281056');
  if (width <= 0) return undefined;
  if (shape === 'LINEAR_EXACT' || shape === 'SIGMOID') return { center, width, shape };
  // LINEAR is not defined below 1 (C.11.2.1.2); images with small rescale slopes say it and mean the exact one.
  return { center, width, shape: width < 1 ? 'LINEAR_EXACT' : 'LINEAR' };
}

/** The first item that holds a whole table: further ones are alternatives. */
function tableIn(dataSet: DataSet, sequence: string, signed: boolean): LookupTable | undefined {
  for (const item of dataSet.elements.get(sequence)?.items ?? []) {
    const table = lookupTable(item, TABLE, signed);
    if (table) return table;
  }
  return undefined;
}

function paletteIn(header: DataSet, signed: boolean): Presentation['palette'] {
  const photometric = text(header, '00280004');
  if (photometric !== 'PALETTE COLOR' && photometric !== 'ARGB') return undefined;
  const [red, green, blue] = [RED, GREEN, BLUE].map((tags) => lookupTable(header, tags, signed));
  if (photometric === 'ARGB' && !red) return undefined;
  if (!red || !green || !blue)
    throw new Failure(
      'invalid',
      `(0028,0004) PhotometricInterpretation is ${photometric}, but a palette is missing`,
    );
  return { red, green, blue };
}

/** PixelPaddingValue and its range limit, or those of float pixels (PS3.3 C.7.5.1.1.2). */
function paddingIn(header: DataSet): Presentation['padding'] {
  const first = (...tags: string[]): number | undefined =>
    tags.map((tag) => number(header, tag)).find((value) => value !== undefined);
  const value = first('00280120', '00280122', '00280123');
  if (value === undefined) return undefined;
  const limit = first('00280121', '00280124', '00280125') ?? value;
  return { from: Math.min(value, limit), to: Math.max(value, limit) };
}

/** Whether the header describes an image at all, by its photometric interpretation. */
export function isImage(header: DataSet): boolean {
  return texts(header, '00280004').length > 0;
}
