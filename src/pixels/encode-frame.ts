/**
 * One frame's native samples into a codestream. Runs in pixel-worker.ts only: codecs are synchronous.
 * Called by recode-frame.ts, which decodes what comes of it again before anybody gets it.
 */
import codecs from 'dcmjs-codecs';
import type { Loss } from '../dicom/encodings.ts';
import { HTJ2K_LOSSLESS_RPCL } from '../dicom/transfer-syntax.ts';
import { Failure } from '../failure.ts';
import { fromYbr } from './colour.ts';
import { nameForCodec } from './decode-frame.ts';
import { type Encoder, encoderOf, type Recoding } from './encodable.ts';
import { encodeRle } from './encode-rle.ts';
import type { ImagePixel } from './image-pixel.ts';

const { Context, NativeCodecs } = codecs;
const { JpegSampleFactor, Jpeg2000ProgressionOrder } = codecs.constants;

/**
 * @param samples by pixel, little endian, two neighbours sharing nothing
 * @param pixel what they are
 * @param bits of each sample that are kept, from the lowest: Bits Stored, or all that are allocated
 * @returns of even length
 */
export function encodeFrame(samples: Buffer, pixel: ImagePixel, recoding: Recoding, bits: number): Buffer {
  const encoder = encoderOf(recoding.to);
  if (!encoder)
    throw new Failure('unsupported', `Frames are not encoded in transfer syntax ${recoding.to} here`);
  const frame =
    encoder === 'rle' ? encodeRle(samples, pixel) : encoded(encoder, samples, pixel, recoding, bits);
  return frame.length % 2 === 0 ? frame : Buffer.concat([frame, Buffer.alloc(1)]);
}

function encoded(
  encoder: Exclude<Encoder, 'rle'>,
  samples: Buffer,
  pixel: ImagePixel,
  { to, loss }: Recoding,
  wanted: number,
): Buffer {
  // DCMTK and GDCM read no JPEG-LS of eight bits into a pixel cell of sixteen; its JPEG encoder wants bytes for them.
  const bits = encoder === 'jpeg-ls' && pixel.bitsAllocated === 16 ? Math.max(9, wanted) : wanted;
  const narrow = encoder === 'jpeg' && pixel.bitsAllocated === 16 && bits <= 8;
  const signed = pixel.signed && (encoder === 'jpeg-2000' || encoder === 'htj2k');
  const values = bits < pixel.bitsAllocated ? cut(samples, pixel.bitsAllocated, bits, signed) : samples;
  const allocated = narrow ? 8 : pixel.bitsAllocated;
  const context = new Context({
    width: pixel.columns,
    height: pixel.rows,
    // Its JPEG-LS writes this as the precision of the codestream.
    bitsAllocated: encoder === 'jpeg-ls' ? Math.max(2, bits) : allocated,
    bitsStored: Math.max(2, bits),
    samplesPerPixel: pixel.samplesPerPixel,
    pixelRepresentation: signed ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: nameForCodec(pixel),
    decodedBuffer: narrow ? everySecond(values) : values,
  });
  const codestream = run(encoder, context, pixel, to, loss).getEncodedBuffer();
  if (!codestream?.length) throw new Failure('invalid', 'The encoder gave nothing');
  return Buffer.from(codestream.buffer, codestream.byteOffset, codestream.byteLength);
}

function run(
  encoder: Exclude<Encoder, 'rle'>,
  context: InstanceType<typeof Context>,
  pixel: ImagePixel,
  to: string,
  loss: Loss | undefined,
): InstanceType<typeof Context> {
  switch (encoder) {
    case 'jpeg':
      if (!loss || !('quality' in loss))
        return NativeCodecs.encodeJpeg(context, { lossy: false, predictor: 1, pointTransform: 0 });
      if (pixel.photometricInterpretation === 'YBR_FULL')
        context.setDecodedBuffer(fromYbr(Buffer.from(context.getDecodedBuffer()!), 'full'));
      // PS3.5 8.2.1: YBR_FULL_422 is the colour that every decoder of baseline JPEG expects.
      return NativeCodecs.encodeJpeg(context, {
        lossy: true,
        quality: loss.quality,
        sampleFactor: JpegSampleFactor.Sf422,
      });
    case 'jpeg-ls':
      return NativeCodecs.encodeJpegLs(
        context,
        loss && 'maxError' in loss ? { lossy: true, allowedLossyError: loss.maxError } : { lossy: false },
      );
    case 'jpeg-2000':
      return NativeCodecs.encodeJpeg2000(
        context,
        loss && 'ratio' in loss ? { lossy: true, rate: loss.ratio } : { lossy: false },
      );
    case 'htj2k':
      return NativeCodecs.encodeHtJpeg2000(context, {
        lossy: false,
        ...(to === HTJ2K_LOSSLESS_RPCL && { progressionOrder: Jpeg2000ProgressionOrder.Rpcl }),
      });
  }
}

/** The lowest bits of each sample; what stands above them is made zero, or the sign. */
function cut(samples: Buffer, allocated: number, bits: number, signed: boolean): Buffer {
  const out = Buffer.allocUnsafe(samples.length);
  const shift = 32 - bits;
  const kept = (value: number): number =>
    signed ? (value << shift) >> shift : ((value << shift) >>> shift) >>> 0;
  if (allocated === 8) for (let at = 0; at < samples.length; at++) out[at] = kept(samples[at]!);
  else
    for (let at = 0; at + 1 < samples.length; at += 2)
      out.writeUInt16LE(kept(samples.readUInt16LE(at)) & 0xffff, at);
  return out;
}

function everySecond(samples: Buffer): Buffer {
  const out = Buffer.allocUnsafe(samples.length / 2);
  for (let at = 0; at < out.length; at++) out[at] = samples[at * 2]!;
  return out;
}
