/**
 * The size a compressed frame says it has, read from the first markers of its codestream.
 * Called by decode-frame.ts before a codec allocates anything: an image that claims more than its object does, or
 * something else, is refused at the cost of a few bytes read.
 * Sources: JPEG ITU-T T.81 B.2.2, JPEG-LS T.87 C.2.2, JPEG 2000 T.800 A.5.1, JPEG XL ISO/IEC 18181-1 (SizeHeader).
 */

export interface CodestreamSize {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  /** Bits a sample. */
  readonly precision: number;
}

/** SOF markers of T.81 and T.87; C4, C8 and CC are not frames. */
const isFrameStart = (marker: number): boolean =>
  marker === 0xf7 ||
  (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc);

/** Of JPEG and JPEG-LS; undefined when no frame header is found. */
export function jpegSize(bytes: Uint8Array): CodestreamSize | undefined {
  for (const { marker, segment } of jpegSegments(bytes)) {
    if (!isFrameStart(marker)) continue;
    if (segment.length < 6) return undefined;
    return {
      height: segment.readUInt16BE(1),
      width: segment.readUInt16BE(3),
      components: segment[5]!,
      precision: segment[0]!,
    };
  }
  return undefined;
}

/** Which process a JPEG is of (T.81 table B.1): its SOF marker, or undefined when none is found. */
export function jpegFrameMarker(bytes: Uint8Array): number | undefined {
  for (const { marker } of jpegSegments(bytes)) if (isFrameStart(marker)) return marker;
  return undefined;
}

/**
 * Whether the components of a JPEG labelled RGB are YCbCr all the same: Adobe's APP14 says so, or, without it, the
 * second and third are sampled more thinly, which nobody does to green and blue. Otherwise the label holds.
 */
export function isYcbcrUnderRgb(bytes: Uint8Array): boolean {
  for (const { marker, segment } of jpegSegments(bytes)) {
    if (marker === 0xee && segment.toString('latin1', 0, 5) === 'Adobe' && segment.length >= 12)
      return segment[11] === 1;
    if (isFrameStart(marker) && segment.length >= 6 + 3 * 3) return segment[7] !== segment[10];
  }
  return false;
}

/** The marker segments of a JPEG up to its first scan, without their length fields. */
function* jpegSegments(frame: Uint8Array): Generator<{ marker: number; segment: Buffer }> {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length < 4 || bytes.readUInt16BE(0) !== 0xffd8) return;
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker === 0xda) return;
    const length = Math.max(2, bytes.readUInt16BE(at + 2));
    yield { marker, segment: bytes.subarray(at + 4, at + 2 + length) };
    at += 2 + length;
  }
}

/** Of JPEG 2000 and HTJ2K, bare or in a JP2 file; undefined when no SIZ marker is found near the start. */
export function jpeg2000Size(bytes: Uint8Array): CodestreamSize | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 4096));
  const soc = head.indexOf(Buffer.from([0xff, 0x4f, 0xff, 0x51]));
  if (soc < 0 || soc + 43 > head.length) return undefined;
  const siz = soc + 4;
  return {
    width: head.readUInt32BE(siz + 4) - head.readUInt32BE(siz + 12),
    height: head.readUInt32BE(siz + 8) - head.readUInt32BE(siz + 16),
    components: head.readUInt16BE(siz + 36),
    // The highest bit says signed; the rest is one less than the bits.
    precision: (head[siz + 38]! & 0x7f) + 1,
  };
}

/** Bits of a height or width in the long form, chosen by two bits. */
const JXL_BITS = [9, 13, 18, 30] as const;
/** Width by height, where the ratio says it. */
const JXL_RATIOS = [
  [1, 1],
  [12, 10],
  [4, 3],
  [3, 2],
  [16, 9],
  [5, 4],
  [2, 1],
] as const;

/** Of JPEG XL, bare or in its container; undefined when it begins with neither. */
export function jpegXlSize(bytes: Uint8Array): Pick<CodestreamSize, 'width' | 'height'> | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 4096));
  const box = head.indexOf('jxlc');
  const start =
    head.length > 2 && head.readUInt16BE(0) === 0xff0a ? 0 : box < 0 ? head.indexOf('jxlp') + 8 : box + 4;
  if (start === 7 || start + 12 > head.length || head.readUInt16BE(start) !== 0xff0a) return undefined;
  let ahead = head.readBigUInt64LE(start + 2);
  const read = (count: number): number => {
    const value = Number(ahead & ((1n << BigInt(count)) - 1n));
    ahead >>= BigInt(count);
    return value;
  };
  const isSmall = read(1) === 1;
  const side = (): number => (isSmall ? (read(5) + 1) * 8 : read(JXL_BITS[read(2)]!) + 1);
  const height = side();
  const ratio = JXL_RATIOS[read(3) - 1];
  return { height, width: ratio ? Math.floor((height * ratio[0]) / ratio[1]) : side() };
}
