/**
 * How long a link waits before its next try. Pure but for the jitter; called by worker.ts.
 */

export interface Backoff {
  /** First pause after a failure of the peer; it doubles with each try. */
  firstMs: number;
  longestMs: number;
  /** The same for a study whose patient is not there yet: registrations take hours, not seconds. */
  unlinkedFirstMs: number;
  unlinkedLongestMs: number;
}

export const BACKOFF: Backoff = {
  firstMs: 5_000,
  longestMs: 15 * 60_000,
  unlinkedFirstMs: 5 * 60_000,
  unlinkedLongestMs: 6 * 3_600_000,
};

/**
 * @param attempts tries so far, 1 after the first
 * @param retryAfterS what the peer asked for; never undercut
 */
export function retryDelayMs(firstMs: number, longestMs: number, attempts: number, retryAfterS = 0): number {
  const full = Math.min(longestMs, firstMs * 2 ** Math.min(attempts - 1, 30));
  // Half of it at random, so that studies that failed together do not come back together.
  return Math.round(Math.max(retryAfterS * 1000, full / 2) + Math.random() * (full / 2));
}
