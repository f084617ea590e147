/** Colour samples to RGB: planes, shared samples, palettes, and what is refused by name. */
import { describe, expect, it } from 'vitest';
import { toRgb } from '../../src/pixels/colour.ts';
import { pixelOf } from './pixel-of.ts';

const colour = (photometricInterpretation: string, more = {}) =>
  pixelOf({ rows: 1, columns: 2, samplesPerPixel: 3, bitsAllocated: 8, photometricInterpretation, ...more });

describe('toRgb', () => {
  it('takes RGB by pixel and by plane', () => {
    expect([...toRgb(Uint8Array.of(1, 2, 3, 4, 5, 6), colour('RGB'), undefined)]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([
      ...toRgb(Uint8Array.of(1, 4, 2, 5, 3, 6), colour('RGB', { planarConfiguration: 1 }), undefined),
    ]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('takes 16 bits by their upper eight', () => {
    const samples = new Uint8Array(Uint16Array.of(0x1234, 0xff00, 0, 0xffff, 0x0100, 0x80ff).buffer);
    expect([
      ...toRgb(samples, colour('RGB', { bitsAllocated: 16, bitsStored: 16, highBit: 15 }), undefined),
    ]).toEqual([0x12, 0xff, 0, 0xff, 1, 0x80]);
  });

  it('turns YBR_FULL into RGB (C.7.6.3.1.2), with samples shared or not', () => {
    expect([...toRgb(Uint8Array.of(76, 85, 255, 128, 128, 128), colour('YBR_FULL'), undefined)]).toEqual([
      254, 0, 0, 128, 128, 128,
    ]);
    expect(
      [...toRgb(Uint8Array.of(76, 128, 85, 255), colour('YBR_FULL_422'), undefined)].slice(0, 3),
    ).toEqual([254, 0, 0]);
    expect(
      [...toRgb(Uint8Array.of(76, 85, 255, 128, 128, 128), colour('YBR_FULL_422'), undefined)].slice(3),
    ).toEqual([128, 128, 128]);
    expect([...toRgb(Uint8Array.of(235, 16, 128, 128), colour('YBR_PARTIAL_422'), undefined)]).toEqual([
      255, 255, 255, 0, 0, 0,
    ]);
  });

  it('looks colours up, of eight and of sixteen bits', () => {
    const palette = (entries: Uint16Array, bits: number) => {
      const table = { first: 10, bits, entries };
      return { red: table, green: table, blue: table };
    };
    const pixel = pixelOf({
      rows: 1,
      columns: 3,
      bitsAllocated: 8,
      photometricInterpretation: 'PALETTE COLOR',
    });
    const samples = Uint8Array.of(0, 11, 99);
    expect([...toRgb(samples, pixel, palette(Uint16Array.of(0x1100, 0x2200, 0x3300), 16))]).toEqual([
      0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x33, 0x33, 0x33,
    ]);
    expect([...toRgb(samples, pixel, palette(Uint16Array.of(1, 2, 3), 16))]).toEqual([
      1, 1, 1, 2, 2, 2, 3, 3, 3,
    ]);
  });

  it('turns what is retired into RGB: inks that are more than there is leave black, alpha above zero looks up', () => {
    const four = (name: string) => colour(name, { samplesPerPixel: 4 });
    expect([...toRgb(Uint8Array.of(64, 225, 10, 31, 0, 0, 0, 255), four('CMYK'), undefined)]).toEqual([
      160, 0, 214, 0, 0, 0,
    ]);
    const [red, other] = [[1, 2].map((n) => n * 0x1000), [0, 0xff00]].map((entries) => ({
      first: 1,
      bits: 16,
      entries: Uint16Array.from(entries),
    }));
    const palette = { red: red!, green: other!, blue: other! };
    const samples = Uint8Array.of(0, 7, 8, 9, 2, 7, 8, 9);
    expect([...toRgb(samples, four('ARGB'), palette)]).toEqual([7, 8, 9, 0x20, 0xff, 0xff]);
    expect([...toRgb(samples, four('ARGB'), undefined)]).toEqual([7, 8, 9, 7, 8, 9]);
    // Half way round from red: cyan.
    expect([...toRgb(Uint8Array.of(128, 255, 200, 0, 51, 100), colour('HSV'), undefined)]).toEqual([
      0, 200, 200, 100, 80, 80,
    ]);
    expect(() => toRgb(samples, colour('CMYK'), undefined)).toThrow('SamplesPerPixel must be 4');
  });

  it.each(['YBR_PARTIAL_420', 'YBR_ICT'])('refuses %s by name', (name) => {
    expect(() => toRgb(Uint8Array.of(0), colour(name), undefined)).toThrow(
      `PhotometricInterpretation is ${name}`,
    );
  });

  it('repeats no odd text of an object', () => {
    expect(() => toRgb(Uint8Array.of(0), colour('Smith^John'), undefined)).toThrow('no defined term');
  });
});
