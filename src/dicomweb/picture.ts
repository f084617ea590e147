/**
 * Pictures of a stored object's frames, made by the threads of pixels/ within the byte budget of the door.
 * Called by rendered.ts and wado-uri.ts; frames are read as for frames.ts.
 */
import { heldFrame, type ImageFrames } from '../archive/object-frames.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { type DataSet, number } from '../dicom/data-set.ts';
import { Failure } from '../failure.ts';
import { isDecodable } from '../pixels/decodable.ts';
import { presentationOf } from '../pixels/presentation.ts';
import type { PictureOptions } from '../pixels/render-frame.ts';
import { annotationLines } from './annotation-lines.ts';
import { type FrameParts, ofObject, renderingCost } from './frame-bytes.ts';
import type { RenderedQuery } from './rendered-query.ts';

export type PictureType = PictureOptions['type'];

/** Most that are held as pictures at once to become one moving picture. */
const MAX_CINE_FRAMES = 1000;
const MAX_CINE_BYTES = 256 * 1024 * 1024;
const DEFAULT_FRAME_MS = 100;
/** Browsers show a shorter one slower. */
const SHORTEST_FRAME_MS = 20;

/** @throws Failure 'not-acceptable' without pixels, 'unsupported' without a codec for them */
export function checkIsPicture(object: StoredObject): void {
  if (!object.pixel)
    throw new Failure(
      'not-acceptable',
      `${object.sopUid} has no (7FE0,0010) PixelData: there is no picture to render`,
    );
  if (!isDecodable(object.transferSyntax))
    throw new Failure(
      'unsupported',
      `Images of transfer syntax ${object.transferSyntax} cannot be rendered here`,
    );
}

/** The picture file of one frame, counted from 1. */
export async function picture(
  parts: FrameParts,
  object: StoredObject,
  image: ImageFrames,
  frameNumber: number,
  { type, query }: { type: PictureType; query: RenderedQuery },
): Promise<Uint8Array> {
  const release = parts.budget.take(renderingCost(image, frameNumber));
  let frame: Buffer | undefined;
  try {
    const held = await heldFrame(parts, object, image, frameNumber, parts.buffers);
    frame = held;
    const { annotation, ...options } = query;
    const lines = annotation ? annotationLines(image.header, frameNumber, annotation) : [];
    return await ofObject(() => {
      const presentation = presentationOf(image.header, frameNumber, image.pixel.signed);
      return parts.workers.render(image.pixel, held, presentation, { ...options, type, annotation: lines });
    });
  } finally {
    if (frame) parts.buffers.giveBack(frame);
    release();
  }
}

/** The frames as one GIF, at the speed the object says. @throws Failure 'too-large' for more than is held at once */
export async function movingPicture(
  parts: FrameParts,
  object: StoredObject,
  image: ImageFrames,
  { numbers, query }: { numbers: readonly number[]; query: RenderedQuery },
): Promise<Uint8Array> {
  if (numbers.length > MAX_CINE_FRAMES)
    throw new Failure('too-large', `A GIF of more than ${MAX_CINE_FRAMES} frames is not made: ask for some`);
  const { rows, columns } = image.pixel;
  const { width, height } = query.viewport ?? { width: columns, height: rows };
  const held = 4 * Math.min(width, columns) * Math.min(height, rows) * numbers.length;
  if (held > MAX_CINE_BYTES)
    throw new Failure(
      'too-large',
      `A GIF of ${numbers.length} frames of ${rows} rows and ${columns} columns is not made: ask for fewer frames or a smaller viewport`,
    );
  const release = parts.budget.take(held);
  try {
    const pictures: Uint8Array[] = [];
    for (const one of numbers)
      pictures.push(await picture(parts, object, image, one, { type: 'image/png', query }));
    return await parts.workers.cine(pictures, frameMs(image.header));
  } finally {
    release();
  }
}

/** (0018,1063) FrameTime in ms, or the rates of (0008,2144) and (0018,0040) in frames a second (PS3.3 C.7.6.5). */
function frameMs(header: DataSet): number {
  const time = number(header, '00181063') ?? 0;
  const rate = number(header, '00082144') ?? number(header, '00180040') ?? 0;
  const ms = time > 0 ? time : rate > 0 ? 1000 / rate : DEFAULT_FRAME_MS;
  return Math.min(65_535, Math.max(SHORTEST_FRAME_MS, Math.round(ms)));
}
