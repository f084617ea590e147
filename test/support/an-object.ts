/**
 * Small DICOM objects made up for tests of the archive: a data set in Explicit VR Little Endian, and what a C-STORE
 * command or File Meta says of it. Every value can be given; UIDs come from a counter, so no two objects are the same.
 */
import { createHash, randomInt } from 'node:crypto';
import { element, uint16 } from '../dicom/elements.ts';

export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const MR = '1.2.840.10008.5.1.4.1.1.4';
export const EXPLICIT = '1.2.840.10008.1.2.1';

export interface Wanted {
  /** Default CT Image Storage. */
  sopClass?: string;
  study?: string;
  series?: string;
  sop?: string;
  /** '' for an empty element, undefined for the default, null for none */
  patientId?: string | null;
  issuer?: string;
  birthDate?: string;
  number?: number;
  pixelBytes?: number;
  /** Seeds the pixels: another value, other bytes. */
  pixels?: number;
  /** Elements of group 0010 to 0020 are not sorted in: give tags above (0020,000E) and below (7FE0,0010). */
  more?: Buffer[];
}

export interface AnObject {
  declared: { sopClassUid: string; sopInstanceUid: string; transferSyntaxUid: string };
  study: string;
  series: string;
  sop: string;
  dataSet: Buffer;
  contentHash: string;
}

const root = `2.25.${randomInt(1, 2 ** 47)}`;
let made = 0;
export const uid = (): string => `${root}.${++made}`;

export function anObject(wanted: Wanted = {}): AnObject {
  const { study = uid(), series = uid(), sop = uid(), patientId = 'P1', issuer, birthDate } = wanted;
  const { number = 1, pixelBytes = 512, pixels = 0, more = [], sopClass = CT } = wanted;
  const dataSet = Buffer.concat([
    element('00080016', 'UI', padded(sopClass, '\0')),
    element('00080018', 'UI', padded(sop, '\0')),
    element('00080060', 'CS', 'CT'),
    element('00100010', 'PN', 'Example^Anna'),
    ...(patientId === null ? [] : [element('00100020', 'LO', padded(patientId))]),
    ...(issuer === undefined ? [] : [element('00100021', 'LO', padded(issuer))]),
    ...(birthDate === undefined ? [] : [element('00100030', 'DA', birthDate)]),
    element('0020000D', 'UI', padded(study, '\0')),
    element('0020000E', 'UI', padded(series, '\0')),
    element('00200013', 'IS', padded(String(number))),
    ...more,
    element('00280010', 'US', uint16(16)),
    element('7FE00010', 'OW', noise(pixelBytes, pixels)),
  ]);
  return {
    declared: { sopClassUid: sopClass, sopInstanceUid: sop, transferSyntaxUid: EXPLICIT },
    study,
    series,
    sop,
    dataSet,
    contentHash: createHash('sha256').update(`${EXPLICIT}\0`).update(dataSet).digest('hex'),
  };
}

/** Several instances of one series. */
export function aSeries(count: number, wanted: Wanted = {}): AnObject[] {
  const { study = uid(), series = uid() } = wanted;
  return Array.from({ length: count }, (_, n) => anObject({ ...wanted, study, series, number: n + 1 }));
}

function padded(text: string, padding = ' '): string {
  return text.length % 2 === 0 ? text : text + padding;
}

/** Bytes that do not repeat, the same for the same seed. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  return bytes;
}
