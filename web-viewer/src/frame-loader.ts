/**
 * Cornerstone's loader of `wadors:` frames, in place of the one it comes with: the same decoders, but a frame that is
 * shorter than its image is an error and not a grey picture, failures come with a sentence, and native YBR_FULL_422
 * is turned into colours. Registered by cornerstone.ts; the bytes come from dicomweb.ts and go into Cornerstone's cache.
 */
import { cache, Enums, type Types } from '@cornerstonejs/core';
import { createImage, wadors } from '@cornerstonejs/dicom-image-loader';
import { getTransferSyntaxForContentType } from '@cornerstonejs/dicom-image-loader/wadors/loadImage';
import { type Dataset, number, text } from './dataset.ts';
import { ArchiveError, fetchFrame } from './dicomweb.ts';
import type { Frame } from './image-stack.ts';
import { type VoiLutFunction, voiLutFunction } from './window-range.ts';
import { rgbFromYbr422 } from './ybr-422.ts';

/** The syntaxes whose pixels are not encapsulated, so that their length is known beforehand (PS3.5 A.1, A.2, A.3, A.5). */
const NATIVE = new Set([
  '1.2.840.10008.1.2',
  '1.2.840.10008.1.2.1',
  '1.2.840.10008.1.2.2',
  '1.2.840.10008.1.2.1.99',
]);

const CURVES: Readonly<Record<VoiLutFunction, Enums.VOILUTFunctionType>> = {
  LINEAR: Enums.VOILUTFunctionType.LINEAR,
  LINEAR_EXACT: Enums.VOILUTFunctionType.LINEAR_EXACT,
  SIGMOID: Enums.VOILUTFunctionType.SAMPLED_SIGMOID,
};

type WadorsMetadata = Parameters<typeof wadors.metaDataManager.add>[1];

const datasets = new Map<string, Dataset>();

/** Lays the frames' data sets where they are looked for when a frame is decoded. Has to come before it is loaded. */
export function describeFrames(frames: readonly Frame[]): void {
  for (const { imageId, dataset } of frames) {
    datasets.set(imageId, dataset);
    const described = {
      ...dataset,
      // Cornerstone reads the modality without asking whether there is one; OT is what an object without one is.
      '00080060': { vr: 'CS', Value: [text(dataset, '00080060') || 'OT'] },
      '00281056': { vr: 'CS', Value: [voiLutFunction(dataset)] },
      // Native frames are converted below, JPEG by the browser: what Cornerstone gets to see is RGB.
      ...(is422(dataset) && { '00280004': { vr: 'CS', Value: ['RGB'] } }),
    };
    // The loader's type names a few elements it may find; a data set holds any.
    wadors.metaDataManager.add(imageId, described as unknown as WadorsMetadata);
  }
}

/** Gives back what a study held: decoded frames and their data sets. */
export function forgetFrames(): void {
  cache.purgeCache();
  wadors.metaDataManager.purge();
  datasets.clear();
}

/** In the form that Cornerstone's registerImageLoader asks for. */
export function loadFrame(
  imageId: string,
  options?: Record<string, unknown>,
): { promise: Promise<Types.IImage> } {
  return { promise: load(imageId, options) };
}

async function load(imageId: string, options: Record<string, unknown> | undefined): Promise<Types.IImage> {
  const { contentType, bytes } = await fetchFrame(imageId.slice('wadors:'.length));
  const syntax = getTransferSyntaxForContentType(contentType);
  const dataset = datasets.get(imageId) ?? {};
  const pixels = NATIVE.has(syntax) ? nativePixels(dataset, bytes) : bytes;
  const image = (await createImage(imageId, pixels, syntax, { ...options })) as Types.IImage;
  image.imageQualityStatus = Enums.ImageQualityStatus.FULL_RESOLUTION;
  // createImage keeps only the first letter of the function's name, and the viewport then fails on it.
  image.voiLUTFunction = CURVES[voiLutFunction(dataset)];
  return image;
}

/** The bytes if they are as many as the image has, which is all that can be checked of native pixels. */
function nativePixels(dataset: Dataset, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const pixels = (number(dataset, '00280010') ?? 0) * (number(dataset, '00280011') ?? 0);
  // 4:2:2 has its two chroma values for every second pixel only.
  const samples = is422(dataset) ? 2 : (number(dataset, '00280002') ?? 1);
  const expected = (pixels * samples * (number(dataset, '00280100') ?? 16)) / 8;
  // The last native frame of an object may carry the byte that makes Pixel Data even.
  if (bytes.length !== expected && bytes.length !== expected + 1) {
    throw new ArchiveError(
      `The archive sent ${bytes.length} bytes for this image, which has ${expected}.`,
      200,
    );
  }
  return is422(dataset) ? rgbFromYbr422(bytes, pixels) : bytes;
}

function is422(dataset: Dataset): boolean {
  return text(dataset, '00280004') === 'YBR_FULL_422';
}
