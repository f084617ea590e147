/**
 * A made-up chest in Hounsfield units, slice by slice, for the synthetic CT (modality.ts): anatomy.ts says what tissue
 * lies where, lung-vessels.ts grows the vessels, here the scanner blurs it and adds its noise.
 */
import { AIR, tissue } from './anatomy.ts';
import { growLungVessels, paintVessels } from './lung-vessels.ts';
import type { Random } from './random.ts';
import { COLUMNS, PIXEL_SPACING, ROWS } from './slice-grid.ts';

/** Upper and lower end of what is modelled, in mm above the middle of the chest. */
export const TOP = 150;
export const BOTTOM = -150;

export interface Phantom {
  /** ROWS by COLUMNS Hounsfield units of the slice at `z` mm; 12 bits with an intercept of -1024 hold them. */
  slice(z: number): Int16Array;
}

/** Slices asked for in the same order from the same random numbers are the same. */
export function createPhantom(random: Random): Phantom {
  const vessels = growLungVessels(random);
  const noise = Float32Array.from({ length: noiseLength }, () => random.normal());
  return {
    slice(z) {
      const anatomy = new Float32Array(ROWS * COLUMNS);
      for (let row = 0, at = 0; row < ROWS; row++) {
        const y = (row - (ROWS - 1) / 2) * PIXEL_SPACING;
        for (let column = 0; column < COLUMNS; column++, at++) {
          anatomy[at] = tissue((column - (COLUMNS - 1) / 2) * PIXEL_SPACING, y, z);
        }
      }
      paintVessels(anatomy, z, vessels);
      addNoise(anatomy, noise, random);
      const blurred = blur(blur(anatomy, 1), COLUMNS);
      return Int16Array.from(blurred, (value) => Math.max(-1024, Math.min(3071, Math.round(value))));
    },
  };
}

/** Normal numbers are drawn once and read from another place for every row: drawing each anew takes most of the time. */
const noiseLength = 1 << 18;

/** More quanta are lost in the body than beside it, so there is more noise within; the kernel then correlates it. */
function addNoise(anatomy: Float32Array, noise: Float32Array, random: Random): void {
  for (let row = 0, at = 0; row < ROWS; row++) {
    let from = Math.floor(random.next() * (noiseLength - COLUMNS));
    for (let column = 0; column < COLUMNS; column++, at++) {
      anatomy[at]! += noise[from++]! * (anatomy[at]! > AIR + 50 ? 26 : 14);
    }
  }
}

/** A 1-2-1 kernel along rows (step 1) or columns (step COLUMNS). */
function blur(from: Float32Array, step: number): Float32Array {
  const to = new Float32Array(from.length);
  for (let at = 0; at < from.length; at++) {
    const before = from[at - step] ?? from[at]!;
    const behind = from[at + step] ?? from[at]!;
    to[at] = (before + 2 * from[at]! + behind) / 4;
  }
  return to;
}
