/**
 * The transfer syntaxes that pixels can be compressed to here, and how much may be lost with those that lose something.
 * Rules name them by UID or by the keyword of PS3.6 Table A-1; pixels/encodable.ts says which pixels fit.
 */
import {
  EXPLICIT_LE,
  HTJ2K_LOSSLESS,
  HTJ2K_LOSSLESS_RPCL,
  IMPLICIT_LE,
  JPEG_2000,
  JPEG_2000_LOSSLESS,
  JPEG_BASELINE,
  JPEG_LOSSLESS,
  JPEG_LOSSLESS_SV1,
  JPEG_LS_LOSSLESS,
  JPEG_LS_NEAR_LOSSLESS,
  RLE_LOSSLESS,
} from './transfer-syntax.ts';

/** How much may be lost, in the measure of the codec. */
export type Loss =
  /** JPEG: 1 to 100, as libjpeg counts. */
  | { readonly quality: number }
  /** JPEG 2000: so many times smaller than the native pixels. */
  | { readonly ratio: number }
  /** JPEG-LS: no sample differs by more. */
  | { readonly maxError: number };

export type LossMeasure = 'quality' | 'ratio' | 'maxError';

export const LOSSLESS: readonly string[] = [
  RLE_LOSSLESS,
  JPEG_LOSSLESS,
  JPEG_LOSSLESS_SV1,
  JPEG_LS_LOSSLESS,
  JPEG_2000_LOSSLESS,
  HTJ2K_LOSSLESS,
  HTJ2K_LOSSLESS_RPCL,
];

/** With the measure that each takes. */
export const LOSSY: Readonly<Record<string, LossMeasure>> = {
  [JPEG_BASELINE]: 'quality',
  [JPEG_LS_NEAR_LOSSLESS]: 'maxError',
  [JPEG_2000]: 'ratio',
};

/** What objects can be sent in because a rule says so, by keyword. */
export const NAMED: Readonly<Record<string, string>> = {
  ExplicitVRLittleEndian: EXPLICIT_LE,
  ImplicitVRLittleEndian: IMPLICIT_LE,
  RLELossless: RLE_LOSSLESS,
  JPEGLossless: JPEG_LOSSLESS,
  JPEGLosslessSV1: JPEG_LOSSLESS_SV1,
  JPEGLSLossless: JPEG_LS_LOSSLESS,
  JPEG2000Lossless: JPEG_2000_LOSSLESS,
  HTJ2KLossless: HTJ2K_LOSSLESS,
  HTJ2KLosslessRPCL: HTJ2K_LOSSLESS_RPCL,
  JPEGBaseline8Bit: JPEG_BASELINE,
  JPEGLSNearLossless: JPEG_LS_NEAR_LOSSLESS,
  JPEG2000: JPEG_2000,
};
