/**
 * What black is in the samples of a pixel, by its Photometric Interpretation (PS3.3 C.7.6.3.1.2), as bytes in little
 * endian, sample after sample. Called by blank-frame.ts.
 */
import { Failure } from '../failure.ts';
import type { ImagePixel } from './image-pixel.ts';
import type { LookupTable } from './lookup-table.ts';
import type { Palette } from './presentation.ts';

/**
 * All allocated bits, because overlays may lie above the stored ones; of a pixel of single bits one byte, 0 or 1.
 * @throws Failure 'invalid' when the bits contradict each other
 */
export function blackPixel(pixel: ImagePixel, palette: Palette | undefined): Uint8Array {
  const { bitsAllocated, bitsStored, highBit } = pixel;
  const lowBit = highBit + 1 - bitsStored;
  if (bitsStored < 1 || bitsStored > bitsAllocated || lowBit < 0 || highBit >= bitsAllocated)
    throw new Failure(
      'invalid',
      '(0028,0100) BitsAllocated, (0028,0101) BitsStored and (0028,0102) HighBit contradict each other',
    );
  const bytes = Math.ceil(bitsAllocated / 8);
  const black = Buffer.alloc(bytes * pixel.samplesPerPixel);
  for (const [sample, value] of samplesOf(pixel, palette).entries()) {
    // The sign is drawn out above the stored bits, as native samples are mostly written.
    let bits = BigInt.asUintN(bitsAllocated, BigInt(value) << BigInt(lowBit));
    for (let byte = 0; byte < bytes; byte++, bits >>= 8n) black[sample * bytes + byte] = Number(bits & 0xffn);
  }
  return black;
}

function samplesOf(pixel: ImagePixel, palette: Palette | undefined): number[] {
  const { photometricInterpretation: name, samplesPerPixel, bitsStored, signed } = pixel;
  const [least, most] = signed
    ? [-(2 ** (bitsStored - 1)), 2 ** (bitsStored - 1) - 1]
    : [0, 2 ** bitsStored - 1];
  const neutral = 2 ** (bitsStored - 1);
  if (samplesPerPixel === 1) {
    if (name === 'MONOCHROME1') return [most];
    if (name === 'PALETTE COLOR') return [palette ? darkest(palette) : 0];
    return [least];
  }
  switch (name) {
    case 'YBR_FULL':
    case 'YBR_FULL_422':
      return [0, neutral, neutral];
    case 'YBR_PARTIAL_422':
    case 'YBR_PARTIAL_420':
      return [neutral / 8, neutral, neutral];
    case 'CMYK':
      return [0, 0, 0, most];
    default:
      return new Array<number>(samplesPerPixel).fill(0);
  }
}

/** The stored value whose colour is the darkest; of several the lowest. */
function darkest({ red, green, blue }: Palette): number {
  const at = ({ entries }: LookupTable, index: number): number =>
    entries[Math.min(index, entries.length - 1)]!;
  let [best, least] = [0, Number.POSITIVE_INFINITY];
  for (let index = 0; index < red.entries.length && least > 0; index++) {
    const light = at(red, index) + at(green, index) + at(blue, index);
    if (light < least) [best, least] = [index, light];
  }
  return red.first + best;
}
