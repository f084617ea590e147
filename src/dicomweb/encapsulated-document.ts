/**
 * Encapsulated PDF, CDA, STL and OBJ (PS3.3 A.45, A.85): the document as it was before DICOM, byte for byte.
 * Called by rendered.ts; the bytes are the value of (0042,0011), read as bulk data is.
 */
import { readHeader } from '../archive/read-header.ts';
import type { StoredObject } from '../archive/stored-object.ts';
import { number, text } from '../dicom/data-set.ts';
import { Failure } from '../failure.ts';
import { binaryValue } from './bulk-data.ts';
import type { RangedAnswer } from './byte-range.ts';
import type { FrameParts } from './frame-bytes.ts';

export interface EncapsulatedDocument extends Pick<RangedAnswer, 'type' | 'length' | 'bytes'> {
  readonly extension: string;
}

const DOCUMENT = '00420011';
/** What a browser is told; anything else that a sender writes is given as bytes only. */
const EXTENSIONS: Readonly<Record<string, string>> = {
  'application/pdf': 'pdf',
  'text/xml': 'xml',
  'model/stl': 'stl',
  'model/obj': 'obj',
  'model/mtl': 'mtl',
};

export function isDocument({ sopClass }: StoredObject): boolean {
  return sopClass.startsWith('1.2.840.10008.5.1.4.1.1.104.');
}

/** @throws Failure 'not-acceptable' where there is none */
export async function encapsulatedDocument(
  parts: FrameParts,
  object: StoredObject,
): Promise<EncapsulatedDocument> {
  const header = await readHeader(parts.reader, object);
  if (!header.dataSet.elements.has(DOCUMENT) && !header.longValues.has(DOCUMENT))
    throw new Failure('not-acceptable', `${object.sopUid} has no (0042,0011) EncapsulatedDocument`);
  const value = binaryValue(parts, object, header, DOCUMENT);
  const named = (text(header.dataSet, '00420012') ?? '').trim().toLowerCase();
  const type = named in EXTENSIONS ? named : 'application/octet-stream';
  // (0042,0015) EncapsulatedDocumentLength tells the byte of padding from the document.
  const said = number(header.dataSet, '00420015');
  const length = said !== undefined && said === value.length - 1 ? said : value.length;
  return {
    type,
    extension: EXTENSIONS[type] ?? 'bin',
    length,
    bytes: (range) => value.bytes(range ?? (length < value.length ? { offset: 0, length } : undefined)),
  };
}
