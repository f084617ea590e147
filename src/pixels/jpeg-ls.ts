/**
 * JPEG-LS (ITU-T T.87, ISO 14495-1), lossless and near-lossless: one frame into native samples, little endian.
 * Called by decode-frame.ts. Written here because the codec of dcmjs-codecs gives up on streams that CharLS reads, and
 * takes the memory of its thread with it. Everything read is checked: broken bytes end in a Failure.
 * The markers are read here, the scans in jpeg-ls-scan.ts. Variables are named as in T.87 Annex A.
 */
import { Failure } from '../failure.ts';
import type { ImagePixel } from './image-pixel.ts';
import { decodeScan, type ScanCoding } from './jpeg-ls-scan.ts';

interface Frame {
  readonly precision: number;
  readonly components: readonly number[];
}

/** Thresholds and limits of an LSE marker segment; 0 where it, or its absence, leaves the default. */
interface Preset {
  readonly maxval: number;
  readonly t1: number;
  readonly t2: number;
  readonly t3: number;
  readonly reset: number;
}

const NO_PRESET: Preset = { maxval: 0, t1: 0, t2: 0, t3: 0, reset: 0 };

/** Samples by pixel. The size was checked before (codestream.ts). @throws Failure 'invalid' | 'unsupported' */
export function decodeJpegLs(bytes: Uint8Array, pixel: ImagePixel): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { rows, columns, samplesPerPixel, bitsAllocated } = pixel;
  const samples = bitsAllocated === 8 ? new Uint8Array(rows * columns * samplesPerPixel) : undefined;
  const words = samples ? undefined : new Uint16Array(rows * columns * samplesPerPixel);
  const into = samples ?? words!;
  let frame: Frame | undefined;
  let preset = NO_PRESET;
  let restartLines = 0;
  let decoded = 0;
  let at = 2;
  while (decoded < samplesPerPixel) {
    const { marker, from, to } = segmentAt(view, at);
    at = to;
    switch (marker) {
      case 0xf7:
        frame = frameHeader(view, from, to, pixel);
        break;
      case 0xf8:
        preset = presetOf(view, from, to);
        break;
      case 0xdd:
        restartLines = to - from >= 4 ? view.getUint32(to - 4) : view.getUint16(from);
        break;
      case 0xe8:
        if (isColourTransform(view, from, to))
          throw new Failure('unsupported', 'JPEG-LS with a colour transform of its own is not decoded');
        break;
      case 0xda: {
        if (!frame) throw broken('a scan stands before the frame header');
        const scan = scanHeader(view, from, to, frame, decoded);
        const coding = codingOf(frame.precision, preset, scan.near);
        at = decodeScan(bytes, at, {
          ...coding,
          rows,
          columns,
          components: scan.components,
          isBySample: scan.interleave === 2,
          restartLines,
          into,
          first: decoded,
          stride: samplesPerPixel,
        });
        decoded += scan.components;
        break;
      }
      case 0xd9:
        throw broken(`it ends after ${decoded} of ${samplesPerPixel} components`);
    }
  }
  if (pixel.signed && words && frame && frame.precision < 16) extendSign(words, frame.precision);
  return samples ?? littleEndian(words!);
}

/** T.81 B.1.1.4: a marker and, but for the end, its segment. Fill bytes may stand before it. */
function segmentAt(view: DataView, start: number): { marker: number; from: number; to: number } {
  let at = start;
  while (at + 1 < view.byteLength && view.getUint8(at) === 0xff && view.getUint8(at + 1) === 0xff) at++;
  if (at + 2 > view.byteLength || view.getUint8(at) !== 0xff) throw broken('a marker is missing');
  const marker = view.getUint8(at + 1);
  if (marker === 0xd9) return { marker, from: at + 2, to: at + 2 };
  const length = at + 4 <= view.byteLength ? view.getUint16(at + 2) : 0;
  const to = at + 2 + length;
  if (length < 2 || to > view.byteLength) throw broken('a marker segment is cut short');
  return { marker, from: at + 4, to };
}

