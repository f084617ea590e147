/**
 * The one error the rooms throw on purpose: a closed kind, a sentence, and the cause behind it.
 * Each door (scp, dicomweb, fhir, forwarding, http) has one table from FailureKind to its own status;
 * rooms below the doors never know a DIMSE or HTTP status.
 * The sentence names attributes by tag and keyword, UIDs and AE titles, never a patient's data.
 */

export type FailureKind =
  | 'invalid' // the request or object breaks a rule; the sentence says which
  | 'mismatch' // two places that must agree do not (command UID against data set UID)
  | 'not-found'
  | 'conflict' // the state of the thing forbids it now
  | 'forbidden'
  | 'not-acceptable' // none of the forms asked for can be given
  | 'unsupported' // valid, but not something this software does
  | 'too-large'
  | 'no-space' // the journal or the disk reserve is used up
  | 'unavailable' // a part this one depends on is away; trying again makes sense
  | 'peer-refused' // a peer answered, and answered no: trying again makes no sense
  | 'peer-unreachable' // a peer did not answer, or answered "not now"
  | 'internal';

export interface FailureDetail {
  cause?: unknown;
  /** The attribute at fault as "(0020,000D) StudyInstanceUID". */
  attribute?: string;
  /** Seconds after which a retry may succeed, for kind 'unavailable'. */
  retryAfterS?: number;
}

export class Failure extends Error {
  readonly kind: FailureKind;
  readonly attribute: string | undefined;
  readonly retryAfterS: number | undefined;

  constructor(kind: FailureKind, message: string, detail: FailureDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'Failure';
    this.kind = kind;
    this.attribute = detail.attribute;
    this.retryAfterS = detail.retryAfterS;
  }
}

/** Any thrown value as a Failure; what is not one becomes 'internal' with the original as its cause. */
export function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new Failure('internal', message, { cause: thrown });
}

/** How far down a chain of causes is looked: a chain may be a circle. */
const MOST_CAUSES = 5;

/** The codes of what lies behind a failure ("ENOSPC", "ECONNREFUSED"): they tell the cause and quote nobody. */
export function causeCodes(failure: Failure): string | undefined {
  const codes: string[] = [];
  let cause: unknown = failure.cause;
  for (let depth = 0; depth < MOST_CAUSES && cause instanceof Error; depth++) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === 'string' && !codes.includes(code)) codes.push(code);
    cause = cause.cause;
  }
  return codes.length > 0 ? codes.join(', ') : undefined;
}
