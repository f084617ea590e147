/**
 * DIMSE command sets (PS3.7 6.3, E.1): Implicit VR Little Endian elements of group 0000, read and written here.
 * The store lanes use this for C-STORE, where a trip through a general parser costs more than the message;
 * values are strings, numbers or tag lists by the element, nothing else occurs in group 0000.
 */
import { Failure } from '../failure.ts';

/** PS3.7 E.1, Command Field values that this room names. */
export const commandField = {
  storeRequest: 0x0001,
  storeResponse: 0x8001,
  echoRequest: 0x0030,
  echoResponse: 0x8030,
  eventReportRequest: 0x0100,
  actionRequest: 0x0130,
  cancelRequest: 0x0fff,
  responseBit: 0x8000,
} as const;

/** Command Data Set Type (0000,0800): this value says that no data set follows. */
export const noDataSet = 0x0101;

/** PS3.7 Table E.1-1: the elements that the lanes read or write, by keyword. */
const elements = {
  CommandGroupLength: { tag: 0x0000, vr: 'UL' },
  AffectedSOPClassUID: { tag: 0x0002, vr: 'UI' },
  RequestedSOPClassUID: { tag: 0x0003, vr: 'UI' },
  CommandField: { tag: 0x0100, vr: 'US' },
  MessageID: { tag: 0x0110, vr: 'US' },
  MessageIDBeingRespondedTo: { tag: 0x0120, vr: 'US' },
  Priority: { tag: 0x0700, vr: 'US' },
  CommandDataSetType: { tag: 0x0800, vr: 'US' },
  Status: { tag: 0x0900, vr: 'US' },
  OffendingElement: { tag: 0x0901, vr: 'AT' },
  ErrorComment: { tag: 0x0902, vr: 'LO' },
  AffectedSOPInstanceUID: { tag: 0x1000, vr: 'UI' },
  RequestedSOPInstanceUID: { tag: 0x1001, vr: 'UI' },
  EventTypeID: { tag: 0x1002, vr: 'US' },
  ActionTypeID: { tag: 0x1008, vr: 'US' },
  MoveOriginatorApplicationEntityTitle: { tag: 0x1030, vr: 'AE' },
  MoveOriginatorMessageID: { tag: 0x1031, vr: 'US' },
} as const;

export interface CommandSet {
  AffectedSOPClassUID?: string;
  RequestedSOPClassUID?: string;
  CommandField?: number;
  MessageID?: number;
  MessageIDBeingRespondedTo?: number;
  Priority?: number;
  CommandDataSetType?: number;
  Status?: number;
  /** Tags as "(gggg,eeee)". */
  OffendingElement?: string[];
  ErrorComment?: string;
  AffectedSOPInstanceUID?: string;
  RequestedSOPInstanceUID?: string;
  EventTypeID?: number;
  ActionTypeID?: number;
  MoveOriginatorApplicationEntityTitle?: string;
  MoveOriginatorMessageID?: number;
}

type Keyword = keyof CommandSet;
type Value = string | number | string[];

const keywordOfTag = new Map<number, keyof typeof elements>(
  Object.entries(elements).map(([keyword, { tag }]) => [tag, keyword as keyof typeof elements]),
);
const keywordsByTag = [...keywordOfTag.entries()]
  .sort(([a], [b]) => a - b)
  .map(([, keyword]) => keyword)
  .filter((keyword): keyword is Keyword => keyword !== 'CommandGroupLength');

/**
 * Reads a whole command set. Unknown elements are passed over, as are those of retired services.
 * Throws Failure 'invalid' when an element runs past the end, is not of group 0000, or has a wrong length.
 */
export function decodeCommandSet(bytes: Buffer): CommandSet {
  const command: Record<string, Value> = {};
  let at = 0;
  while (at < bytes.length) {
    if (at + 8 > bytes.length) throw broken('ends inside an element header');
    const group = bytes.readUInt16LE(at);
    const element = bytes.readUInt16LE(at + 2);
    const length = bytes.readUInt32LE(at + 4);
    const start = at + 8;
    if (group !== 0x0000) throw broken(`holds an element of group ${hex(group)}`);
    if (length > bytes.length - start) {
      throw broken(`has element (0000,${hex(element)}) with a length past its end`);
    }
    const keyword = keywordOfTag.get(element);
    if (keyword !== undefined && keyword !== 'CommandGroupLength') {
      command[keyword] = decodeValue(keyword, bytes.subarray(start, start + length));
    }
    at = start + length;
  }
  return command;
}

function decodeValue(keyword: Keyword, value: Buffer): Value {
  const { tag, vr } = elements[keyword];
  if (vr === 'US') {
    if (value.length !== 2) throw broken(`has (0000,${hex(tag)}) ${keyword} with a length other than 2`);
    return value.readUInt16LE(0);
  }
  if (vr === 'AT') {
    const tags: string[] = [];
    for (let at = 0; at + 4 <= value.length; at += 4) {
      tags.push(`(${hex(value.readUInt16LE(at))},${hex(value.readUInt16LE(at + 2))})`);
    }
    return tags;
  }
  return trimPadding(value.toString('latin1'));
}

/** Spaces and NULs at the end are padding; a leading space in an AE title is not significant either (PS3.5 6.2). */
function trimPadding(text: string): string {
  let end = text.length;
  while (end > 0 && (text.charCodeAt(end - 1) === 0 || text.charCodeAt(end - 1) === 0x20)) end--;
  let start = 0;
  while (start < end && text.charCodeAt(start) === 0x20) start++;
  return text.slice(start, end);
}

/** Writes a command set with its group length, elements in tag order. */
export function encodeCommandSet(command: CommandSet): Buffer {
  const parts: Buffer[] = [];
  for (const keyword of keywordsByTag) {
    const value = command[keyword];
    if (value !== undefined) parts.push(encodeElement(keyword, value));
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const group = Buffer.alloc(12);
  group.writeUInt32LE(4, 4);
  group.writeUInt32LE(length, 8);
  return Buffer.concat([group, ...parts], length + 12);
}

function encodeElement(keyword: Keyword, value: Value): Buffer {
  const { tag, vr } = elements[keyword];
  const bytes = encodeValue(vr, value);
  const element = Buffer.alloc(8 + bytes.length);
  element.writeUInt16LE(tag, 2);
  element.writeUInt32LE(bytes.length, 4);
  bytes.copy(element, 8);
  return element;
}

function encodeValue(vr: string, value: Value): Buffer {
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return bytes;
  }
  if (Array.isArray(value)) {
    const bytes = Buffer.alloc(4 * value.length);
    value.forEach((tag, index) => {
      const digits = /^\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?/.exec(tag);
      if (!digits) throw new Failure('internal', `Offending element ${tag} is not a tag as (gggg,eeee)`);
      bytes.writeUInt16LE(Number.parseInt(digits[1]!, 16), 4 * index);
      bytes.writeUInt16LE(Number.parseInt(digits[2]!, 16), 4 * index + 2);
    });
    return bytes;
  }
  const text = value.length % 2 === 0 ? value : value + (vr === 'UI' ? '\0' : ' ');
  return Buffer.from(text, 'latin1');
}

function broken(what: string): Failure {
  return new Failure('invalid', `The DIMSE command set ${what} (PS3.7 6.3.1)`);
}

function hex(word: number): string {
  return word.toString(16).toUpperCase().padStart(4, '0');
}
