/**
 * The size a compressed frame says it has, read from the first markers of its codestream.
 * Called by decode-frame.ts before a codec allocates anything: an image that claims more than its object does, or
 * something else, is refused at the cost of a few bytes read.
 * Sources: JPEG ITU-T T.81 B.2.2, JPEG-LS T.87 C.2.2, JPEG 2000 T.800 A.5.1.
 */

export interface CodestreamSize {
  readonly width: number;
  readonly height: number;
  readonly components: number;
}

/** SOF markers of T.81 and T.87; C4, C8 and CC are not frames. */
const isFrameStart = (marker: number): boolean =>
  marker === 0xf7 ||
  (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc);

/** Of JPEG and JPEG-LS; undefined when no frame header is found. */
export function jpegSize(bytes: Uint8Array): CodestreamSize | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== 0xffd8) return undefined;
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++;
      continue;
    }
    const length = view.getUint16(at + 2);
    if (isFrameStart(marker)) {
      if (at + 10 > bytes.length) return undefined;
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: bytes[at + 9]! };
    }
    at += 2 + Math.max(2, length);
  }
  return undefined;
}

/** Of JPEG 2000 and HTJ2K, bare or in a JP2 file; undefined when no SIZ marker is found near the start. */
export function jpeg2000Size(bytes: Uint8Array): CodestreamSize | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 4096));
  const soc = head.indexOf(Buffer.from([0xff, 0x4f, 0xff, 0x51]));
  if (soc < 0 || soc + 42 > head.length) return undefined;
  const siz = soc + 4;
  return {
    width: head.readUInt32BE(siz + 4) - head.readUInt32BE(siz + 12),
    height: head.readUInt32BE(siz + 8) - head.readUInt32BE(siz + 16),
    components: head.readUInt16BE(siz + 36),
  };
}
