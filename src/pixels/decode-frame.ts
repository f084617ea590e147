/**
 * One compressed frame into native samples, little endian. Runs in pixel-worker.ts only: codecs are synchronous.
 * The bytes come from the archive as they lie; the samples go to the renderer or, for clients that take nothing
 * compressed, out as they are.
 */
import { inflateRawSync } from 'node:zlib';
import codecs from 'dcmjs-codecs';
import { Failure } from '../failure.ts';
import { type CodestreamSize, isYcbcrUnderRgb, jpeg2000Size, jpegSize, jpegXlSize } from './codestream.ts';
import {
  CODECS,
  type Codec,
  decodedLength,
  decodedPixel,
  isLossyJpeg,
  lossyMethod,
  MAX_DECODED_BYTES,
} from './decodable.ts';
import type { ImagePixel } from './image-pixel.ts';
import { decodeJpegLossless } from './jpeg-lossless.ts';
import { decodeJpegLs } from './jpeg-ls.ts';
import { decodeRle } from './rle.ts';

const { Context, NativeCodecs } = codecs;
const KNOWN_TO_CODECS: ReadonlySet<string> = new Set(
  Object.values(codecs.constants.PhotometricInterpretation),
);

export interface DecodedFrame {
  readonly samples: Uint8Array;
  /** What the samples are now, as decodedPixel says. */
  readonly photometricInterpretation: string;
  readonly planarConfiguration: 0 | 1;
}

/** To be awaited once before decodeFrame. */
export async function loadCodecs(): Promise<void> {
  codecs.log.setLevel('silent');
  await NativeCodecs.initializeAsync();
}

/**
 * @throws Failure 'unsupported' for a syntax without a codec, 'too-large' beyond MAX_DECODED_BYTES, 'invalid' when the
 * frame does not decode to what the Image Pixel module says
 */
export function decodeFrame(pixel: ImagePixel, frame: Uint8Array): DecodedFrame {
  const codec = CODECS[pixel.transferSyntaxUid];
  if (!codec)
    throw new Failure(
      'unsupported',
      `Frames of transfer syntax ${pixel.transferSyntaxUid} cannot be decoded here`,
    );
  checkImagePixel(pixel, codec);
  const { photometricInterpretation, planarConfiguration } = decodedPixel(pixel);
  if (codec === 'native') {
    checkNativeLength(pixel, frame);
    return { samples: frame, photometricInterpretation, planarConfiguration };
  }
  if (codec === 'deflated')
    return { samples: inflated(pixel, frame), photometricInterpretation, planarConfiguration };
  if (codec === 'rle')
    return { samples: decodeRle(frame, pixel), photometricInterpretation, planarConfiguration };
  const { precision } = checkedSize(codec, pixel, frame);
  const samples =
    codec === 'jpeg-ls'
      ? decodeJpegLs(frame, pixel)
      : ((codec === 'jpeg' ? decodeJpegLossless(frame, pixel) : undefined) ??
        decodedByCodec(codec, pixel, frame));
  if (precision > pixel.bitsStored && lossyMethod(pixel.transferSyntaxUid)) limitToStoredBits(samples, pixel);
  return { samples, photometricInterpretation, planarConfiguration };
}

/** Deflated Image Frame Compression (PS3.5 A.4.13): native samples, deflated; to its own length and no further. */
function inflated(pixel: ImagePixel, frame: Uint8Array): Uint8Array {
  try {
    // A byte more than a frame has may be padding.
    const samples = inflateRawSync(frame, { maxOutputLength: decodedLength(pixel) + 1 });
    checkNativeLength(pixel, samples);
    return samples.subarray(0, decodedLength(pixel));
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure('invalid', 'The deflated frame is broken or longer than its dimensions need', {
      cause,
    });
  }
}

function decodedByCodec(codec: Codec, pixel: ImagePixel, frame: Uint8Array): Uint8Array {
  let samples = runCodec(codec, pixel, frame).getDecodedBuffer() ?? new Uint8Array(0);
  // A codestream of eight bits in a pixel cell of sixteen comes as bytes.
  if (pixel.bitsAllocated === 16 && samples.length * 2 === decodedLength(pixel))
    samples = widened(samples, pixel.signed);
  if (samples.length !== decodedLength(pixel))
    throw new Failure(
      'invalid',
      `The frame decodes to ${samples.length} bytes where its dimensions need ${decodedLength(pixel)}`,
    );
  return samples;
}

function widened(bytes: Uint8Array, signed: boolean): Uint8Array {
  const words = Buffer.alloc(bytes.length * 2);
  for (let at = 0; at < bytes.length; at++)
    words.writeUInt16LE(signed && bytes[at]! > 0x7f ? bytes[at]! | 0xff00 : bytes[at]!, at * 2);
  return words;
}

/**
 * An encoder that was told of 16 bits where 12 are stored can overshoot: 4,100 for a white of 4,095 would be taken for
 * 4 by whoever reads the stored bits, and be a black speck.
 */
function limitToStoredBits(samples: Uint8Array, pixel: ImagePixel): void {
  const { bitsAllocated, bitsStored, highBit, signed } = pixel;
  if (bitsAllocated !== 16 || highBit !== bitsStored - 1) return;
  const view = new DataView(samples.buffer, samples.byteOffset, samples.byteLength);
  const [least, most] = signed
    ? [-(2 ** (bitsStored - 1)), 2 ** (bitsStored - 1) - 1]
    : [0, 2 ** bitsStored - 1];
  for (let at = 0; at + 1 < samples.length; at += 2) {
    const value = signed ? view.getInt16(at, true) : view.getUint16(at, true);
    if (value > most) view.setUint16(at, most, true);
    else if (value < least) view.setInt16(at, least, true);
  }
}

