/**
 * Colour spaces that PS3.3 has retired and old objects are in: HSV, ARGB, CMYK (PS3.3-1998 C.7.6.3.1.2), to RGB.
 * Called by colour.ts with samples of eight bits, by pixel; held to what DCMTK shows.
 */
import { lookedUp } from './lookup-table.ts';
import type { Palette } from './presentation.ts';

export type RetiredColour = 'HSV' | 'ARGB' | 'CMYK';

/** @param palette of ARGB: what shows instead of a pixel whose alpha is above zero */
export function retiredToRgb(
  space: RetiredColour,
  samples: Uint8Array,
  palette: Palette | undefined,
): Buffer {
  const step = space === 'HSV' ? 3 : 4;
  const rgb = Buffer.allocUnsafe((samples.length / step) * 3);
  const turn = space === 'HSV' ? fromHsv : space === 'CMYK' ? fromCmyk : fromArgb(palette);
  for (let from = 0, to = 0; to < rgb.length; from += step, to += 3) turn(samples, from, rgb, to);
  return rgb;
}

type Turn = (samples: Uint8Array, from: number, rgb: Buffer, to: number) => void;

/** The hue goes once round in 256 steps. */
const fromHsv: Turn = (samples, from, rgb, to) => {
  const [hue, saturation, value] = [(samples[from]! * 6) / 256, samples[from + 1]! / 255, samples[from + 2]!];
  for (let channel = 0; channel < 3; channel++) {
    // How far the hue is from red, green, blue: within one step it is full, beyond two there is none of it.
    const apart = Math.abs(((hue - 2 * channel + 9) % 6) - 3);
    const part = Math.min(1, Math.max(0, 2 - apart));
    rgb[to + channel] = value * (1 - saturation * (1 - part));
  }
};

/** Ink and black take from white, and no more than there is. */
const fromCmyk: Turn = (samples, from, rgb, to) => {
  const black = samples[from + 3]!;
  for (let ink = 0; ink < 3; ink++) rgb[to + ink] = Math.max(0, 255 - samples[from + ink]! - black);
};

function fromArgb(palette: Palette | undefined): Turn {
  const tables = palette && [palette.red, palette.green, palette.blue];
  return (samples, from, rgb, to) => {
    const alpha = samples[from]!;
    for (let channel = 0; channel < 3; channel++) {
      const table = alpha > 0 ? tables?.[channel] : undefined;
      rgb[to + channel] = table
        ? lookedUp(table, alpha) >> Math.max(0, table.bits - 8)
        : samples[from + 1 + channel]!;
    }
  };
}
