/**
 * A worker thread that decodes and renders frames, one at a time. Started and watched by pixel-workers.ts.
 */
import { parentPort } from 'node:worker_threads';
import { asFailure } from '../failure.ts';
import { decodeFrame, loadCodecs } from './decode-frame.ts';
import type { ImagePixel } from './image-pixel.ts';
import type { Presentation } from './presentation.ts';
import { type PictureOptions, renderFrame } from './render-frame.ts';

export type PixelTask =
  | { kind: 'decode'; pixel: ImagePixel; frame: Uint8Array }
  | {
      kind: 'render';
      pixel: ImagePixel;
      frame: Uint8Array;
      presentation: Presentation;
      options: PictureOptions;
    };

export type PixelAnswer =
  | { bytes: Uint8Array }
  /** `broken`: the codec left its memory in an unknown state, the thread must not work again. */
  | { failure: { kind: string; message: string }; broken: boolean };

const port = parentPort;
if (!port) throw new Error('pixel-worker.ts is started by pixel-workers.ts');
const loaded = loadCodecs();

port.on('message', async (task: PixelTask) => {
  try {
    await loaded;
    const bytes =
      task.kind === 'decode'
        ? decodeFrame(task.pixel, task.frame).samples
        : await renderFrame(task.pixel, task.frame, task.presentation, task.options);
    // A copy of its own length: what is transferred is gone here, and pooled memory cannot go.
    const own = new Uint8Array(bytes);
    port.postMessage({ bytes: own } satisfies PixelAnswer, [own.buffer]);
  } catch (thrown) {
    const failure = asFailure(thrown);
    const broken = failure.kind === 'internal';
    port.postMessage({
      failure: broken
        ? { kind: 'invalid', message: 'The frame cannot be decoded: its codec found it broken' }
        : { kind: failure.kind, message: failure.message },
      broken,
    } satisfies PixelAnswer);
  }
});
