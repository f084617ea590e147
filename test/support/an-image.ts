/**
 * Small images made up for tests, with a whole Image Pixel module, a sequence and private attributes: a grey one of
 * 12 bits in 16, signed, two frames, or a colour one. Other programs can compress and decompress them.
 */
import { element, sequence, uint16 } from '../dicom/elements.ts';
import { uid } from './an-object.ts';
import type { SentObject } from './modality.ts';

const EXPLICIT = '1.2.840.10008.1.2.1';
/** Multi-frame Grayscale Word, and Secondary Capture. */
const GREY = '1.2.840.10008.5.1.4.1.1.7.3';
const COLOUR = '1.2.840.10008.5.1.4.1.1.7';
const SIDE = 32;

export interface AnImage extends SentObject {
  study: string;
  series: string;
  sop: string;
}

export interface WantedImage {
  colour?: boolean;
  study?: string;
  series?: string;
  sop?: string;
  patientId?: string;
  description?: string;
  /** Added to one pixel of the last frame. */
  change?: number;
}

const even = (text: string, padding: string): string => (text.length % 2 === 0 ? text : text + padding);

export function anImage(wanted: WantedImage = {}): AnImage {
  const {
    colour = false,
    study = uid(),
    series = uid(),
    sop = uid(),
    patientId = 'P1',
    description = 'chest',
  } = wanted;
  const sopClassUid = colour ? COLOUR : GREY;
  const text = (tag: string, vr: string, value: string): Buffer =>
    element(tag, vr, even(value, vr === 'UI' ? '\0' : ' '));
  const reference = (): Buffer =>
    Buffer.concat([text('00081150', 'UI', GREY), text('00081155', 'UI', '1.2.3.4.5')]);
  const dataSet = Buffer.concat([
    text('00080005', 'CS', 'ISO_IR 100'),
    text('00080008', 'CS', 'DERIVED\\SECONDARY'),
    text('00080016', 'UI', sopClassUid),
    text('00080018', 'UI', sop),
    text('00080020', 'DA', '20260101'),
    text('00080060', 'CS', 'OT'),
    text('00081030', 'LO', description),
    sequence('00081140', [reference(), reference()]),
    text('00090010', 'LO', 'A MAKER'),
    text('00091001', 'LO', 'odd'),
    element('00091002', 'US', uint16(513)),
    text('00100010', 'PN', 'Example^Anna'),
    text('00100020', 'LO', patientId),
    text('0020000D', 'UI', study),
    text('0020000E', 'UI', series),
    text('00200013', 'IS', '1'),
    element('00280002', 'US', uint16(colour ? 3 : 1)),
    text('00280004', 'CS', colour ? 'RGB' : 'MONOCHROME2'),
    ...(colour ? [element('00280006', 'US', uint16(0))] : []),
    text('00280008', 'IS', colour ? '1' : '2'),
    element('00280010', 'US', uint16(SIDE)),
    element('00280011', 'US', uint16(SIDE)),
    element('00280100', 'US', uint16(colour ? 8 : 16)),
    element('00280101', 'US', uint16(colour ? 8 : 12)),
    element('00280102', 'US', uint16(colour ? 7 : 11)),
    element('00280103', 'US', uint16(colour ? 0 : 1)),
    element('7FE00010', 'OW', colour ? colourPixels(wanted.change) : greyPixels(wanted.change)),
  ]);
  return {
    declared: { sopClassUid, sopInstanceUid: sop, transferSyntaxUid: EXPLICIT },
    study,
    series,
    sop,
    dataSet,
  };
}

/** Two frames of a signed ramp, with the sign in the bits above. */
function greyPixels(change = 0): Buffer {
  const samples = Int16Array.from({ length: 2 * SIDE * SIDE }, (_, n) => ((n * 37) % 4000) - 2000);
  samples[samples.length - 5]! += change;
  return Buffer.from(samples.buffer);
}

function colourPixels(change = 0): Buffer {
  const samples = Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, n) => (n * 7 + (n % 3) * 50) % 251);
  samples[10]! += change;
  return Buffer.from(samples.buffer);
}
