/**
 * Pixels of 12 bits that do not repeat, at the speed of a copy: one pool of noise, read from another place each time.
 * Called by series.ts.
 */
import { randomFillSync, randomInt } from 'node:crypto';

export interface Noise {
  /** The pixels of one frame, 16 bits each, little endian; valid until the pool is gone. */
  next(): Uint8Array;
}

const POOL_FRAMES = 8;

/** @param frameBytes an even number */
export function createNoise(frameBytes: number): Noise {
  const pool = new Uint16Array((frameBytes / 2) * POOL_FRAMES);
  randomFillSync(pool);
  for (let at = 0; at < pool.length; at++) pool[at]! &= 0x0fff;
  const bytes = new Uint8Array(pool.buffer);
  return {
    next() {
      const from = 2 * randomInt((bytes.length - frameBytes) / 2 + 1);
      return bytes.subarray(from, from + frameBytes);
    },
  };
}
