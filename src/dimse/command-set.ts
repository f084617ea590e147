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
  let length = groupLengthBytes;
  for (const keyword of keywordsByTag) {
    const value = command[keyword];
    if (value !== undefined) length += 8 + lengthOf(value);
  }
  // One buffer: there is a command to every object that comes or leaves, and small ones are dear to allocate and to free.
  const bytes = Buffer.allocUnsafe(length);
  let at = writeHeader(bytes, 0, elements.CommandGroupLength.tag, 4);
  at = bytes.writeUInt32LE(length - groupLengthBytes, at);
  for (const keyword of keywordsByTag) {
    const value = command[keyword];
    if (value === undefined) continue;
    const { tag, vr } = elements[keyword];
    at = writeHeader(bytes, at, tag, lengthOf(value));
    at = writeValue(bytes, at, vr, value);
  }
  return bytes;
}

/** (0000,0000), which counts all that follows it. */
const groupLengthBytes = 12;

function lengthOf(value: Value): number {
  if (typeof value === 'number') return 2;
  return Array.isArray(value) ? 4 * value.length : value.length + (value.length % 2);
}

function writeHeader(bytes: Buffer, at: number, element: number, length: number): number {
  bytes.writeUInt16LE(0x0000, at);
  bytes.writeUInt16LE(element, at + 2);
  return bytes.writeUInt32LE(length, at + 4);
}

function writeValue(bytes: Buffer, at: number, vr: string, value: Value): number {
  if (typeof value === 'number') return bytes.writeUInt16LE(value, at);
  if (!Array.isArray(value)) {
    const end = at + bytes.write(value, at, 'latin1');
    return value.length % 2 === 0 ? end : bytes.writeUInt8(vr === 'UI' ? 0x00 : 0x20, end);
  }
  let end = at;
  for (const tag of value) {
    const digits = /^\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?/.exec(tag);
    if (!digits) throw new Failure('internal', `Offending element ${tag} is not a tag as (gggg,eeee)`);
    end = bytes.writeUInt16LE(Number.parseInt(digits[1]!, 16), end);
    end = bytes.writeUInt16LE(Number.parseInt(digits[2]!, 16), end);
  }
  return end;
}

function broken(what: string): Failure {
  return new Failure('invalid', `The DIMSE command set ${what} (PS3.7 6.3.1)`);
}

function hex(word: number): string {
  return word.toString(16).toUpperCase().padStart(4, '0');
}
