/**
 * Why something was refused, as a closed and small set of words: the label of the metric, the filter of /api/refusals.
 * The association names the code of what it refuses by itself, scp and STOW that of a Failure; archive/refusal.ts lists.
 * The sentence beside a code says the particulars; a code never holds a name or a number.
 */
import type { FailureKind } from '../failure.ts';

/** What is refused, and the codes it can be refused with. A context is a presentation context that was proposed. */
export const refusalCodes = {
  association: [
    'called-ae', // PS3.8 Table 9-21, 1/7: not our AE title
    'calling-ae', // 1/3: an AE title that is not known here
    'address', // 1/3: a known AE title at an address that is not its own
    'certificate', // 1/3, or no association at all: the TLS certificate is not the one asked for
    'limit', // 3/2: too many associations or connections
    'protocol', // 2/2, 1/2: not the protocol version or application context of DICOM
    'malformed', // A-ABORT 1, 4, 6: bytes that are no PDU, lengths and items that do not fit
    'unexpected', // A-ABORT 2, 5: a PDU or fragment that may not come now
    'silent', // ARTIM ran out, or nothing came for the idle time
    'shutdown',
    'internal',
  ],
  context: ['sop-class', 'transfer-syntax'], // PS3.8 Table 9-18, 3 and 4
  operation: [
    'unrecognized', // 0x0211
    'not-done', // an N-ACTION or N-EVENT-REPORT that was answered with a failure
  ],
  object: [
    'sop-class', // 0x0122
    'command', // 0x0117, 0xC000: the C-STORE-RQ itself is wrong
    'unreadable', // 0xC000: a UID is missing or the data set is broken
    'mismatch', // 0xA900
    'duplicate', // 0xC000: other content is here under the UID
    'not-authorized', // 0x0124
    'too-large', // 0xA700
    'no-space', // 0xA700
    'unavailable', // 0xA700
    'internal', // 0x0110
  ],
  /** A STOW-RS request as a whole. */
  request: ['media-type', 'malformed', 'too-large', 'no-space', 'unavailable', 'internal'],
  /** Of a STOW-RS request. */
  part: [
    'sop-class',
    'unreadable',
    'mismatch',
    'duplicate',
    'not-authorized',
    'too-large',
    'no-space',
    'unavailable',
    'internal',
  ],
} as const;

export type Refused = keyof typeof refusalCodes;
export type AssociationRefusalCode = (typeof refusalCodes.association)[number];
export type ObjectRefusalCode = (typeof refusalCodes.object)[number];
export type RequestRefusalCode = (typeof refusalCodes.request)[number];
export type RefusalCode = (typeof refusalCodes)[Refused][number];

/** The code of an object or part that a Failure refused. */
export const codeOfFailure: Record<FailureKind, Exclude<ObjectRefusalCode, 'command'>> = {
  invalid: 'unreadable',
  mismatch: 'mismatch',
  'not-found': 'internal',
  conflict: 'duplicate',
  forbidden: 'not-authorized',
  'not-acceptable': 'sop-class',
  unsupported: 'sop-class',
  'too-large': 'too-large',
  'no-space': 'no-space',
  unavailable: 'unavailable',
  'peer-refused': 'internal',
  'peer-unreachable': 'internal',
  internal: 'internal',
};
