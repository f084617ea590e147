/**
 * What an association that we opened is asked, what it answers, and how long it waits for the peer.
 * Called by forwarding and the CLI through outbound-association.ts; requestor.ts keeps these promises.
 */
import type { OperationOutcome, OutgoingOperation } from './operation.ts';

export interface OutboundTimeouts {
  /** TCP and TLS. Default 10 s. */
  connectMs?: number;
  /** From the A-ASSOCIATE-RQ to its answer. Default 30 s. */
  associateMs?: number;
  /**
   * For the peer to take any bytes at all, and for the response to a request; for that longer where the request went
   * slowly, as its last bytes may still be on their way. Default 60 s.
   */
  responseMs?: number;
  /** For the A-RELEASE-RP. Default 10 s. */
  releaseMs?: number;
}

export interface OutboundObject {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  /** Bytes of the data set, where known: fewer or more abort the association before the object is whole. */
  length?: number;
  /** PS3.7 9.3.1.1: 0 medium (default), 1 high, 2 low. */
  priority?: number;
  /** Set when the C-STORE is a sub-operation of a C-MOVE. */
  moveOriginator?: { aeTitle: string; messageId: number };
}

export interface StoreResponse {
  status: number;
  errorComment?: string;
  /** Tags as "(gggg,eeee)". */
  offendingElements?: string[];
}

export interface OutboundAssociation {
  /** The context on which objects of this class and syntax can be sent as they are. */
  accepted(abstractSyntax: string, transferSyntaxUid: string): number | undefined;
  /** In words, why there is none: what the peer answered, or that it was not proposed. */
  refusal(abstractSyntax: string, transferSyntaxUid: string): string;
  /**
   * Sends the data set and waits for its response. A status is returned whatever it says.
   * Failures: 'peer-refused' without an accepted context; 'peer-unreachable' when the peer aborts, closes or
   * does not answer; the source's own when `bytes` throws (the association is aborted: PS3.7 has no other way out).
   * The chunks must stay as they are until the call settles.
   */
  store(object: OutboundObject, bytes: AsyncIterable<Uint8Array>): Promise<StoreResponse>;
  /**
   * N-ACTION or N-EVENT-REPORT, and its response whatever it says.
   * Failures: 'peer-refused' without an accepted context; 'peer-unreachable' when the peer aborts, closes or does not
   * answer; 'too-large' for a data set beyond operation.ts' bound.
   */
  request(operation: OutgoingOperation): Promise<OperationOutcome>;
  /** C-ECHO; needs an accepted context for Verification. The status. */
  echo(): Promise<number>;
  /** Never rejects: every answer that counts was given before. */
  release(): Promise<void>;
  abort(): void;
  /** False once released, aborted or lost. */
  readonly open: boolean;
}
