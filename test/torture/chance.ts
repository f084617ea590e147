/**
 * Seeded randomness for the torture suites: a run that fails prints its seed, and TORTURE_SEED=… makes the same
 * choices again (the moments still depend on the machine).
 */
import { randomInt } from 'node:crypto';

export interface Chance {
  readonly seed: number;
  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number;
  /** True in this share of the cases, 0 to 1. */
  happens(share: number): boolean;
  /** One of them. */
  pick<T>(from: readonly T[]): T;
}

export function chance(seed = Number(process.env.TORTURE_SEED ?? randomInt(2 ** 31))): Chance {
  let state = seed >>> 0;
  // Mulberry32: small, and good enough to choose moments by.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const whole = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1));
  return {
    seed,
    whole,
    happens: (share) => next() < share,
    pick: (from) => from[whole(0, from.length - 1)]!,
  };
}
