/**
 * Reads an A-ASSOCIATE-RQ (PS3.8 9.3.2) strictly before the engine may see it: every length, every context.
 * inbound-association.ts gives it the PDU; the request goes on to scp's admission, the checked PDU to the engine.
 * The engine renumbers contexts that do not come in rising order, so they are put in order here.
 */
import { trimPadding } from '../dicom/padding.ts';
import { Failure } from '../failure.ts';
import {
  type AssociationReject,
  pduHeaderLength,
  pdvHeaderLength,
  rejectResult,
  rejectSource,
} from './pdu.ts';

export interface PresentationContextRequest {
  id: number;
  abstractSyntax: string;
  /** In the sender's order of preference. */
  transferSyntaxes: string[];
}

export interface AssociationRequest {
  callingAeTitle: string;
  calledAeTitle: string;
  remoteAddress: string;
  remotePort: number;
  implementationClassUid: string;
  implementationVersionName: string;
  /** The peer's Maximum Length Received; 0 sets no limit (PS3.8 D.1). */
  maxPduLength: number;
  contexts: PresentationContextRequest[];
}

export interface ParsedAssociationRequest {
  request: Omit<AssociationRequest, 'remoteAddress' | 'remotePort'>;
  /** The PDU with its presentation contexts in rising order of ID. */
  pdu: Buffer;
  /** Set when the protocol itself, or a limit, demands a reject, whatever admission would say. */
  reject?: AssociationReject & { sentence: string };
}

const itemType = {
  applicationContext: 0x10,
  presentationContext: 0x20,
  abstractSyntax: 0x30,
  transferSyntax: 0x40,
  userInformation: 0x50,
  maximumLength: 0x51,
  implementationClassUid: 0x52,
  implementationVersionName: 0x55,
} as const;

const applicationContextName = '1.2.840.10008.3.1.1.1';
/** Protocol version, reserved, called AE, calling AE, reserved: PS3.8 Table 9-11. */
const fixedLength = 2 + 2 + 16 + 16 + 32;

/** 128 contexts with every transfer syntax of the Standard each are some 8,000. */
const maxItems = 16_384;

interface Item {
  type: number;
  value: Buffer;
  whole: Buffer;
}

/** Throws Failure 'invalid' where a length runs out of its PDU or an item is not what PS3.8 9.3.2 allows. */
export function parseAssociationRequest(pdu: Buffer): ParsedAssociationRequest {
  const body = pdu.subarray(pduHeaderLength);
  if (body.length < fixedLength) throw broken('is shorter than its fixed fields');
  const protocolVersion = body.readUInt16BE(0);
  const request: ParsedAssociationRequest['request'] = {
    calledAeTitle: text(body.subarray(4, 20)),
    callingAeTitle: text(body.subarray(20, 36)),
    implementationClassUid: '',
    implementationVersionName: '',
    maxPduLength: 0,
    contexts: [],
  };
  if (countItems(body.subarray(fixedLength)) > maxItems) {
    const sentence = `The A-ASSOCIATE-RQ holds more than ${maxItems} items, which is the limit`;
    const reject = { result: rejectResult.permanent, source: rejectSource.presentation, reason: 2, sentence };
    return { request, pdu, reject };
  }
  const others: Buffer[] = [];
  const contextItems: { id: number; whole: Buffer }[] = [];
  let applicationContext = '';
  for (const item of items(body.subarray(fixedLength))) {
    if (item.type === itemType.presentationContext) {
      const context = parseContext(item.value);
      request.contexts.push(context);
      contextItems.push({ id: context.id, whole: item.whole });
      continue;
    }
    if (item.type === itemType.applicationContext) applicationContext = text(item.value);
    if (item.type === itemType.userInformation) parseUserInformation(item.value, request);
    others.push(item.whole);
  }
  checkContexts(request.contexts);
  const parsed: ParsedAssociationRequest = { request, pdu: inOrder(pdu, contextItems, others) };
  const reject = protocolReject(protocolVersion, applicationContext, request.maxPduLength);
  if (reject) parsed.reject = reject;
  return parsed;
}

