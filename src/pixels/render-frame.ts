/**
 * One frame, as it lies in the object, to a picture a browser shows. Runs in pixel-worker.ts.
 * Decode, grey or colour to eight bits, then sharp for cropping, scaling and the file format (PS3.18 8.3.5, 8.7.4).
 */
import sharp, { type Sharp } from 'sharp';
import { Failure } from '../failure.ts';
import { annotated } from './annotation.ts';
import { toRgb } from './colour.ts';
import { decodeFrame } from './decode-frame.ts';
import { grayOf } from './grayscale.ts';
import type { ImagePixel } from './image-pixel.ts';
import { drawOverlays } from './overlay.ts';
import type { Presentation, Window } from './presentation.ts';

export interface Viewport {
  readonly width: number;
  readonly height: number;
  /** The part of the image that is shown; negative sizes flip it (PS3.18 8.3.5.1.3). */
  readonly source?: {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
  };
}

export interface PictureOptions {
  readonly type: 'image/jpeg' | 'image/png' | 'image/webp' | 'image/gif';
  /** 1 to 100; has no meaning for PNG. */
  readonly quality: number;
  readonly viewport?: Viewport;
  /** Instead of the object's own. */
  readonly window?: Window;
  /** Burned into the picture. */
  readonly annotation?: readonly string[];
}

// One thread of libvips a picture: the workers are the parallelism.
sharp.concurrency(1);
sharp.cache(false);

export interface Picture {
  /** Eight bits a channel, by pixel. */
  readonly bytes: Buffer;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
}

/**
 * The frame as it is shown, at its own size: modality, VOI and presentation, or colour, then the overlays.
 * @throws Failure of decodeFrame, and 'unsupported' for pixels that are not shown
 */
export function pictureOf(
  pixel: ImagePixel,
  frame: Uint8Array,
  presentation: Presentation,
  window?: Window,
): Picture {
  const decoded = decodeFrame(pixel, frame);
  const now: ImagePixel = {
    ...pixel,
    photometricInterpretation: decoded.photometricInterpretation,
    planarConfiguration: decoded.planarConfiguration,
  };
  const isGray = now.photometricInterpretation.startsWith('MONOCHROME');
  if (isGray && now.samplesPerPixel !== 1)
    throw new Failure('unsupported', 'Grey images are rendered with one sample a pixel');
  const bytes = isGray
    ? grayOf(decoded.samples, now, presentation, window)
    : toRgb(decoded.samples, now, presentation.palette);
  const channels = isGray ? 1 : 3;
  drawOverlays(bytes, channels, now, decoded.samples, presentation.overlays ?? []);
  return { bytes, width: now.columns, height: now.rows, channels };
}

/** The picture file. @throws Failure of pictureOf */
export async function renderFrame(
  pixel: ImagePixel,
  frame: Uint8Array,
  presentation: Presentation,
  options: PictureOptions,
): Promise<Buffer> {
  const { bytes, width, height, channels } = pictureOf(pixel, frame, presentation, options.window);
  let picture = sharp(bytes, { raw: { width, height, channels }, limitInputPixels: false });
  picture = inViewport(picture, pixel, options.viewport);
  if (options.annotation?.length) picture = await annotated(picture, options.annotation);
  else if (channels === 1) picture = picture.toColourspace('b-w');
  // A picture is looked at once: half the time is worth more than a hundredth of its bytes.
  switch (options.type) {
    case 'image/png':
      return picture.png({ compressionLevel: 2 }).toBuffer();
    case 'image/webp':
      return picture.webp({ quality: options.quality, effort: 0 }).toBuffer();
    case 'image/jpeg':
      return picture
        .jpeg({ quality: options.quality, chromaSubsampling: '4:4:4', optimiseCoding: false })
        .toBuffer();
    case 'image/gif':
      return picture.gif().toBuffer();
  }
}

function inViewport(picture: Sharp, pixel: ImagePixel, viewport: Viewport | undefined): Sharp {
  if (!viewport) return picture;
  const { source } = viewport;
  let shown = picture;
  if (source) {
    const left = Math.min(source.x, pixel.columns - 1);
    const top = Math.min(source.y, pixel.rows - 1);
    shown = shown.extract({
      left,
      top,
      width: Math.max(1, Math.min(Math.abs(source.width) || pixel.columns, pixel.columns - left)),
      height: Math.max(1, Math.min(Math.abs(source.height) || pixel.rows, pixel.rows - top)),
    });
    if (source.width < 0) shown = shown.flop();
    if (source.height < 0) shown = shown.flip();
  }
  return shown.resize({ width: viewport.width, height: viewport.height, fit: 'inside' });
}
