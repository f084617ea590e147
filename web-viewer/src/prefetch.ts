/**
 * Fetches the slices around the one on screen before they are asked for. Called by stage.ts on each new image.
 * Bounded twice: a few at a time, and no more than a share of the cache. Decoded frames land in Cornerstone's cache.
 */

/** Browsers open six connections to one server; two stay free for the slice that a person is waiting for. */
const AT_ONCE = 4;

/** The indexes to fetch, nearest first and the way ahead before the way back, at most `limit` of them. */
export function prefetchOrder(index: number, count: number, limit: number, direction: 1 | -1): number[] {
  const order: number[] = [];
  for (let distance = 1; distance < count && order.length < limit; distance++) {
    for (const neighbour of [index + direction * distance, index - direction * distance]) {
      if (neighbour >= 0 && neighbour < count && order.length < limit) order.push(neighbour);
    }
  }
  return order;
}

export interface Prefetch {
  /** Replaces what is still to be fetched. What is under way goes on. */
  aim(imageIds: readonly string[]): void;
  stop(): void;
}

export function createPrefetch(load: (imageId: string) => Promise<unknown>): Prefetch {
  let waiting: string[] = [];
  let underWay = 0;

  function next(): void {
    while (underWay < AT_ONCE) {
      const imageId = waiting.shift();
      if (imageId === undefined) return;
      underWay++;
      // A frame that fails here fails again, and is told in words, when somebody scrolls to it.
      load(imageId).then(done, done);
    }
  }

  function done(): void {
    underWay--;
    next();
  }

  return {
    aim(imageIds) {
      waiting = [...imageIds];
      next();
    },
    stop() {
      waiting = [];
    },
  };
}
