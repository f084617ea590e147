/**
 * How many bytes may be held at once, over all requests: decoding and rendering need a frame whole, STOW its metadata.
 * Made by routes.ts; frames.ts, rendered.ts and stow-json.ts take from it before they read.
 */
import { Failure } from '../failure.ts';

export interface ByteBudget {
  /**
   * Counts the bytes as held until what it returns is called, once.
   * @throws Failure 'unavailable' when they do not fit now
   */
  take(bytes: number): () => void;
}

export function createByteBudget(limit: number, what = 'large frames'): ByteBudget {
  let held = 0;
  return {
    take(bytes) {
      // A lone request is always let in: its own bound is MAX_FRAME_BYTES.
      if (held > 0 && held + bytes > limit)
        throw new Failure('unavailable', `Too many ${what} are being worked on`, { retryAfterS: 2 });
      held += bytes;
      return () => {
        held -= bytes;
      };
    },
  };
}
