/**
 * How long to wait before trying again: exponential, capped, with jitter so that what failed together does not return
 * together. Pure; ledger.ts adds the result to Postgres' clock.
 */

export interface BackoffSettings {
  /** After the first fault. */
  readonly firstMs: number;
  /** At most. */
  readonly capMs: number;
  /** A delivery that made no progress for this long is parked, with the reason, for a person. */
  readonly horizonMs: number;
}

/** A PACS down for a weekend is asked once an hour and costs nothing; a week is a person's matter. */
export const DEFAULT_BACKOFF: BackoffSettings = {
  firstMs: 30_000,
  capMs: 3_600_000,
  horizonMs: 7 * 24 * 3_600_000,
};

/**
 * @param faults in a row, from 1
 * @param random from 0 to 1: spreads the wait over 80 to 120 %
 * @param leastMs what the peer asked for (Retry-After); it is kept, up to the cap
 * @returns milliseconds
 */
export function backoffMs(settings: BackoffSettings, faults: number, random: number, leastMs = 0): number {
  const plain = settings.firstMs * 2 ** Math.min(faults - 1, 30);
  const spread = Math.min(plain, settings.capMs) * (0.8 + 0.4 * random);
  return Math.round(Math.min(Math.max(spread, leastMs), settings.capMs));
}