function checkImagePixel(pixel: ImagePixel, codec: Codec): void {
  const { rows, columns, samplesPerPixel, bitsAllocated, bitsStored } = pixel;
  const faults: [boolean, string][] = [
    [rows < 1 || rows > 65_535, '(0028,0010) Rows'],
    [columns < 1 || columns > 65_535, '(0028,0011) Columns'],
    [samplesPerPixel < 1 || samplesPerPixel > 4, '(0028,0002) SamplesPerPixel'],
    [!isAllocatable(pixel, codec), '(0028,0100) BitsAllocated'],
    [bitsStored < 1 || bitsStored > bitsAllocated, '(0028,0101) BitsStored'],
  ];
  const fault = faults.find(([bad]) => bad);
  if (fault)
    throw new Failure('invalid', `${fault[1]} is missing or out of its range`, { attribute: fault[1] });
  if (decodedLength(pixel) > MAX_DECODED_BYTES)
    throw new Failure(
      'too-large',
      `The frame has ${decodedLength(pixel)} bytes decoded; ${MAX_DECODED_BYTES} can be worked on`,
    );
}

/** Native samples may be packed (12 bits, in older objects); codecs know whole bytes, RLE also single bits. */
function isAllocatable({ bitsAllocated: bits, isFloat }: ImagePixel, codec: Codec): boolean {
  if (isFloat) return codec === 'native' && (bits === 32 || bits === 64);
  if (codec === 'native' || codec === 'deflated') return bits >= 1 && bits <= 32;
  return bits === 8 || bits === 16 || bits === 32 || (bits === 1 && codec === 'rle');
}

/** YBR_FULL_422 shares colour samples between two neighbours, so two samples a pixel are enough. */
function checkNativeLength(pixel: ImagePixel, frame: Uint8Array): void {
  const shared = /_422$/.test(pixel.photometricInterpretation);
  const needed = shared ? Math.ceil((decodedLength(pixel) * 2) / 3) : decodedLength(pixel);
  if (frame.length < needed)
    throw new Failure('invalid', `The frame has ${frame.length} bytes where its dimensions need ${needed}`);
}

/** What the codestream says of itself, once it fits what the object says. */
function checkedSize(codec: Codec, pixel: ImagePixel, frame: Uint8Array): CodestreamSize {
  const size = codestreamSize(codec, pixel, frame);
  if (!size) throw new Failure('invalid', 'The frame is no codestream of its transfer syntax');
  if (size.width !== pixel.columns || size.height !== pixel.rows || size.components !== pixel.samplesPerPixel)
    throw new Failure(
      'invalid',
      `The frame's codestream has ${size.width} columns, ${size.height} rows and ${size.components} components, ` +
        `but the object says ${pixel.columns}, ${pixel.rows} and ${pixel.samplesPerPixel}`,
    );
  // A block of eight by eight takes a bit at least: what claims more is refused before it has its memory.
  if (codec === 'jpeg' && frame.length * 512 < pixel.rows * pixel.columns)
    throw new Failure('invalid', `The frame has ${frame.length} bytes, too few for its rows and columns`);
  return size;
}

function codestreamSize(codec: Codec, pixel: ImagePixel, frame: Uint8Array): CodestreamSize | undefined {
  switch (codec) {
    case 'jpeg':
    case 'jpeg-ls':
      return jpegSize(frame);
    case 'jpeg-xl': {
      const size = jpegXlSize(frame);
      return size && { ...size, components: pixel.samplesPerPixel, precision: pixel.bitsStored };
    }
    default:
      return jpeg2000Size(frame);
  }
}

function runCodec(codec: Codec, pixel: ImagePixel, frame: Uint8Array): InstanceType<typeof Context> {
  const context = new Context({
    width: pixel.columns,
    height: pixel.rows,
    bitsAllocated: pixel.bitsAllocated,
    bitsStored: pixel.bitsStored,
    samplesPerPixel: pixel.samplesPerPixel,
    pixelRepresentation: pixel.signed ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: nameForCodec(pixel),
    encodedBuffer: frame,
  });
  switch (codec) {
    case 'jpeg':
      return NativeCodecs.decodeJpeg(context, { convertColorspaceToRgb: isYcbcr(pixel, frame) });
    case 'jpeg-2000':
      return NativeCodecs.decodeJpeg2000(context);
    case 'htj2k':
      return NativeCodecs.decodeHtJpeg2000(context);
    case 'jpeg-xl':
      return NativeCodecs.decodeJpegXl(context);
    default:
      throw new Failure(
        'unsupported',
        `Frames of transfer syntax ${pixel.transferSyntaxUid} cannot be decoded here`,
      );
  }
}

/** The codecs refuse names they do not know, newer ones too; which colours they give does not hang on those. */
export function nameForCodec({ photometricInterpretation: name, samplesPerPixel }: ImagePixel): string {
  if (KNOWN_TO_CODECS.has(name)) return name;
  return samplesPerPixel === 1 ? 'MONOCHROME2' : 'RGB';
}

/** Lossless JPEG is never turned: its samples are what the header says, to the bit. */
function isYcbcr(pixel: ImagePixel, frame: Uint8Array): boolean {
  if (pixel.samplesPerPixel !== 3 || !isLossyJpeg(pixel.transferSyntaxUid)) return false;
  return pixel.photometricInterpretation.startsWith('YBR') || isYcbcrUnderRgb(frame);
}
