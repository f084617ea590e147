/**
 * How many bytes of frames are being worked on at once, over all deliveries: whoever wants more waits for its turn, in
 * order. Made by forwarding.ts; recoded-pixels.ts takes from it before it reads a frame.
 */

export interface ByteRoom {
  /** Waits until they fit; alone, anything does. Whoever has some must not wait for more. @returns gives them back, once */
  take(bytes: number): Promise<() => void>;
}

export function createByteRoom(limit: number): ByteRoom {
  let held = 0;
  /** As many as there are deliveries under way, and a few frames of each. */
  const waiting: { bytes: number; enter: () => void }[] = [];

  const admit = (): void => {
    for (let first = waiting[0]; first && (held === 0 || held + first.bytes <= limit); first = waiting[0]) {
      waiting.shift();
      held += first.bytes;
      first.enter();
    }
  };

  return {
    take: (bytes) =>
      new Promise((resolve) => {
        const leave = (): void => {
          held -= bytes;
          admit();
        };
        waiting.push({ bytes, enter: () => resolve(leave) });
        admit();
      }),
  };
}
