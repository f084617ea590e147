/**
 * Which frames can be decoded, how large they become, and what the header of the decoded object has to say: asked by
 * the doors before they send anything to a worker.
 * Apart from decode-frame.ts, because the codecs are loaded in the workers only.
 */
import type { ImagePixel } from './image-pixel.ts';

/** More than this is not decoded: a frame of a whole-slide image has 1 MB, the largest mammogram 60 MB. */
export const MAX_DECODED_BYTES = 256 * 1024 * 1024;

export type Codec = 'native' | 'deflated' | 'rle' | 'jpeg' | 'jpeg-ls' | 'jpeg-2000' | 'htj2k' | 'jpeg-xl';

export const CODECS: Readonly<Record<string, Codec>> = {
  '1.2.840.10008.1.2': 'native',
  '1.2.840.10008.1.2.1': 'native',
  '1.2.840.10008.1.2.1.98': 'native',
  '1.2.840.10008.1.2.1.99': 'native',
  '1.2.840.10008.1.2.2': 'native',
  '1.2.840.10008.1.2.5': 'rle',
  '1.2.840.10008.1.2.4.50': 'jpeg',
  '1.2.840.10008.1.2.4.51': 'jpeg',
  '1.2.840.10008.1.2.4.53': 'jpeg',
  '1.2.840.10008.1.2.4.55': 'jpeg',
  '1.2.840.10008.1.2.4.57': 'jpeg',
  '1.2.840.10008.1.2.4.70': 'jpeg',
  '1.2.840.10008.1.2.4.80': 'jpeg-ls',
  '1.2.840.10008.1.2.4.81': 'jpeg-ls',
  '1.2.840.10008.1.2.4.90': 'jpeg-2000',
  '1.2.840.10008.1.2.4.91': 'jpeg-2000',
  '1.2.840.10008.1.2.8.1': 'deflated',
  '1.2.840.10008.1.2.4.110': 'jpeg-xl',
  '1.2.840.10008.1.2.4.112': 'jpeg-xl',
  '1.2.840.10008.1.2.4.201': 'htj2k',
  '1.2.840.10008.1.2.4.202': 'htj2k',
  '1.2.840.10008.1.2.4.203': 'htj2k',
};

const LOSSY_METHODS: Readonly<Record<string, string>> = {
  '1.2.840.10008.1.2.4.50': 'ISO_10918_1',
  '1.2.840.10008.1.2.4.51': 'ISO_10918_1',
  '1.2.840.10008.1.2.4.53': 'ISO_10918_1',
  '1.2.840.10008.1.2.4.55': 'ISO_10918_1',
  '1.2.840.10008.1.2.4.81': 'ISO_14495_1',
  '1.2.840.10008.1.2.4.91': 'ISO_15444_1',
  '1.2.840.10008.1.2.4.112': 'ISO_18181_1',
  '1.2.840.10008.1.2.4.203': 'ISO_15444_15',
};

/** Whether frames of this syntax can be decoded at all. */
export function isDecodable(transferSyntaxUid: string): boolean {
  return transferSyntaxUid in CODECS;
}

/** Bytes of one frame once decoded. */
export function decodedLength(pixel: ImagePixel): number {
  return Math.ceil((pixel.rows * pixel.columns * pixel.samplesPerPixel * pixel.bitsAllocated) / 8);
}

/**
 * What the Image Pixel module says once the frames are decoded to little endian samples: the same, but that colour
 * comes by pixel and as RGB where a decoder turns YCbCr back. All frames of an object come out alike, so its header can
 * be written before the first is decoded. Values as they lie in native pixels stay as they are.
 * Sources: PS3.5 8.2.1 to 8.2.4 (what each compression makes of Photometric Interpretation and Planar Configuration).
 */
export function decodedPixel(pixel: ImagePixel): ImagePixel {
  const codec = CODECS[pixel.transferSyntaxUid];
  if (!codec || codec === 'native' || pixel.samplesPerPixel !== 3) return pixel;
  return {
    ...pixel,
    photometricInterpretation: colourAfter(codec, pixel),
    planarConfiguration: codec === 'rle' || codec === 'deflated' ? pixel.planarConfiguration : 0,
  };
}

function colourAfter(
  codec: Codec,
  { photometricInterpretation: before, transferSyntaxUid }: ImagePixel,
): string {
  if (codec === 'deflated') return before;
  const isTurnedBack =
    codec === 'jpeg'
      ? isLossyJpeg(transferSyntaxUid) && before.startsWith('YBR')
      : /^(YBR_ICT|YBR_RCT|XYB)$/.test(before);
  if (isTurnedBack) return 'RGB';
  // Decoders give three samples for every pixel, whether two neighbours shared them or not.
  return before === 'YBR_FULL_422' ? 'YBR_FULL' : before;
}

/** JPEG whose colour is turned back while it is decoded; lossless JPEG keeps what the header says, to the bit. */
export function isLossyJpeg(transferSyntaxUid: string): boolean {
  return lossyMethod(transferSyntaxUid) === 'ISO_10918_1';
}

/** The defined term of (0028,2114) LossyImageCompressionMethod (PS3.3 C.7.6.1.1.5.1); undefined for lossless syntaxes. */
export function lossyMethod(transferSyntaxUid: string): string | undefined {
  return LOSSY_METHODS[transferSyntaxUid];
}
