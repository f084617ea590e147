/**
 * DIMSE statuses as one cited table, the class and the words of each, and what may stand in an Error Comment.
 * The association lanes answer with them, scp picks its refusals from them, forwarding reads a peer's answer by them.
 */

/** 'transient' is a failure that the peer says comes from a lack of resources: the same request may succeed later. */
export type StatusClass = 'success' | 'warning' | 'transient' | 'failure' | 'cancel' | 'pending';

/** The statuses this software answers. PS3.7 Annex C; outOfResources and below from PS3.4 Table B.2-1 (Storage). */
export const status = {
  success: 0x0000,
  processingFailure: 0x0110,
  duplicateSopInstance: 0x0111,
  noSuchSopInstance: 0x0112,
  noSuchEventType: 0x0113,
  invalidArgumentValue: 0x0115,
  invalidSopInstance: 0x0117,
  noSuchSopClass: 0x0118,
  sopClassNotSupported: 0x0122,
  noSuchActionType: 0x0123,
  notAuthorized: 0x0124,
  duplicateInvocation: 0x0210,
  unrecognizedOperation: 0x0211,
  mistypedArgument: 0x0212,
  resourceLimitation: 0x0213,
  outOfResources: 0xa700,
  dataSetDoesNotMatchSopClass: 0xa900,
  cannotUnderstand: 0xc000,
} as const;

interface StatusRange {
  from: number;
  to: number;
  class: StatusClass;
  words: string;
}

function one(code: number, statusClass: StatusClass, words: string): StatusRange {
  return { from: code, to: code, class: statusClass, words };
}

/** The first row that holds a status names it; the wide ranges of PS3.7 Annex C stand last. */
const table: readonly StatusRange[] = [
  one(0x0000, 'success', 'Success'), // PS3.7 C.1
  one(0xff00, 'pending', 'Pending'), // PS3.7 C.2
  one(0xff01, 'pending', 'Pending, optional keys not supported'), // PS3.4 C.4.1.1.4
  one(0xfe00, 'cancel', 'Cancel'), // PS3.7 C.3
  one(0x0001, 'warning', 'Requested optional Attributes are not supported'), // PS3.7 C.4
  one(0x0107, 'warning', 'Attribute List Error'), // PS3.7 C.4
  one(0x0116, 'warning', 'Attribute Value Out of Range'), // PS3.7 C.4
  one(0xb000, 'warning', 'Coercion of Data Elements'), // PS3.4 Table B.2-1
  one(0xb006, 'warning', 'Elements Discarded'), // PS3.4 Table B.2-1
  one(0xb007, 'warning', 'Data Set does not match SOP Class'), // PS3.4 Table B.2-1
  { from: 0xb000, to: 0xbfff, class: 'warning', words: 'Warning' }, // PS3.7 C.4
  // PS3.7 C.5
  one(0x0105, 'failure', 'No Such Attribute'),
  one(0x0106, 'failure', 'Invalid Attribute Value'),
  one(0x0110, 'failure', 'Processing Failure'),
  one(0x0111, 'failure', 'Duplicate SOP Instance'),
  one(0x0112, 'failure', 'No Such SOP Instance'),
  one(0x0113, 'failure', 'No Such Event Type'),
  one(0x0114, 'failure', 'No Such Argument'),
  one(0x0115, 'failure', 'Invalid Argument Value'),
  one(0x0117, 'failure', 'Invalid SOP Instance'),
  one(0x0118, 'failure', 'No Such SOP Class'),
  one(0x0119, 'failure', 'Class-Instance Conflict'),
  one(0x0120, 'failure', 'Missing Attribute'),
  one(0x0121, 'failure', 'Missing Attribute Value'),
  one(0x0122, 'failure', 'Refused: SOP Class Not Supported'),
  one(0x0123, 'failure', 'No Such Action Type'),
  one(0x0124, 'failure', 'Refused: Not Authorized'),
  one(0x0210, 'failure', 'Duplicate Invocation'),
  one(0x0211, 'failure', 'Unrecognized Operation'),
  one(0x0212, 'failure', 'Mistyped Argument'),
  one(0x0213, 'transient', 'Resource Limitation'),
  one(0xa701, 'transient', 'Refused: Out of Resources, unable to calculate number of matches'), // PS3.4 C.4.2.1.5
  one(0xa702, 'transient', 'Refused: Out of Resources, unable to perform sub-operations'), // PS3.4 C.4.2.1.5
  { from: 0xa700, to: 0xa7ff, class: 'transient', words: 'Refused: Out of Resources' }, // PS3.4 Table B.2-1
  one(0xa801, 'failure', 'Refused: Move Destination Unknown'), // PS3.4 C.4.2.1.5
  { from: 0xa900, to: 0xa9ff, class: 'failure', words: 'Error: Data Set does not match SOP Class' }, // PS3.4 Table B.2-1
  { from: 0xc000, to: 0xcfff, class: 'failure', words: 'Error: Cannot Understand' }, // PS3.4 Table B.2-1
];

