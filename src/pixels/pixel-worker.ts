/**
 * A worker thread that decodes, recodes and renders frames, one at a time. Started and watched by pixel-workers.ts.
 */
import { parentPort } from 'node:worker_threads';
import { asFailure } from '../failure.ts';
import { cine } from './cine.ts';
import { decodedLength } from './decodable.ts';
import { decodeFrame, loadCodecs } from './decode-frame.ts';
import type { Recoding } from './encodable.ts';
import type { ImagePixel } from './image-pixel.ts';
import type { Presentation } from './presentation.ts';
import { recodeFrame } from './recode-frame.ts';
import { type PictureOptions, renderFrame } from './render-frame.ts';
import { sameSamples } from './same-samples.ts';

export type PixelTask =
  | { kind: 'decode'; pixel: ImagePixel; frame: Uint8Array }
  | { kind: 'recode'; pixel: ImagePixel; frame: Uint8Array; recoding: Recoding }
  /** Answered by one byte: 1 when both frames show the same. */
  | { kind: 'compare'; pixel: ImagePixel; frame: Uint8Array; other: { pixel: ImagePixel; frame: Uint8Array } }
  | {
      kind: 'render';
      pixel: ImagePixel;
      frame: Uint8Array;
      presentation: Presentation;
      options: PictureOptions;
    }
  /** `frame` holds PNG files of these lengths. */
  | { kind: 'cine'; frame: Uint8Array; lengths: readonly number[]; delayMs: number };

/** The thread ends after the task it is at. */
export type PixelEnd = { kind: 'end' };

export type PixelAnswer =
  | { bytes: Uint8Array }
  | { failure: { kind: string; message: string; cause?: string } };

const port = parentPort!;
let loaded = loadCodecs();

/** A codec's memory grows to what its largest frame took and never shrinks: after one of more than this it is let go. */
const LARGE_FRAME_BYTES = 64 * 1024 * 1024;

function work(task: PixelTask): Uint8Array | Promise<Uint8Array> {
  switch (task.kind) {
    case 'decode':
      return decodeFrame(task.pixel, task.frame).samples;
    case 'recode':
      return recodeFrame(task.pixel, task.frame, task.recoding);
    case 'compare':
      return Uint8Array.of(sameSamples(task.pixel, task.frame, task.other.pixel, task.other.frame) ? 1 : 0);
    case 'render':
      return renderFrame(task.pixel, task.frame, task.presentation, task.options);
    case 'cine':
      return cine(task.frame, task.lengths, task.delayMs);
  }
}

let at = Promise.resolve();
port.on('message', (task: PixelTask | PixelEnd) => {
  at = at.then(() => (task.kind === 'end' ? port.close() : answer(task)));
});

async function answer(task: PixelTask): Promise<void> {
  try {
    await loaded;
    const bytes = await work(task);
    // A copy of its own length: what is transferred is gone here, and pooled memory cannot go.
    const own = new Uint8Array(bytes);
    port.postMessage({ bytes: own } satisfies PixelAnswer, [own.buffer]);
    if ('pixel' in task && decodedLength(task.pixel) > LARGE_FRAME_BYTES) loaded = loadCodecs();
  } catch (thrown) {
    const failure = asFailure(thrown);
    // A codec that gave up has left its memory in an unknown state: it begins anew, with new memory.
    const isBroken = failure.kind === 'internal';
    if (isBroken) loaded = loadCodecs();
    port.postMessage({
      failure: isBroken
        ? {
            kind: 'invalid',
            message: 'The frame cannot be decoded: its codec found it broken',
            cause: (thrown instanceof Error && thrown.stack) || String(thrown),
          }
        : { kind: failure.kind, message: failure.message },
    } satisfies PixelAnswer);
  }
}
