/**
 * One signal for several, for as long as an attempt takes. AbortSignal.any keeps whatever listens to it for as long as
 * its sources live, and ours live as long as the program: every attempt would stay in memory, with all it was made of.
 * Made by send-delivery.ts.
 */

export interface AnyOf {
  readonly signal: AbortSignal;
  /** Nothing of it is kept by its sources any more; it aborts no more. */
  letGo(): void;
}

/** A timer reaches no further; a delivery that takes longer is asked again when its lease is claimed anew. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** @param withinMs from now on, if its time has an end */
export function anyOf(sources: readonly AbortSignal[], withinMs?: number): AnyOf {
  const any = new AbortController();
  const abort = (): void => any.abort();
  for (const source of sources) {
    if (source.aborted) any.abort();
    source.addEventListener('abort', abort, { once: true });
  }
  const hasEnd = withinMs !== undefined && withinMs <= LONGEST_TIMER_MS;
  const timer = hasEnd ? setTimeout(abort, Math.max(0, withinMs)) : undefined;
  timer?.unref();
  return {
    signal: any.signal,
    letGo() {
      clearTimeout(timer);
      for (const source of sources) source.removeEventListener('abort', abort);
    },
  };
}
