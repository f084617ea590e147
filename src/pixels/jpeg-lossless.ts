/**
 * JPEG Lossless (ITU-T T.81 Annex H, process 14): one frame whose components share one scan, into native samples, little
 * endian. Called by decode-frame.ts before the codec, which takes twice the time and knows every other form: what is
 * not plain, or is broken, is left to it, and so is what is to be said of it.
 * The markers are read here, the scan in jpeg-lossless-scan.ts. Variables are named as in T.81.
 */
import type { ImagePixel } from './image-pixel.ts';
import { type HuffmanTable, huffmanTable, MAX_CATEGORY } from './jpeg-huffman.ts';
import { decodeLosslessScan } from './jpeg-lossless-scan.ts';

const SOF3 = 0xc3;
const DHT = 0xc4;
const SOS = 0xda;
const DRI = 0xdd;

interface Markers {
  precision: number;
  /** By the identifiers of the frame's components, in their order. */
  readonly components: number[];
  readonly tables: Map<number, HuffmanTable>;
  restartInterval: number;
}

/** Samples by pixel; undefined for what the codec has to judge. The size was checked before (codestream.ts). */
export function decodeJpegLossless(frame: Uint8Array, pixel: ImagePixel): Uint8Array | undefined {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const found: Markers = { precision: 0, components: [], tables: new Map(), restartInterval: 0 };
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++;
      continue;
    }
    const to = at + 2 + bytes.readUInt16BE(at + 2);
    const segment = bytes.subarray(at + 4, to);
    if (to > bytes.length || to < at + 4) return undefined;
    if (marker === SOS) return scanOf(bytes, { segment, to }, found, pixel);
    if (!take(marker, segment, found, pixel)) return undefined;
    at = to;
  }
  return undefined;
}

/** @returns whether it can go on after this segment */
function take(marker: number, segment: Buffer, found: Markers, pixel: ImagePixel): boolean {
  switch (marker) {
    case SOF3:
      found.precision = segment[0]!;
      for (let n = 0; n < pixel.samplesPerPixel; n++) {
        // One sample a pixel of each component (T.81 B.2.2: H and V in one byte).
        if (segment[7 + 3 * n] !== 0x11) return false;
        found.components.push(segment[6 + 3 * n]!);
      }
      return found.precision >= 2 && found.precision <= pixel.bitsAllocated && pixel.bitsAllocated <= 16;
    case DHT:
      return takeTables(segment, found.tables);
    case DRI:
      if (segment.length < 2) return false;
      found.restartInterval = segment.readUInt16BE(0);
      return found.restartInterval % pixel.columns === 0;
    default:
      // Other frames than this one (C0 to CF) are the codec's; application data and comments say nothing of samples.
      return marker >= 0xe0 && marker !== 0xff;
  }
}

/** T.81 B.2.4.2: class and identifier, sixteen counts, the values; again and again. */
function takeTables(segment: Buffer, tables: Map<number, HuffmanTable>): boolean {
  for (let at = 0; at < segment.length; ) {
    if (at + 17 > segment.length) return false;
    const counts = segment.subarray(at + 1, at + 17);
    const values = segment.subarray(at + 17, at + 17 + counts.reduce((sum, count) => sum + count, 0));
    const table = huffmanTable(counts, values);
    if (!table || values.some((value) => value > MAX_CATEGORY)) return false;
    tables.set(segment[at]!, table);
    at += 17 + values.length;
  }
  return true;
}

/** T.81 B.2.3, and the scan behind it. */
function scanOf(
  bytes: Buffer,
  { segment, to }: { segment: Buffer; to: number },
  { precision, components, tables, restartInterval }: Markers,
  pixel: ImagePixel,
): Uint8Array | undefined {
  const { rows, columns, samplesPerPixel, bitsAllocated } = pixel;
  if (precision === 0 || segment.length < 4 + 2 * samplesPerPixel || segment[0] !== samplesPerPixel)
    return undefined;
  const ofComponents: HuffmanTable[] = [];
  for (let n = 0; n < samplesPerPixel; n++) {
    const table = tables.get(segment[2 + 2 * n]! >> 4);
    if (!table || segment[1 + 2 * n] !== components[n]) return undefined;
    ofComponents.push(table);
  }
  const predictor = segment[1 + 2 * samplesPerPixel]!;
  const pointTransform = segment[3 + 2 * samplesPerPixel]! & 15;
  if (predictor < 1 || predictor > 7 || pointTransform >= precision) return undefined;
  const count = rows * columns * samplesPerPixel;
  const into = bitsAllocated === 8 ? new Uint8Array(count) : new Uint16Array(count);
  const isWhole = decodeLosslessScan(bytes, to, {
    rows,
    columns,
    predictor,
    pointTransform,
    precision,
    restartLines: restartInterval / columns,
    tables: ofComponents,
    into,
  });
  if (!isWhole) return undefined;
  const samples = Buffer.from(into.buffer);
  return bitsAllocated === 8 || isLittleEndian ? samples : samples.swap16();
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
