/**
 * Into which transfer syntaxes frames can be encoded, what the header has to say of them then, and why not where they
 * cannot. Pure: asked by forwarding before anything is read or sent to a worker; encode-frame.ts does the work there.
 * Apart from it, because the codecs are loaded in the workers only.
 */
import type { BlankArea } from '../dicom/blank-area.ts';
import type { Loss } from '../dicom/encodings.ts';
import {
  HTJ2K_LOSSLESS,
  HTJ2K_LOSSLESS_RPCL,
  JPEG_2000,
  JPEG_2000_LOSSLESS,
  JPEG_BASELINE,
  JPEG_LOSSLESS,
  JPEG_LOSSLESS_SV1,
  JPEG_LS_LOSSLESS,
  JPEG_LS_NEAR_LOSSLESS,
  RLE_LOSSLESS,
  transferSyntax,
} from '../dicom/transfer-syntax.ts';
import { decodedPixel, isDecodable } from './decodable.ts';
import type { ImagePixel } from './image-pixel.ts';
import type { Palette } from './presentation.ts';

/** What is made of each frame of an object: all alike, so that its header can tell. */
export interface Recoding {
  /** A native or encodable transfer syntax. */
  readonly to: string;
  /** Without it everything is kept, and checked. */
  readonly loss?: Loss | undefined;
  /** What a rule masks: blanked in the decoded samples. */
  readonly blank?: { readonly area: BlankArea; readonly palette?: Palette | undefined } | undefined;
}

export type Encoder = 'rle' | 'jpeg' | 'jpeg-ls' | 'jpeg-2000' | 'htj2k';

const ENCODERS: Readonly<Record<string, Encoder>> = {
  [RLE_LOSSLESS]: 'rle',
  [JPEG_LOSSLESS]: 'jpeg',
  [JPEG_LOSSLESS_SV1]: 'jpeg',
  [JPEG_BASELINE]: 'jpeg',
  [JPEG_LS_LOSSLESS]: 'jpeg-ls',
  [JPEG_LS_NEAR_LOSSLESS]: 'jpeg-ls',
  [JPEG_2000_LOSSLESS]: 'jpeg-2000',
  [JPEG_2000]: 'jpeg-2000',
  [HTJ2K_LOSSLESS]: 'htj2k',
  [HTJ2K_LOSSLESS_RPCL]: 'htj2k',
};

export function encoderOf(transferSyntaxUid: string): Encoder | undefined {
  return ENCODERS[transferSyntaxUid];
}

/**
 * The Image Pixel module of an object whose frames were recoded (PS3.5 8.2.1 to 8.2.4): samples by pixel; colour as the
 * codec keeps it.
 */
export function encodedPixel(pixel: ImagePixel, { to, loss }: Recoding): ImagePixel {
  const decoded = decodedPixel(pixel);
  const encoder = encoderOf(to);
  if (!encoder) return { ...decoded, transferSyntaxUid: to };
  const colour = spreadColour(decoded.photometricInterpretation);
  return {
    ...decoded,
    transferSyntaxUid: to,
    planarConfiguration: 0,
    photometricInterpretation: pixel.samplesPerPixel === 3 ? colourIn(encoder, colour, loss) : colour,
  };
}

/** Each pixel gets its own colour samples before it is compressed. */
export const spreadColour = (photometric: string): string =>
  photometric === 'YBR_FULL_422' ? 'YBR_FULL' : photometric;

function colourIn(encoder: Encoder, colour: string, loss: Loss | undefined): string {
  // Its encoder turns RGB, shares colour between two neighbours, and knows nothing else.
  if (encoder === 'jpeg') return loss ? 'YBR_FULL_422' : colour;
  const isTurned = (encoder === 'jpeg-2000' || encoder === 'htj2k') && colour === 'RGB';
  if (!isTurned) return colour;
  return loss ? 'YBR_ICT' : 'YBR_RCT';
}

/** @returns why these pixels cannot be given so, completing "it cannot be sent in X: "; undefined when they can */
export function whyNotRecoded(pixel: ImagePixel, { to, loss }: Recoding): string | undefined {
  const { transferSyntaxUid: from, numberOfFrames, bitsAllocated } = pixel;
  if (!isDecodable(from)) return `pixels in ${transferSyntax(from).name} cannot be decoded here`;
  const encoder = encoderOf(to);
  if (encoder) return whyNotEncoded(pixel, encoder, loss);
  const bits = pixel.rows * pixel.columns * pixel.samplesPerPixel * bitsAllocated;
  if (transferSyntax(from).encapsulated && numberOfFrames > 1 && bits % 8 !== 0)
    return 'its frames would end inside a byte';
  return undefined;
}

const COLOURS = new Set(['RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT']);

function whyNotEncoded(pixel: ImagePixel, encoder: Encoder, loss: Loss | undefined): string | undefined {
  const { samplesPerPixel, bitsAllocated: bits, bitsStored, signed, isFloat } = pixel;
  const { photometricInterpretation: colour } = decodedPixel(pixel);
  const isColour = samplesPerPixel === 3;
  const faults: [boolean, string][] = [
    [isFloat === true, 'it has no place for floating point numbers'],
    [samplesPerPixel !== 1 && !isColour, `it is not made of ${samplesPerPixel} samples a pixel here`],
    [isColour && !COLOURS.has(colour), 'it is not made of this (0028,0004) PhotometricInterpretation here'],
    [colour === 'YBR_FULL_422' && bits !== 8, 'shared colour samples are of 8 bits'],
    [
      !(bits === 8 || bits === 16 || (encoder === 'rle' && (bits === 1 || bits === 32))),
      `it is not made of ${bits} bits allocated`,
    ],
    [
      isColour && bits !== 8 && (encoder === 'jpeg-2000' || encoder === 'htj2k'),
      'it is made of colour with 8 bits only',
    ],
    [isColour && colour !== 'RGB' && encoder === 'htj2k', 'it is made of RGB only, and this is YCbCr'],
    // Its decoder and OpenJPEG do not agree what those are.
    [
      bits === 8 && signed && (encoder === 'jpeg-2000' || encoder === 'htj2k'),
      'it is not made of signed samples of 8 bits',
    ],
    [loss !== undefined && colour === 'PALETTE COLOR', 'numbers of a palette cannot be changed a little'],
    [
      loss !== undefined && encoder === 'jpeg' && (bits !== 8 || bitsStored !== 8 || signed),
      'it is made of 8 bits, unsigned, only',
    ],
    // Near-lossless, the greatest value could become the least; so it could where the codestream has a bit more.
    [
      loss !== undefined && encoder === 'jpeg-ls' && (signed || (bits === 16 && bitsStored <= 8)),
      'it is made of unsigned samples only, and of 8 bits in 8',
    ],
  ];
  return faults.find(([bad]) => bad)?.[1];
}
