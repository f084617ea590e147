/**
 * The envelope of a DICOM file (PS3.10 section 7): preamble, prefix and File Meta Information.
 * The archive writes it before a data set it keeps; STOW, reindex and the sender read it from the head of a file.
 */

import { Failure } from '../failure.ts';
import { IMPLEMENTATION_VERSION_NAME, trimUid, UID_ROOT_IMPLEMENTATION } from './uid.ts';

export interface FileMetaOf {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  sourceAeTitle?: string;
}

export interface FileMeta {
  transferSyntaxUid: string;
  sopClassUid?: string;
  sopInstanceUid?: string;
  /** Where the data set begins, in bytes from the start of the file. */
  dataSetOffset: number;
}

const PREAMBLE_LENGTH = 128;
const PREFIX = 'DICM';
const LONG_VRS = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV']);

/** Preamble, prefix and File Meta (Explicit VR Little Endian, with its group length) to stand before a data set. */
export function buildFileMeta(of: FileMetaOf): Buffer {
  const elements = [
    longElement(0x0001, 'OB', Buffer.from([0, 1])),
    shortElement(0x0002, 'UI', of.sopClassUid),
    shortElement(0x0003, 'UI', of.sopInstanceUid),
    shortElement(0x0010, 'UI', of.transferSyntaxUid),
    shortElement(0x0012, 'UI', UID_ROOT_IMPLEMENTATION),
    shortElement(0x0013, 'SH', IMPLEMENTATION_VERSION_NAME),
  ];
  if (of.sourceAeTitle) elements.push(shortElement(0x0016, 'AE', of.sourceAeTitle));
  const length = elements.reduce((sum, element) => sum + element.length, 0);
  const groupLength = Buffer.alloc(12);
  groupLength.writeUInt16LE(0x0002, 0);
  groupLength.write('UL', 4, 'latin1');
  groupLength.writeUInt16LE(4, 6);
  groupLength.writeUInt32LE(length, 8);
  const preamble = Buffer.alloc(PREAMBLE_LENGTH + PREFIX.length);
  preamble.write(PREFIX, PREAMBLE_LENGTH, 'latin1');
  return Buffer.concat([preamble, groupLength, ...elements]);
}

/**
 * Reads File Meta from the head of a file, which must hold all of it (a few hundred bytes; 64 KB is ample).
 * Walks by elements and believes no group length; a file without preamble is read when it begins with DICM or group 0002.
 * Failure 'invalid' when it is not DICOM, is cut short, or names no transfer syntax.
 */
export function readFileMeta(head: Uint8Array): FileMeta {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  let at = metaOffset(bytes);
  const values = new Map<number, string>();
  while (at + 2 <= bytes.length && bytes.readUInt16LE(at) === 0x0002) {
    if (at + 8 > bytes.length) throw cutShort(at);
    const element = bytes.readUInt16LE(at + 2);
    const name = `(0002,${element.toString(16).toUpperCase().padStart(4, '0')})`;
    const vr = bytes.toString('latin1', at + 4, at + 6);
    if (!/^[A-Z]{2}$/.test(vr)) {
      throw new Failure('invalid', `${name} in File Meta has no value representation (PS3.10 7.1)`);
    }
    const isLong = LONG_VRS.has(vr);
    if (isLong && at + 12 > bytes.length) throw cutShort(at);
    const length = isLong ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
    const valueAt = at + (isLong ? 12 : 8);
    if (valueAt + length > bytes.length) {
      throw new Failure(
        'invalid',
        `truncated inside ${name} of File Meta: ${bytes.length - valueAt} bytes of ${length} present`,
      );
    }
    if (element === 0x0002 || element === 0x0003 || element === 0x0010) {
      values.set(element, trimUid(bytes.toString('latin1', valueAt, valueAt + length)));
    }
    at = valueAt + length;
  }
  const transferSyntaxUid = values.get(0x0010);
  if (!transferSyntaxUid) {
    throw new Failure('invalid', 'File Meta has no (0002,0010) TransferSyntaxUID', {
      attribute: '(0002,0010) TransferSyntaxUID',
    });
  }
  const meta: FileMeta = { transferSyntaxUid, dataSetOffset: at };
  const sopClassUid = values.get(0x0002);
  const sopInstanceUid = values.get(0x0003);
  if (sopClassUid) meta.sopClassUid = sopClassUid;
  if (sopInstanceUid) meta.sopInstanceUid = sopInstanceUid;
  return meta;
}

function metaOffset(bytes: Buffer): number {
  if (bytes.toString('latin1', PREAMBLE_LENGTH, PREAMBLE_LENGTH + 4) === PREFIX) return PREAMBLE_LENGTH + 4;
  if (bytes.toString('latin1', 0, 4) === PREFIX) return 4;
  // Group 0002 at once, without preamble and prefix: believed only with a VR behind the tag.
  if (
    bytes.length >= 8 &&
    bytes.readUInt16LE(0) === 0x0002 &&
    /^[A-Z]{2}$/.test(bytes.toString('latin1', 4, 6))
  ) {
    return 0;
  }
  throw new Failure(
    'invalid',
    'not a DICOM file: neither DICM after a preamble of 128 bytes nor group 0002 at its start',
  );
}

function cutShort(at: number): Failure {
  return new Failure('invalid', `File Meta is cut short inside an element header at byte ${at}`);
}

function shortElement(element: number, vr: string, text: string): Buffer {
  const pad = text.length % 2 === 0 ? '' : vr === 'UI' ? '\0' : ' ';
  const value = Buffer.from(text + pad, 'latin1');
  const header = Buffer.alloc(8);
  header.writeUInt16LE(0x0002, 0);
  header.writeUInt16LE(element, 2);
  header.write(vr, 4, 'latin1');
  header.writeUInt16LE(value.length, 6);
  return Buffer.concat([header, value]);
}

function longElement(element: number, vr: string, value: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16LE(0x0002, 0);
  header.writeUInt16LE(element, 2);
  header.write(vr, 4, 'latin1');
  header.writeUInt32LE(value.length, 8);
  return Buffer.concat([header, value]);
}
