/**
 * What a way of sending (storage-scu.ts, stow-scu.ts) is given for one attempt at a delivery, and how it says that
 * going on makes no sense. Made by send-delivery.ts.
 */
import type { Database } from '../archive/database/database.ts';
import type { PieceBuffers } from '../archive/object-store/piece-buffers.ts';
import type { ObjectReader } from '../archive/read-object.ts';
import type { Log } from '../log.ts';
import type { AttemptEnd } from '../routing/attempt-end.ts';
import type { ClaimedDelivery } from '../routing/claim.ts';
import type { Ledger } from '../routing/ledger.ts';
import type { CompiledTransform } from '../transform/transform.ts';
import type { OutcomeLog } from './outcome-log.ts';
import type { Pace } from './pace.ts';
import type { RecodingParts } from './recoded-pixels.ts';

export interface Attempt {
  readonly claimed: ClaimedDelivery;
  /** What the rule changes on the way; undefined for the bytes as stored. */
  readonly transform: CompiledTransform | undefined;
  readonly outcomes: OutcomeLog;
  /** The destination's send rate. */
  readonly pace: Pace;
  /** The lease is lost, or the room closes now: leave everything as it is. */
  readonly lost: AbortSignal;
  /** The room closes, or the destination's window does: end after the instance under way. */
  readonly closing: AbortSignal;
  /** Values of the study that identify the patient, to be taken out of a peer's words. */
  readonly identifying: readonly string[];
  /**
   * The peer judged an instance, so the destination is not down any more. Told at the first such answer, not at the
   * first connection: a PACS that accepts associations and has no room is asked ever more rarely, too.
   */
  answered(): Promise<void>;
  readonly database: Database;
  readonly ledger: Ledger;
  readonly reader: ObjectReader;
  /** For bytes on their way, of all attempts. */
  readonly buffers: PieceBuffers;
  /** To send pixels in another compression, of all attempts. */
  readonly recoding: RecodingParts;
  readonly log: Log;
}

export interface SendTimeouts {
  readonly connectMs: number;
  /** For an answer, and for the peer to take any bytes at all. */
  readonly answerMs: number;
}

/** So many transient answers in a row mean the peer itself is in trouble, and the rest is left to a later attempt. */
export const MAX_TRANSIENT = 3;

/**
 * The end of an attempt that has tried everything: what was left behind is for a later one.
 * @param mute the connection was lost and not one instance was answered: a peer that hangs looks no different
 */
export function triedAll(outcomes: OutcomeLog, mute: boolean): AttemptEnd {
  if (outcomes.left === 0) return { kind: 'done' };
  const reason = outcomes.lastReason ?? 'some instances were not taken';
  return mute ? { kind: 'retry', down: true, amid: true, reason } : { kind: 'retry', down: false, reason };
}
