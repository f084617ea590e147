/**
 * How many bytes of frames may be held at once, over all requests: decoding and rendering need a frame whole.
 * Made once by routes.ts; frames.ts and rendered.ts take from it before they read.
 */
import { Failure } from '../failure.ts';

export interface ByteBudget {
  /**
   * Counts the bytes as held until what it returns is called, once.
   * @throws Failure 'unavailable' when they do not fit now
   */
  take(bytes: number): () => void;
}

export function createByteBudget(limit: number): ByteBudget {
  let held = 0;
  return {
    take(bytes) {
      // A lone request is always let in: its own bound is MAX_FRAME_BYTES.
      if (held > 0 && held + bytes > limit)
        throw new Failure('unavailable', 'Too many large frames are being worked on', { retryAfterS: 2 });
      held += bytes;
      return () => {
        held -= bytes;
      };
    },
  };
}
