/**
 * The threads that decode and render, so that no frame holds up HTTP: a few workers, a bounded queue, a time limit.
 * Made by dicomweb's routes, by the archive to compare versions, and by forwarding to send in another transfer syntax.
 * A worker that ran too long or out of memory is replaced; its memory goes with it.
 */
import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { Failure, type FailureKind } from '../failure.ts';
import { startThread, threadEnd } from '../thread.ts';
import type { Recoding } from './encodable.ts';
import type { ImagePixel } from './image-pixel.ts';
import type { PixelAnswer, PixelEnd, PixelTask } from './pixel-worker.ts';
import type { Presentation } from './presentation.ts';
import type { PictureOptions } from './render-frame.ts';

export interface PixelWorkers {
  /** Native samples of a frame, little endian. */
  decode(pixel: ImagePixel, frame: Uint8Array): Promise<Uint8Array>;
  /** The frame as it leaves: encoded, or native samples (recode-frame.ts). */
  recode(pixel: ImagePixel, frame: Uint8Array, recoding: Recoding): Promise<Uint8Array>;
  /** Whether two frames show the same, sample for sample (same-samples.ts). */
  compare(
    one: { pixel: ImagePixel; frame: Uint8Array },
    other: { pixel: ImagePixel; frame: Uint8Array },
  ): Promise<boolean>;
  /** The picture file. */
  render(
    pixel: ImagePixel,
    frame: Uint8Array,
    presentation: Presentation,
    options: PictureOptions,
  ): Promise<Uint8Array>;
  /** A GIF of PNG files of one size, shown so long each. */
  cine(pictures: readonly Uint8Array[], delayMs: number): Promise<Uint8Array>;
  /** Ends the threads after the frames they are at; tasks still waiting fail as 'unavailable'. */
  stop(): Promise<void>;
}

export interface PixelWorkersOptions {
  threads?: number;
  /** Tasks waiting beyond this are refused as 'unavailable'. */
  maxWaiting?: number;
  taskLimitMs?: number;
}

interface Job {
  readonly task: PixelTask;
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (failure: Failure) => void;
}

/**
 * Memory that a worker shares with us, for one frame: most fit, and new memory for each of them, to be given away with
 * it, costs the collector more than the frame takes to be shown.
 */
const DESK_BYTES = 1024 * 1024;

/** Threads start when there is work. */
export function createPixelWorkers(options: PixelWorkersOptions = {}): PixelWorkers {
  const threads = options.threads ?? Math.max(1, Math.min(4, availableParallelism()));
  const { maxWaiting = 64, taskLimitMs = 30_000 } = options;
  const waiting: Job[] = [];
  const idle: Worker[] = [];
  const all = new Set<Worker>();
  /** No longer in `all`, and on their way out. */
  const leaving = new Set<Promise<unknown>>();
  const desks = new WeakMap<Worker, Uint8Array>();
  let stopped = false;

  function submit(task: PixelTask): Promise<Uint8Array> {
    if (stopped || waiting.length >= maxWaiting)
      return Promise.reject(
        new Failure('unavailable', 'More pictures are asked for than can be made at once', {
          retryAfterS: 2,
        }),
      );
    return new Promise((resolve, reject) => {
      waiting.push({ task, resolve, reject });
      next();
    });
  }

  function next(): void {
    if (waiting.length === 0) return;
    const worker = idle.pop() ?? (all.size < threads ? started() : undefined);
    if (worker) run(worker, waiting.shift()!);
  }

  function started(): Worker {
    const worker = startThread(new URL('./pixel-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 1024 },
    });
    worker.unref();
    // Whoever has a job there hears of its end too; one that ends between two jobs must not end the process.
    worker.on('error', () => undefined);
    worker.on('exit', () => {
      all.delete(worker);
      const at = idle.indexOf(worker);
      if (at >= 0) idle.splice(at, 1);
    });
    all.add(worker);
    desks.set(worker, new Uint8Array(new SharedArrayBuffer(DESK_BYTES)));
    return worker;
  }

  function run(worker: Worker, job: Job): void {
    const settle = (keep: boolean, finish: () => void): void => {
      clearTimeout(timer);
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      if (keep && !stopped) idle.push(worker);
      else discard(worker);
      finish();
      next();
    };
    const onMessage = (answer: PixelAnswer): void => {
      if ('bytes' in answer) settle(true, () => job.resolve(answer.bytes));
      else
        settle(true, () =>
          job.reject(
            new Failure(answer.failure.kind as FailureKind, answer.failure.message, {
              ...(answer.failure.cause && { cause: new Error(answer.failure.cause) }),
            }),
          ),
        );
    };
    const onError = (cause: unknown): void =>
      settle(false, () =>
        job.reject(new Failure('invalid', 'The frame cannot be decoded: its codec gave up', { cause })),
      );
    const onExit = (): void =>
      settle(false, () =>
        job.reject(new Failure('unavailable', 'The picture was given up', { retryAfterS: 2 })),
      );
    const timer = setTimeout(
      () =>
        settle(false, () =>
          job.reject(
            new Failure('too-large', `The frame took longer than ${taskLimitMs / 1000} s and was given up`),
          ),
        ),
      taskLimitMs,
    );
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
    if (job.task.kind === 'compare') {
      const [own, other] = [new Uint8Array(job.task.frame), new Uint8Array(job.task.other.frame)];
      const task = { ...job.task, frame: own, other: { ...job.task.other, frame: other } };
      worker.postMessage(task, [own.buffer, other.buffer]);
      return;
    }
    const desk = desks.get(worker);
    if (desk && job.task.frame.length <= desk.length) {
      desk.set(job.task.frame);
      worker.postMessage({ ...job.task, frame: desk.subarray(0, job.task.frame.length) });
      return;
    }
    // Memory of a pool or of a native module cannot change hands; a copy always can.
    const own = new Uint8Array(job.task.frame);
    worker.postMessage({ ...job.task, frame: own }, [own.buffer]);
  }

  function discard(worker: Worker): void {
    if (!all.delete(worker)) return;
    worker.postMessage({ kind: 'end' } satisfies PixelEnd);
    const end = threadEnd(worker).finally(() => leaving.delete(end));
    leaving.add(end);
  }

  return {
    decode: (pixel, frame) => submit({ kind: 'decode', pixel, frame }),
    recode: (pixel, frame, recoding) => submit({ kind: 'recode', pixel, frame, recoding }),
    async compare({ pixel, frame }, other) {
      return (await submit({ kind: 'compare', pixel, frame, other }))[0] === 1;
    },
    render: (pixel, frame, presentation, pictureOptions) =>
      submit({ kind: 'render', pixel, frame, presentation, options: pictureOptions }),
    cine: (pictures, delayMs) =>
      submit({
        kind: 'cine',
        frame: Buffer.concat(pictures),
        lengths: pictures.map(({ length }) => length),
        delayMs,
      }),
    async stop() {
      stopped = true;
      for (const job of waiting.splice(0))
        job.reject(new Failure('unavailable', 'The server is stopping', { retryAfterS: 5 }));
      for (const worker of all) discard(worker);
      await Promise.all(leaving);
    },
  };
}
