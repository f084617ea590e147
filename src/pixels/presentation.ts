/**
 * How a frame's stored values become grey or colour: modality and VOI transformations, palette, as plain values.
 * Read from the header by dicomweb/rendered.ts and handed to a worker with the frame.
 * Enhanced multi-frame objects say it per frame or shared (PS3.3 C.7.6.16); there the frame's own item goes first.
 */
import { type DataSet, number, text, texts } from '../dicom/data-set.ts';
import { Failure } from '../failure.ts';

export interface Window {
  readonly center: number;
  readonly width: number;
  readonly shape: 'LINEAR' | 'LINEAR_EXACT' | 'SIGMOID';
}

/** A lookup table (PS3.3 C.11.1.1): values below `first` take the first entry, those above the last. */
export interface LookupTable {
  readonly first: number;
  readonly bits: number;
  readonly entries: Uint16Array;
}

export interface Presentation {
  readonly rescale: { readonly slope: number; readonly intercept: number };
  readonly modalityTable?: LookupTable;
  readonly window?: Window;
  readonly voiTable?: LookupTable;
  /** PresentationLUTShape INVERSE, or MONOCHROME1 without one. */
  readonly inverse: boolean;
  readonly palette?: { readonly red: LookupTable; readonly green: LookupTable; readonly blue: LookupTable };
  /** Stored values that are no image (PixelPaddingValue), left out when the window is taken from the pixels. */
  readonly padding?: { readonly from: number; readonly to: number };
}

const SHARED_GROUPS = '52009229';
const PER_FRAME_GROUPS = '52009230';

/** @param frame counted from 1 */
export function presentationOf(header: DataSet, frame: number, signed: boolean): Presentation {
  const transformation = functionalGroup(header, frame, '00289145') ?? header;
  const voi = functionalGroup(header, frame, '00289132') ?? header;
  const modalityTable = tableIn(header, '00283000', signed);
  const voiTable = tableIn(voi, '00283010', signed);
  const window = windowIn(voi);
  const palette = paletteIn(header);
  const padding = paddingIn(header);
  const shape = text(header, '20500020');
  return {
    rescale: {
      slope: number(transformation, '00281053') ?? 1,
      intercept: number(transformation, '00281052') ?? 0,
    },
    inverse: shape === undefined ? text(header, '00280004') === 'MONOCHROME1' : shape === 'INVERSE',
    ...(modalityTable && { modalityTable }),
    ...(window && { window }),
    ...(voiTable && { voiTable }),
    ...(palette && { palette }),
    ...(padding && { padding }),
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

function tableIn(dataSet: DataSet, sequence: string, signed: boolean): LookupTable | undefined {
  const item = dataSet.elements.get(sequence)?.items?.[0];
  return item && table(item, '00283002', '00283006', signed);
}

function paletteIn(header: DataSet): Presentation['palette'] {
  if (text(header, '00280004') !== 'PALETTE COLOR') return undefined;
  if (header.elements.has('00281221'))
    throw new Failure(
      'unsupported',
      '(0028,1221) SegmentedRedPaletteColorLookupTableData cannot be rendered yet',
    );
  const red = table(header, '00281101', '00281201', false);
  const green = table(header, '00281102', '00281202', false);
  const blue = table(header, '00281103', '00281203', false);
  if (!red || !green || !blue)
    throw new Failure(
      'invalid',
      '(0028,0004) PhotometricInterpretation is PALETTE COLOR, but a palette is missing',
    );
  return { red, green, blue };
}

/** Descriptor: number of entries (0 is 65,536), first stored value mapped, bits an entry (PS3.3 C.11.1.1). */
function table(dataSet: DataSet, descriptor: string, data: string, signed: boolean): LookupTable | undefined {
  const described = dataSet.elements.get(descriptor)?.value;
  const value = dataSet.elements.get(data)?.value;
  if (!described || described.length < 6 || !value || value.length === 0) return undefined;
  const view = new DataView(described.buffer, described.byteOffset, described.length);
  const little = !dataSet.bigEndian;
  const count = view.getUint16(0, little) || 65_536;
  const first = signed ? view.getInt16(2, little) : view.getUint16(2, little);
  const bits = view.getUint16(4, little);
  const bytes = new DataView(value.buffer, value.byteOffset, value.length);
  const entries = new Uint16Array(count);
  // Eight-bit entries may be packed one a byte, whatever the VR.
  const packed = value.length < count * 2;
  const present = Math.min(count, packed ? value.length : value.length >> 1);
  for (let index = 0; index < count; index++) {
    const at = Math.min(index, present - 1);
    entries[index] = packed ? bytes.getUint8(at) : bytes.getUint16(at * 2, little);
  }
  return { first, bits: bits >= 8 && bits <= 16 ? bits : 16, entries };
}

function paddingIn(header: DataSet): Presentation['padding'] {
  const value = number(header, '00280120');
  if (value === undefined) return undefined;
  const limit = number(header, '00280121') ?? value;
  return { from: Math.min(value, limit), to: Math.max(value, limit) };
}

/** Whether the header describes an image at all, by its photometric interpretation. */
export function isImage(header: DataSet): boolean {
  return texts(header, '00280004').length > 0;
}
