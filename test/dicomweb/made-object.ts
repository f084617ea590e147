/**
 * Part 10 files made for the DICOMweb suites, so that they run without the corpus: a small image with what a test
 * wants to say about it. Written with test/dicom/elements.ts, apart from the code under test.
 */
import { element, encapsulated, uint16, type Written } from '../dicom/elements.ts';

export interface Made {
  study?: string;
  series?: string;
  instance?: string;
  /** Further root elements, or others in the place of the defaults: tag, VR, value. */
  elements?: readonly (readonly [tag: string, vr: string, value: string | Buffer])[];
  /** Tags of defaults to leave out. */
  without?: readonly string[];
  transferSyntax?: string;
  /** Fragments, Basic Offset Table first. */
  fragments?: readonly Buffer[];
  pixels?: Buffer;
  metaSopInstance?: string;
  /** No UIDs in the File Meta but the transfer syntax. */
  bareMeta?: boolean;
}

export const EXPLICIT_LE = '1.2.840.10008.1.2.1';
export const IMPLICIT_LE = '1.2.840.10008.1.2';
export const EXPLICIT_BE = '1.2.840.10008.1.2.2';
const SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7';

/** Four rows and columns of 16 bits, a ramp. */
export const RAMP = Buffer.from(new Uint16Array(16).map((_, index) => index * 257).buffer);

/** To leave out of what is no image. */
export const NO_PIXELS = [
  '7FE00010',
  '00280002',
  '00280004',
  '00280010',
  '00280011',
  '00280100',
  '00280101',
  '00280102',
  '00280103',
];

export function madeObject(made: Made = {}): Buffer {
  const transferSyntax = made.transferSyntax ?? EXPLICIT_LE;
  const as: Written = {
    implicit: transferSyntax === IMPLICIT_LE,
    bigEndian: transferSyntax === EXPLICIT_BE,
  };
  const instance = made.instance ?? '1.2.3.4.1.1';
  const elements = new Map<string, readonly [string, string | Buffer]>([
    ['00080005', ['CS', 'ISO_IR 192']],
    ['00080016', ['UI', SECONDARY_CAPTURE]],
    ['00080018', ['UI', instance]],
    ['00080020', ['DA', '20240102']],
    ['00080030', ['TM', '101112']],
    ['00080060', ['CS', 'OT']],
    ['00100010', ['PN', 'Doe^Jane']],
    ['00100020', ['LO', 'P1']],
    ['0020000D', ['UI', made.study ?? '1.2.3.4']],
    ['0020000E', ['UI', made.series ?? `${made.study ?? '1.2.3.4'}.1`]],
    ['00200013', ['IS', '1']],
    ['00280002', ['US', uint16(1, as)]],
    ['00280004', ['CS', 'MONOCHROME2']],
    ['00280010', ['US', uint16(4, as)]],
    ['00280011', ['US', uint16(4, as)]],
    ['00280100', ['US', uint16(16, as)]],
    ['00280101', ['US', uint16(16, as)]],
    ['00280102', ['US', uint16(15, as)]],
    ['00280103', ['US', uint16(0, as)]],
  ]);
  for (const [tag, vr, value] of made.elements ?? []) elements.set(tag, [vr, value]);
  for (const tag of made.without ?? []) elements.delete(tag);
  const written = [...elements]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tag, [vr, value]]) => element(tag, vr, even(vr, value), as));
  const pixels = made.pixels ?? (as.bigEndian ? Buffer.from(RAMP).swap16() : RAMP);
  const pixelData = made.fragments
    ? encapsulated([...made.fragments])
    : element('7FE00010', 'OW', pixels, as);
  return Buffer.concat([
    fileMeta(transferSyntax, made.bareMeta ? undefined : (made.metaSopInstance ?? instance)),
    ...written,
    ...(made.without?.includes('7FE00010') ? [] : [pixelData]),
  ]);
}

function fileMeta(transferSyntax: string, instance: string | undefined): Buffer {
  const uid = (tag: string, value: string) => element(tag, 'UI', even('UI', value));
  const group = Buffer.concat([
    element('00020001', 'OB', Buffer.from([0, 1])),
    ...(instance === undefined ? [] : [uid('00020002', SECONDARY_CAPTURE), uid('00020003', instance)]),
    uid('00020010', transferSyntax),
    uid('00020012', '1.2.3'),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(group.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element('00020000', 'UL', length), group]);
}

function even(vr: string, value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  if (bytes.length % 2 === 0) return bytes;
  return Buffer.concat([bytes, Buffer.from(vr === 'UI' || vr === 'OB' ? '\0' : ' ')]);
}