function parseContext(value: Buffer): PresentationContextRequest {
  if (value.length < 4) throw broken('has a presentation context item without an ID');
  const context: PresentationContextRequest = { id: value[0]!, abstractSyntax: '', transferSyntaxes: [] };
  for (const { type, value: syntax } of items(value.subarray(4))) {
    if (type === itemType.abstractSyntax) {
      if (context.abstractSyntax)
        throw broken(`has two abstract syntaxes in presentation context ${context.id}`);
      context.abstractSyntax = text(syntax);
    } else if (type === itemType.transferSyntax) {
      if (!context.abstractSyntax) {
        throw broken(
          `has a transfer syntax before the abstract syntax of presentation context ${context.id}`,
        );
      }
      context.transferSyntaxes.push(text(syntax));
    }
  }
  if (!context.abstractSyntax) throw broken(`has no abstract syntax in presentation context ${context.id}`);
  if (context.transferSyntaxes.length === 0) {
    throw broken(`has no transfer syntax in presentation context ${context.id}`);
  }
  return context;
}

function parseUserInformation(value: Buffer, request: ParsedAssociationRequest['request']): void {
  for (const item of items(value)) {
    if (item.type === itemType.maximumLength) {
      if (item.value.length !== 4) throw broken('has a Maximum Length sub-item that is not 4 bytes long');
      request.maxPduLength = item.value.readUInt32BE(0);
    }
    if (item.type === itemType.implementationClassUid) request.implementationClassUid = text(item.value);
    if (item.type === itemType.implementationVersionName)
      request.implementationVersionName = text(item.value);
  }
}

/** IDs are odd, 1 to 255, and used once (PS3.8 9.3.2.2), which also bounds them to 128. */
function checkContexts(contexts: PresentationContextRequest[]): void {
  if (contexts.length === 0) throw broken('proposes no presentation context');
  const seen = new Set<number>();
  for (const { id } of contexts) {
    if (id % 2 === 0) throw broken(`has the even presentation context ID ${id}`);
    if (seen.has(id)) throw broken(`has presentation context ID ${id} twice`);
    seen.add(id);
  }
}

function protocolReject(
  protocolVersion: number,
  applicationContext: string,
  maxPduLength: number,
): ParsedAssociationRequest['reject'] {
  if ((protocolVersion & 1) === 0) {
    const sentence = `Protocol version ${protocolVersion} does not include version 1 (PS3.8 9.3.2)`;
    return { result: rejectResult.permanent, source: rejectSource.acse, reason: 2, sentence };
  }
  if (applicationContext !== applicationContextName) {
    const sentence = `The application context name is not ${applicationContextName} (PS3.7 A.2.1)`;
    return { result: rejectResult.permanent, source: rejectSource.serviceUser, reason: 2, sentence };
  }
  if (maxPduLength !== 0 && maxPduLength <= pdvHeaderLength) {
    const sentence = `A Maximum Length Received of ${maxPduLength} leaves no room for a PDV (PS3.8 D.1)`;
    return { result: rejectResult.permanent, source: rejectSource.presentation, reason: 2, sentence };
  }
  return undefined;
}

function inOrder(pdu: Buffer, contexts: { id: number; whole: Buffer }[], others: Buffer[]): Buffer {
  if (contexts.every((context, index) => index === 0 || contexts[index - 1]!.id < context.id)) return pdu;
  const [applicationContext, ...rest] = others;
  const ordered = contexts.sort((a, b) => a.id - b.id).map((context) => context.whole);
  const fixed = pdu.subarray(0, pduHeaderLength + fixedLength);
  return Buffer.concat([fixed, ...(applicationContext ? [applicationContext] : []), ...ordered, ...rest]);
}

/** Those of contexts and user information included; a break in them is found by who reads them. */
function countItems(bytes: Buffer): number {
  let count = 0;
  for (const { type, value } of items(bytes)) {
    count++;
    if (type === itemType.presentationContext) count += countItems(value.subarray(4));
    if (type === itemType.userInformation) count += countItems(value);
    if (count > maxItems) break;
  }
  return count;
}

/** Items of type (1), reserved (1), length (2, big endian), value; lengths must fill their parent exactly. */
function* items(bytes: Buffer): Generator<Item> {
  let at = 0;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw broken('ends inside an item header');
    const length = bytes.readUInt16BE(at + 2);
    const end = at + 4 + length;
    if (end > bytes.length)
      throw broken(`has an item of type 0x${bytes[at]!.toString(16)} that runs past its end`);
    yield { type: bytes[at]!, value: bytes.subarray(at + 4, end), whole: bytes.subarray(at, end) };
    at = end;
  }
}

/** AE titles are padded with spaces, some peers pad UIDs with a NUL (PS3.8 F.1, Annex B). */
function text(bytes: Buffer): string {
  return trimPadding(bytes.toString('latin1'));
}

function broken(what: string): Failure {
  return new Failure('invalid', `The A-ASSOCIATE-RQ ${what} (PS3.8 9.3.2)`);
}
