/**
 * Which frames can be decoded, and how large they become: asked by the doors before they send anything to a worker.
 * Apart from decode-frame.ts, because the codecs are loaded in the workers only.
 */
import type { ImagePixel } from './image-pixel.ts';

/** More than this is not decoded: a frame of a whole-slide image has 1 MB, the largest mammogram 60 MB. */
export const MAX_DECODED_BYTES = 512 * 1024 * 1024;

export type Codec = 'native' | 'rle' | 'jpeg' | 'jpeg-ls' | 'jpeg-2000' | 'htj2k' | 'jpeg-xl';

export const CODECS: Readonly<Record<string, Codec>> = {
  '1.2.840.10008.1.2': 'native',
  '1.2.840.10008.1.2.1': 'native',
  '1.2.840.10008.1.2.1.98': 'native',
  '1.2.840.10008.1.2.1.99': 'native',
  '1.2.840.10008.1.2.2': 'native',
  '1.2.840.10008.1.2.5': 'rle',
  '1.2.840.10008.1.2.4.50': 'jpeg',
  '1.2.840.10008.1.2.4.51': 'jpeg',
  '1.2.840.10008.1.2.4.57': 'jpeg',
  '1.2.840.10008.1.2.4.70': 'jpeg',
  '1.2.840.10008.1.2.4.80': 'jpeg-ls',
  '1.2.840.10008.1.2.4.81': 'jpeg-ls',
  '1.2.840.10008.1.2.4.90': 'jpeg-2000',
  '1.2.840.10008.1.2.4.91': 'jpeg-2000',
  '1.2.840.10008.1.2.4.110': 'jpeg-xl',
  '1.2.840.10008.1.2.4.112': 'jpeg-xl',
  '1.2.840.10008.1.2.4.201': 'htj2k',
  '1.2.840.10008.1.2.4.202': 'htj2k',
  '1.2.840.10008.1.2.4.203': 'htj2k',
};

/** Whether frames of this syntax can be decoded at all. */
export function isDecodable(transferSyntaxUid: string): boolean {
  return transferSyntaxUid in CODECS;
}

/** Bytes of one frame once decoded. */
export function decodedLength(pixel: ImagePixel): number {
  return Math.ceil((pixel.rows * pixel.columns * pixel.samplesPerPixel * pixel.bitsAllocated) / 8);
}