/**
 * What we answer to a C-STORE-RQ and when, as CONFORMANCE.md says it (a test holds the two together).
 * Never answered: 0x0111 (PS3.7 9.1.1.1.9 has none for C-STORE), 0x0210 (operations of an association run one by one), 0x0212, 0x0213 and the warnings (nothing is
 * coerced or left out).
 */
export const storeAnswers: readonly { status: number; when: string; source: string }[] = [
  {
    status: status.success,
    when: 'the object is durable; or it was already here with the same bytes',
    source: 'PS3.4 B.2.3',
  },
  {
    status: status.processingFailure,
    when: 'a fault of ours, named in the log',
    source: 'PS3.7 C.5',
  },
  {
    status: status.invalidSopInstance,
    when: '(0000,1000) AffectedSOPInstanceUID is missing or breaks the rules of UIDs',
    source: 'PS3.7 C.5',
  },
  {
    status: status.sopClassNotSupported,
    when: '(0000,0002) AffectedSOPClassUID is not the one its presentation context was accepted for',
    source: 'PS3.7 C.5',
  },
  { status: status.notAuthorized, when: 'this sender may not store this', source: 'PS3.7 C.5' },
  {
    status: status.unrecognizedOperation,
    when: 'not C-ECHO, C-STORE, C-CANCEL, or an operation of Storage Commitment',
    source: 'PS3.7 C.5',
  },
  {
    status: status.outOfResources,
    when: 'the journal is full, the disk reserve is reached or the store is away (with CONFLICT_POLICY=refuse the index, too): try again later',
    source: 'PS3.4 Table B.2-1',
  },
  {
    status: status.dataSetDoesNotMatchSopClass,
    when: 'the UIDs of command and data set differ',
    source: 'PS3.4 Table B.2-1',
  },
  {
    status: status.cannotUnderstand,
    when: 'a UID is missing or unreadable, or the data set is broken; or other content is here under its SOP Instance UID and the site refuses such (CONFLICT_POLICY=refuse)',
    source: 'PS3.4 Table B.2-1',
  },
];

/** Offending Element (0000,0901) belongs to 0xA9xx, 0xCxxx and the warnings of Storage (PS3.4 Table B.2-1). */
export function namesOffendingElement(code: number): boolean {
  return [0xa900, 0xb000, 0xc000].some(
    (from) => code >= from && code <= (from | (from === 0xa900 ? 0xff : 0xfff)),
  );
}

function rangeOf(code: number): StatusRange | undefined {
  return table.find(({ from, to }) => code >= from && code <= to);
}

/** What the Standard does not name is a failure: only a Success that was said is a Success. */
export function statusClass(code: number): StatusClass {
  return rangeOf(code)?.class ?? 'failure';
}

/** "0xA700" */
export function statusNumber(code: number): string {
  return `0x${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** "0xA700 Refused: Out of Resources" */
export function statusWord(code: number): string {
  return `${statusNumber(code)} ${rangeOf(code)?.words ?? 'status not named by the Standard'}`;
}

/** Error Comment (0000,0902) is an LO: 64 characters, one value, default repertoire (PS3.5 6.2, PS3.7 C.5). */
const errorCommentLength = 64;

/** A sentence as an Error Comment; what the default repertoire lacks becomes '?', a backslash would be a delimiter. */
export function errorComment(sentence: string): string {
  const plain = sentence
    .replace(/\s+/g, ' ')
    .replace(/[^\x20-\x7e]/g, '?')
    .replaceAll('\\', '/')
    .trim();
  return plain.length <= errorCommentLength
    ? plain
    : `${plain.slice(0, errorCommentLength - 3).trimEnd()}...`;
}
