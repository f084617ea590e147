/**
 * When the settler is to index what the journals told of, and when to place what is indexed: decisions over values.
 * Asked by settler.ts before each round. Objects are gathered for a moment, so that a transaction serves many; who
 * waits says so. Placing comes when nothing waits for the index, or when the journal holds much.
 */

/** One transaction takes at most this much, so that a release waits for a small one. */
export const BATCH_OBJECTS = 128;
/** Objects are gathered at most this long while nobody waits for them. */
const GATHER_MS = 100;
/** No object came for so long: time to place. */
const QUIET_MS = 250;
/** The journals hold this part of their limit: placing can wait no longer. */
const PRESSING_PART = 1 / 4;
/** The store was away: it is asked again after this. */
const STORE_RETRY_MS = 2000;

/** What the settler knows; times in epoch milliseconds. */
export interface PaceState {
  stopping: boolean;
  ackAfter: 'journal' | 'store';
  /** News of objects since the last look, since when, and when the last came. */
  told: number;
  toldSince: number;
  lastToldAt: number;
  /** Somebody waits for the index. */
  wanted: boolean;
  replaying: boolean;
  /** Bytes in the journals, and the most that may be. */
  held: number;
  limit: number;
  placer: { pending: number; full: boolean; away: boolean; steppedAt: number };
}

/** When the objects told of are to be indexed, in ms from now; Infinity when there is nothing to index. */
export function indexDueIn(state: PaceState, now: number): number {
  const { told, toldSince, wanted, stopping, ackAfter, placer } = state;
  if (told === 0 || placer.full) return Number.POSITIVE_INFINITY;
  if (wanted || told >= BATCH_OBJECTS || stopping || ackAfter === 'store') return 0;
  return Math.max(0, toldSince + GATHER_MS - now);
}

/** When what is indexed is to be placed, in ms from now; Infinity when there is nothing to place. */
export function placingDueIn(state: PaceState, now: number): number {
  const { placer, stopping, ackAfter, replaying, held, limit, lastToldAt } = state;
  if (placer.pending === 0) return Number.POSITIVE_INFINITY;
  const restMs = stopping ? STORE_RETRY_MS / 10 : STORE_RETRY_MS;
  const rest = placer.away ? Math.max(0, placer.steppedAt + restMs - now) : 0;
  const pressing = held > limit * PRESSING_PART || placer.full;
  if (stopping || pressing || ackAfter === 'store' || replaying) return rest;
  return Math.max(rest, lastToldAt + QUIET_MS - now);
}