/** C.2.2 */
function frameHeader(view: DataView, from: number, to: number, pixel: ImagePixel): Frame {
  if (to - from < 6 + 3 * pixel.samplesPerPixel) throw broken('its frame header is cut short');
  const precision = view.getUint8(from);
  if (precision < 2 || precision > 16 || precision > pixel.bitsAllocated)
    throw broken(`it has ${precision} bits a sample where the object allocates ${pixel.bitsAllocated}`);
  const components = Array.from({ length: pixel.samplesPerPixel }, (_, index) => {
    if (view.getUint8(from + 7 + index * 3) !== 0x11)
      throw new Failure('unsupported', 'JPEG-LS with components of different sizes is not decoded');
    return view.getUint8(from + 6 + index * 3);
  });
  return { precision, components };
}

/** C.2.4.1.1; mapping tables and sizes beyond 65,535 have no place in DICOM. */
function presetOf(view: DataView, from: number, to: number): Preset {
  if (to - from < 11 || view.getUint8(from) !== 1)
    throw new Failure('unsupported', 'JPEG-LS with mapping tables is not decoded');
  const [maxval = 0, t1 = 0, t2 = 0, t3 = 0, reset = 0] = [1, 3, 5, 7, 9].map((n) =>
    view.getUint16(from + n),
  );
  return { maxval, t1, t2, t3, reset };
}

/** The extension of HP's encoder: "mrfx" and the number of a transform. */
function isColourTransform(view: DataView, from: number, to: number): boolean {
  return to - from >= 5 && view.getUint32(from) === 0x6d726678 && view.getUint8(from + 4) !== 0;
}

/** C.2.3 */
function scanHeader(view: DataView, from: number, to: number, frame: Frame, decoded: number) {
  const components = from < to ? view.getUint8(from) : 0;
  if (components < 1 || decoded + components > frame.components.length || to - from < 4 + components * 2)
    throw broken('a scan has no or too many components');
  const near = view.getUint8(from + 1 + components * 2);
  const interleave = view.getUint8(from + 2 + components * 2);
  if (interleave > 2 || (interleave === 0 && components > 1))
    throw broken('a scan is interleaved in no known manner');
  return { components, near, interleave };
}

/** What LSE leaves open is as in C.2.4.1.1.1. */
function codingOf(precision: number, preset: Preset, near: number): ScanCoding {
  const maxval = preset.maxval || 2 ** precision - 1;
  const reset = preset.reset || 64;
  if (
    maxval >= 2 ** precision ||
    near > Math.min(255, maxval >> 1) ||
    reset < 3 ||
    reset > Math.max(255, maxval)
  )
    throw broken('its coding parameters are out of their range');
  const small = Math.floor(256 / (maxval + 1));
  const large = (Math.min(maxval, 4095) + 128) >> 8;
  const threshold = (basic: number, least: number, more: number, atLeast: number): number => {
    const value =
      maxval >= 128
        ? large * (basic - least) + least + more * near
        : Math.max(least, Math.floor(basic / small) + more * near);
    return value > maxval || value < atLeast ? atLeast : value;
  };
  const t1 = preset.t1 || threshold(3, 2, 3, near + 1);
  const t2 = preset.t2 || threshold(7, 3, 5, t1);
  const t3 = preset.t3 || threshold(21, 4, 7, t2);
  return { near, maxval, t1, t2, t3, reset };
}

function extendSign(words: Uint16Array, precision: number): void {
  const shift = 32 - precision;
  for (let at = 0; at < words.length; at++) words[at] = (words[at]! << shift) >> shift;
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function littleEndian(words: Uint16Array): Uint8Array {
  const bytes = Buffer.from(words.buffer, words.byteOffset, words.byteLength);
  return isLittleEndian ? bytes : bytes.swap16();
}

function broken(what: string): Failure {
  return new Failure('invalid', `The JPEG-LS frame is broken: ${what}`);
}
