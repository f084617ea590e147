/**
 * What the intake's threads say to each other: journals (receivers, web thread) and the settler, over one
 * MessagePort a journal. Order on a port is the order of events.
 */
import type { Failure, FailureKind } from '../../failure.ts';
import { Failure as FailureError } from '../../failure.ts';
import type { Provenance } from './record.ts';

/** A point in a segment that the settler can be asked to pass. */
export interface JournalPoint {
  path: string;
  nonce: string;
  end: number;
}

/** Whether an object is kept, where its sender waits for that (verdict.ts). */
export type Verdict = 'kept' | 'refused' | 'awaited';

export type ReceptionOutcome = 'released' | 'aborted' | 'lost' | 'answered';

export type ToSettler =
  | ({ type: 'news'; sealed: boolean } & JournalPoint)
  /** Somebody waits for the index: what was told of is indexed now. */
  | { type: 'wanted' }
  /** An object in a file of its own is under way and has claimed so much; 0 when it is finished or dropped. */
  | { type: 'spilling'; path: string; claimed: number }
  /** Before the reception's first object: should its journal go, the settler closes it as lost. */
  | { type: 'reception-opened'; from: Provenance }
  | {
      type: 'reception-closed';
      from: Provenance;
      outcome: ReceptionOutcome;
      refused: number;
      /** Closed in the index once these are passed. */
      after: JournalPoint[];
    };

export type FromSettler =
  /** Everything in the segment before `to` is in the index. */
  | { type: 'indexed'; path: string; nonce: string; to: number }
  /** Everything before `to` is in the store and synced there. */
  | { type: 'placed'; path: string; nonce: string; to: number }
  | { type: 'released'; path: string }
  /** Whether the index, the store or the disk under them is away now. */
  | { type: 'stores'; away: boolean }
  /** Before its 'indexed', of a record whose sender waits for it: 'awaited' is followed by one of the others. */
  | ({ type: 'verdict'; verdict: Verdict } & JournalPoint);

/** A Failure as it crosses a thread boundary; causes stay on the side where they were logged. */
export interface PlainFailure {
  kind: FailureKind;
  message: string;
  attribute?: string;
  retryAfterS?: number;
}

export function toPlain(failure: Failure): PlainFailure {
  return {
    kind: failure.kind,
    message: failure.message,
    ...(failure.attribute === undefined ? {} : { attribute: failure.attribute }),
    ...(failure.retryAfterS === undefined ? {} : { retryAfterS: failure.retryAfterS }),
  };
}

export function fromPlain(plain: PlainFailure): Failure {
  return new FailureError(plain.kind, plain.message, plain);
}
