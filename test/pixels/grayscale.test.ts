/** Stored grey values to eight bits, against the formulas of PS3.3 C.11.2 worked out by hand. */
import { describe, expect, it } from 'vitest';
import { grayOf, storedValues, toGray } from '../../src/pixels/grayscale.ts';
import type { Presentation, Window } from '../../src/pixels/presentation.ts';
import { pixelOf } from './pixel-of.ts';

const plain: Presentation = { rescale: { slope: 1, intercept: 0 }, inverse: false };
const gray = (values: number[], presentation: Partial<Presentation>, window?: Window): number[] => [
  ...toGray(Int32Array.from(values), { ...plain, ...presentation }, window),
];

describe('storedValues', () => {
  const words = (values: number[]): Uint8Array => new Uint8Array(Uint16Array.from(values).buffer);

  it('masks to BitsStored and extends the sign', () => {
    const pixel = pixelOf({ bitsStored: 12, signed: true });
    expect([...storedValues(words([0xf800, 0x0fff, 0x0001, 0x07ff]), pixel)]).toEqual([-2048, -1, 1, 2047]);
    expect([...storedValues(words([0xf800, 0x0fff, 0x0001, 0x07ff]), pixelOf({ bitsStored: 12 }))]).toEqual([
      2048, 4095, 1, 2047,
    ]);
  });

  it('takes the bits below HighBit where they stand high', () => {
    const pixel = pixelOf({ bitsStored: 12, highBit: 15 });
    expect([...storedValues(words([0xabc5, 0x0010, 0, 0xfff0]), pixel)]).toEqual([0xabc, 1, 0, 0xfff]);
  });

  it('reads bytes, single bits and 32 bits', () => {
    expect([
      ...storedValues(Uint8Array.of(255, 1, 2, 3), pixelOf({ bitsAllocated: 8, signed: true })),
    ]).toEqual([-1, 1, 2, 3]);
    expect([...storedValues(Uint8Array.of(0b0101), pixelOf({ bitsAllocated: 1 }))]).toEqual([1, 0, 1, 0]);
    const wide = new Uint8Array(Uint32Array.of(4_000_000_000, 1, 2, 3).buffer);
    expect([...storedValues(wide, pixelOf({ bitsAllocated: 32 }))]).toEqual([4_000_000_000, 1, 2, 3]);
    expect(storedValues(wide, pixelOf({ bitsAllocated: 32, signed: true }))[0]).toBe(4_000_000_000 - 2 ** 32);
  });
});

describe('toGray', () => {
  it('follows LINEAR of C.11.2.1.2.1', () => {
    const window: Window = { center: 2048, width: 4096, shape: 'LINEAR' };
    // x <= c - 0.5 - (w - 1) / 2 is 0, x > c - 0.5 + (w - 1) / 2 is 255.
    expect(gray([-1, 0, 4095, 4096, 2048], { window })).toEqual([0, 0, 255, 255, 128]);
    // ((1000 - 2047.5) / 4095 + 0.5) × 255 = 62.27; of 3000 186.81.
    expect(gray([1000, 3000], { window })).toEqual([62, 187]);
    expect(gray([9, 10], { window: { center: 10.5, width: 1, shape: 'LINEAR' } })).toEqual([0, 0]);
    expect(gray([11], { window: { center: 10.5, width: 1, shape: 'LINEAR' } })).toEqual([255]);
  });

  it('follows LINEAR_EXACT and SIGMOID', () => {
    expect(
      gray([-1, 0, 50, 100, 101], { window: { center: 50, width: 100, shape: 'LINEAR_EXACT' } }),
    ).toEqual([0, 0, 128, 255, 255]);
    // ((20 - 50) / 100 + 0.5) × 255 = 51.
    expect(gray([20], { window: { center: 50, width: 100, shape: 'LINEAR_EXACT' } })).toEqual([51]);
    const sigmoid = gray([0, 50, 100], { window: { center: 50, width: 100, shape: 'SIGMOID' } });
    expect(sigmoid).toEqual([Math.round(255 / (1 + Math.exp(2))), 128, Math.round(255 / (1 + Math.exp(-2)))]);
  });

  it('rescales before the window, and shows MONOCHROME1 the other way round', () => {
    const presentation = {
      rescale: { slope: 2, intercept: -1000 },
      window: { center: 0, width: 200, shape: 'LINEAR_EXACT' },
    } as const;
    expect(gray([450, 500, 550], presentation)).toEqual([0, 128, 255]);
    expect(gray([450, 500, 550], { ...presentation, inverse: true })).toEqual([255, 127, 0]);
  });

  it('lets a window that is asked for go before the one of the object', () => {
    const window: Window = { center: 0, width: 2, shape: 'LINEAR_EXACT' };
    expect(gray([100], { window }, { center: 100, width: 200, shape: 'LINEAR_EXACT' })).toEqual([128]);
  });

  it('looks up in a modality table and in a VOI table', () => {
    const modalityTable = { first: 10, bits: 16, entries: Uint16Array.of(0, 100, 200) };
    const voiTable = {
      first: 0,
      bits: 8,
      entries: Uint16Array.from({ length: 256 }, (_, index) => 255 - index),
    };
    expect(gray([0, 10, 11, 12, 99], { modalityTable, voiTable })).toEqual([255, 255, 155, 55, 55]);
  });

  it('spreads the values there are where nothing says how, padding left out', () => {
    expect(gray([100, 150, 200], {})).toEqual([0, 128, 255]);
    expect(gray([-2000, 100, 150, 200], { padding: { from: -2000, to: -2000 } })).toEqual([0, 0, 128, 255]);
    expect(gray([7, 7], {})).toEqual([0, 0]);
  });

  it.each([
    ['of 12 bits', { bitsStored: 12 }],
    ['of 12 bits, signed', { bitsStored: 12, signed: true }],
    ['of 12 bits that stand high', { bitsStored: 12, highBit: 15 }],
    ['of 16 bits', {}],
    ['of 16 bits, signed', { signed: true }],
  ])('gives the same in one pass over words %s', (_what, of) => {
    const words = Uint16Array.from({ length: 4096 }, (_, index) => (index * 40_503) & 0xffff);
    const pixel = pixelOf({ rows: 64, columns: 64, bitsAllocated: 16, ...of });
    const bytes = new Uint8Array(words.buffer);
    const odd = new Uint8Array(bytes.length + 1);
    odd.set(bytes, 1);
    const voiTable = {
      first: 9,
      bits: 8,
      entries: Uint16Array.from({ length: 99 }, (_, index) => index * 2),
    };
    const window: Window = { center: 900, width: 3000, shape: 'SIGMOID' };
    for (const said of [
      { window },
      { voiTable },
      { window, inverse: true, rescale: { slope: 2, intercept: -9 } },
    ]) {
      const presentation = { ...plain, ...said };
      const expected = toGray(storedValues(bytes, pixel), presentation);
      expect(grayOf(bytes, pixel, presentation).equals(expected)).toBe(true);
      expect(grayOf(odd.subarray(1), pixel, presentation).equals(expected)).toBe(true);
    }
    expect(grayOf(bytes, pixel, plain).equals(toGray(storedValues(bytes, pixel), plain))).toBe(true);
  });

  it('gives the same for values too far apart for a table', () => {
    const values = Float64Array.of(0, 1_000_000, 2_000_000);
    expect([...toGray(values, plain)]).toEqual([0, 128, 255]);
  });
});
