/**
 * Plays a stack like a film. Called by stage.ts. A frame that is still on its way holds the film up,
 * so a slow archive makes it slower, never longer.
 */
import { type Dataset, number } from './dataset.ts';

export interface Cine {
  play(framesPerSecond: number): void;
  pause(): void;
  playing(): boolean;
}

/** `step` shows the next frame. */
export function createCine(step: () => void): Cine {
  let timer: ReturnType<typeof setInterval> | undefined;
  function pause(): void {
    clearInterval(timer);
    timer = undefined;
  }
  return {
    play(framesPerSecond) {
      pause();
      timer = setInterval(step, 1000 / framesPerSecond);
    },
    pause,
    playing: () => timer !== undefined,
  };
}

/** Frames a second, as the object recommends (PS3.3 C.7.6.5, C.12.1), kept to what an eye can follow. */
export function frameRate(dataset: Dataset): number {
  const frameTimeMs = number(dataset, '00181063');
  const rate =
    number(dataset, '00082144') ??
    number(dataset, '00180040') ??
    (frameTimeMs !== undefined && frameTimeMs > 0 ? 1000 / frameTimeMs : 10);
  return Math.max(1, Math.min(60, rate));
}
