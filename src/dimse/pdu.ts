/**
 * The PDUs of the DICOM Upper Layer (PS3.8 9.3): their types, the small ones as bytes, and the words of rejects and aborts.
 * Used by both associations; A-ASSOCIATE-RQ and -AC are written and read by the engine (engine.ts).
 */
import type { AssociationRefusalCode } from './refusal-code.ts';

/** PS3.8 9.3.1, Table 9-11 onwards. */
export const pduType = {
  associateRequest: 0x01,
  associateAccept: 0x02,
  associateReject: 0x03,
  data: 0x04,
  releaseRequest: 0x05,
  releaseResponse: 0x06,
  abort: 0x07,
} as const;

export const pduHeaderLength = 6;
/** PDV item length (4), presentation context ID (1), message control header (1): PS3.8 9.3.5.1. */
export const pdvHeaderLength = 6;

/** Message control header bits, PS3.8 Annex E.2. */
export const pdvIsCommand = 0x01;
export const pdvIsLast = 0x02;

/** PS3.8 9.3.8, Table 9-26. */
export const abortSource = { serviceUser: 0, serviceProvider: 2 } as const;
export const abortReason = {
  notSpecified: 0,
  unrecognizedPdu: 1,
  unexpectedPdu: 2,
  unrecognizedParameter: 4,
  unexpectedParameter: 5,
  invalidParameter: 6,
} as const;

/** PS3.8 9.3.4, Table 9-21. Which reason means what depends on the source. */
export interface AssociationReject {
  result: number;
  source: number;
  reason: number;
}

export const rejectResult = { permanent: 1, transient: 2 } as const;
export const rejectSource = { serviceUser: 1, acse: 2, presentation: 3 } as const;

const rejectWords: Record<number, Record<number, string>> = {
  1: {
    1: 'no reason given',
    2: 'application context name not supported',
    3: 'calling AE title not recognized',
    7: 'called AE title not recognized',
  },
  2: { 1: 'no reason given', 2: 'protocol version not supported' },
  3: { 1: 'temporary congestion', 2: 'local limit exceeded' },
};

const rejectSourceWords: Record<number, string> = {
  1: 'service user',
  2: 'service provider (ACSE)',
  3: 'service provider (presentation)',
};

const abortWords: Record<number, string> = {
  0: 'reason not specified',
  1: 'unrecognized PDU',
  2: 'unexpected PDU',
  4: 'unrecognized PDU parameter',
  5: 'unexpected PDU parameter',
  6: 'invalid PDU parameter value',
};

/** PS3.8 Table 9-21 in the closed words of the list of refusals, where the caller has none of its own. */
export function rejectCode({ source, reason }: AssociationReject): AssociationRefusalCode {
  if (source === rejectSource.serviceUser && reason === 7) return 'called-ae';
  if (source === rejectSource.serviceUser && reason === 3) return 'calling-ae';
  return source === rejectSource.presentation && reason <= 2 ? 'limit' : 'protocol';
}

/** PS3.8 Table 9-26, of an abort for the peer's fault. */
export function abortCode(reason: number): AssociationRefusalCode {
  const unexpected = reason === abortReason.unexpectedPdu || reason === abortReason.unexpectedParameter;
  return unexpected ? 'unexpected' : 'malformed';
}

/** "rejected permanently by the service user: called AE title not recognized" */
export function rejectSentence({ result, source, reason }: AssociationReject): string {
  const duration = result === rejectResult.transient ? 'for now' : 'permanently';
  const who = rejectSourceWords[source] ?? `source ${source}`;
  const why = rejectWords[source]?.[reason] ?? `reason ${reason}`;
  return `rejected ${duration} by the ${who}: ${why}`;
}

/** "aborted by the service provider: unexpected PDU"; a service user gives no reason (PS3.8 9.3.8). */
export function abortSentence(source: number, reason: number): string {
  if (source === abortSource.serviceUser) return 'aborted by the service user';
  return `aborted by the service provider: ${abortWords[reason] ?? `reason ${reason}`}`;
}

export function encodeAbort(source: number, reason: number): Buffer {
  return Buffer.from([pduType.abort, 0, 0, 0, 0, 4, 0, 0, source, reason]);
}

export function encodeReleaseRequest(): Buffer {
  return Buffer.from([pduType.releaseRequest, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
}

/** The 12 bytes before a P-DATA-TF PDU's only PDV value. */
export function encodePdvPrefix(contextId: number, control: number, valueLength: number): Buffer {
  const prefix = Buffer.allocUnsafe(pduHeaderLength + pdvHeaderLength);
  prefix[0] = pduType.data;
  prefix[1] = 0;
  prefix.writeUInt32BE(valueLength + pdvHeaderLength, 2);
  prefix.writeUInt32BE(valueLength + 2, 6);
  prefix[10] = contextId;
  prefix[11] = control;
  return prefix;
}

/** Bytes of a PDV value that fit a PDU of the length the peer announced; 0 means the peer sets no limit. */
export function pdvValueLimit(peerMaxPduLength: number, ours: number): number {
  const limit = peerMaxPduLength === 0 ? ours : Math.min(peerMaxPduLength, ours);
  return limit - pdvHeaderLength;
}

/**
 * A command set as P-DATA-TF PDUs in one buffer, so that one socket write carries it:
 * two writes meet Nagle's algorithm and stall 40 ms where the peer delays its acknowledgement.
 */
export function encodeCommandMessage(contextId: number, command: Buffer, valueLimit: number): Buffer {
  return encodeFragments(contextId, pdvIsCommand, command, valueLimit);
}

/** The data set of a message that is small enough to be held. */
export function encodeDataMessage(contextId: number, dataSet: Buffer, valueLimit: number): Buffer {
  return encodeFragments(contextId, 0, dataSet, valueLimit);
}

function encodeFragments(contextId: number, control: number, bytes: Buffer, valueLimit: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += valueLimit) {
    const value = bytes.subarray(at, at + valueLimit);
    const last = at + valueLimit >= bytes.length ? pdvIsLast : 0;
    parts.push(encodePdvPrefix(contextId, control | last, value.length), value);
  }
  return Buffer.concat(parts);
}
