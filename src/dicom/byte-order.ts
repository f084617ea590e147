/**
 * Byte order by value representation (PS3.5 7.3): which words a value is made of, and turning them round.
 * Called by dicom-json and the conversion to Explicit VR Little Endian.
 */

const WORD_SIZES: Record<string, number> = {
  AT: 2,
  FD: 8,
  FL: 4,
  OD: 8,
  OF: 4,
  OL: 4,
  OV: 8,
  OW: 2,
  SL: 4,
  SS: 2,
  SV: 8,
  UL: 4,
  US: 2,
  UV: 8,
};

/** Bytes per word of the VR; 1 for text, OB, UN and everything else without a byte order. */
export function wordSize(vr: string): number {
  return WORD_SIZES[vr] ?? 1;
}

/** Turns the words round in place and returns the same buffer; bytes that make no whole word stay as they are. */
export function swapWords(bytes: Buffer, size: number): Buffer {
  const whole = bytes.subarray(0, bytes.length - (bytes.length % size));
  if (size === 2) whole.swap16();
  else if (size === 4) whole.swap32();
  else if (size === 8) whole.swap64();
  return bytes;
}
