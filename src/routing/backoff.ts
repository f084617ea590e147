/**
 * How long to wait before trying again, and for how long at all: exponential, capped, with jitter so that what failed
 * together does not return together. Pure; the settings are a destination's `retry`, attempt-end.ts adds the result to
 * Postgres' clock.
 */
import { z } from 'zod';

export interface BackoffSettings {
  /** After the first fault. */
  readonly firstMs: number;
  /** What each further fault multiplies the wait by; 2 when absent. */
  readonly factor?: number;
  /** At most. */
  readonly capMs: number;
  /** Of waits that a delivery had for faults of its own; then it is parked, with the reason, for a person. */
  readonly horizonMs: number;
}

/** `retry` of a destination, as people write it. */
export const retrySchema = z
  .strictObject({
    firstS: z.number().min(1).max(86_400).optional().describe('Seconds to wait after the first fault (30)'),
    factor: z.number().min(1).max(10).optional().describe('Each further fault multiplies the wait by it (2)'),
    capS: z.number().min(1).max(86_400).optional().describe('The longest wait, in seconds (3600)'),
    horizonH: z
      .number()
      .min(0)
      .max(8784)
      .optional()
      .describe(
        'A delivery that fails by itself, while the destination is there, is given up and parked when it has waited ' +
          'so many hours in all (168). A destination that is down is waited for without end',
      ),
  })
  .refine(
    ({ firstS = DEFAULT_BACKOFF.firstMs / 1000, capS = DEFAULT_BACKOFF.capMs / 1000 }) => firstS <= capS,
    'firstS is longer than capS (30 and 3600 seconds where they are not given)',
  );

export type RetrySettings = z.infer<typeof retrySchema>;

/** A PACS down for a weekend is asked once an hour and costs nothing; a week is a person's matter. */
export const DEFAULT_BACKOFF: BackoffSettings = {
  firstMs: 30_000,
  capMs: 3_600_000,
  horizonMs: 7 * 24 * 3_600_000,
};

/** @param otherwise what holds where the destination says nothing */
export function backoffOf(
  retry: RetrySettings | null | undefined,
  otherwise: BackoffSettings,
): BackoffSettings {
  if (!retry) return otherwise;
  const { firstS, factor, capS, horizonH } = retry;
  return {
    firstMs: firstS === undefined ? otherwise.firstMs : firstS * 1000,
    factor: factor ?? otherwise.factor ?? 2,
    capMs: capS === undefined ? otherwise.capMs : capS * 1000,
    horizonMs: horizonH === undefined ? otherwise.horizonMs : horizonH * 3_600_000,
  };
}

/** The wait after this many faults in a row, from 1, before jitter. */
function plainMs({ firstMs, factor = 2, capMs }: BackoffSettings, faults: number): number {
  return Math.min(firstMs * factor ** Math.min(faults - 1, 64), capMs);
}

/**
 * Whether a delivery has waited out its horizon. Counted by its own waits and not by a calendar: what the destination's
 * outages, its windows and our own standstills took is nobody's fault.
 * @param faults of its own, that it has waited for
 */
export function isGivenUp(settings: BackoffSettings, faults: number): boolean {
  let waitedMs = 0;
  for (let nth = 1; nth <= faults && waitedMs < settings.horizonMs; nth++) waitedMs += plainMs(settings, nth);
  return waitedMs >= settings.horizonMs;
}

/**
 * @param faults in a row, from 1
 * @param random from 0 to 1: spreads the wait over 80 to 120 %
 * @param leastMs what the peer asked for (Retry-After); it is kept, up to the cap
 * @returns milliseconds
 */
export function backoffMs(settings: BackoffSettings, faults: number, random: number, leastMs = 0): number {
  const spread = plainMs(settings, faults) * (0.8 + 0.4 * random);
  return Math.round(Math.min(Math.max(spread, leastMs), settings.capMs));
}
