/**
 * What the Image Pixel module (PS3.3 C.7.6.3) says of an object's pixels: a plain value that can go to a worker.
 * Read from the header by dicomweb before frames are located, decoded or rendered.
 */
import { type DataSet, int, text } from '../dicom/data-set.ts';
import type { DicomJson } from '../dicom/dicom-json.ts';

export interface ImagePixel {
  readonly transferSyntaxUid: string;
  readonly numberOfFrames: number;
  readonly rows: number;
  readonly columns: number;
  readonly samplesPerPixel: number;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly signed: boolean;
  /** 0: samples of a pixel stand together; 1: each sample has a plane. */
  readonly planarConfiguration: 0 | 1;
  readonly photometricInterpretation: string;
  /** Float (7FE0,0008) or Double Float Pixel Data (7FE0,0009): 32 or 64 bits of IEEE 754 a sample. */
  readonly isFloat?: true;
}

const FLOAT_BITS: Readonly<Record<string, number>> = { '7FE00008': 32, '7FE00009': 64 };

/**
 * Missing numbers come as 0 where there is no sensible default; frameLocations and the decoder refuse them by name.
 * @param pixelTag the element that holds the pixels, as the header scan found it
 */
export function imagePixelOf(
  header: DataSet,
  transferSyntaxUid: string,
  pixelTag: string = '7FE00010',
): ImagePixel {
  const samplesPerPixel = int(header, '00280002') ?? 1;
  const floatBits = FLOAT_BITS[pixelTag];
  const bitsAllocated = floatBits ?? int(header, '00280100') ?? 0;
  const bitsStored = floatBits ?? int(header, '00280101') ?? bitsAllocated;
  return {
    transferSyntaxUid,
    numberOfFrames: int(header, '00280008') ?? 1,
    rows: int(header, '00280010') ?? 0,
    columns: int(header, '00280011') ?? 0,
    samplesPerPixel,
    bitsAllocated,
    bitsStored,
    highBit: floatBits ? bitsStored - 1 : (int(header, '00280102') ?? bitsStored - 1),
    signed: int(header, '00280103') === 1,
    planarConfiguration: int(header, '00280006') === 1 ? 1 : 0,
    photometricInterpretation: text(header, '00280004') ?? (samplesPerPixel === 3 ? 'RGB' : 'MONOCHROME2'),
    ...(floatBits && { isFloat: true }),
  };
}

/**
 * The same from the attributes the index keeps, which lack PlanarConfiguration: enough to locate frames, not to
 * decode them. undefined when the index lacks the dimensions.
 */
export function imagePixelOfJson(attributes: DicomJson, transferSyntaxUid: string): ImagePixel | undefined {
  const value = (tag: string): number | undefined => {
    const first = attributes[tag]?.Value?.[0];
    return typeof first === 'number' && Number.isSafeInteger(first) ? first : undefined;
  };
  const [rows, columns, bitsAllocated] = [value('00280010'), value('00280011'), value('00280100')];
  if (rows === undefined || columns === undefined || bitsAllocated === undefined) return undefined;
  const bitsStored = value('00280101') ?? bitsAllocated;
  return {
    transferSyntaxUid,
    numberOfFrames: value('00280008') ?? 1,
    rows,
    columns,
    samplesPerPixel: value('00280002') ?? 1,
    bitsAllocated,
    bitsStored,
    highBit: value('00280102') ?? bitsStored - 1,
    signed: value('00280103') === 1,
    planarConfiguration: 0,
    photometricInterpretation: String(attributes['00280004']?.Value?.[0] ?? 'MONOCHROME2'),
  };
}
