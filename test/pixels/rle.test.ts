/** RLE Lossless: the packing of PS3.5 G.3, and everything a segment may claim. */
import { describe, expect, it } from 'vitest';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { decodeRle } from '../../src/pixels/rle.ts';
import { pixelOf } from './pixel-of.ts';

function frame(...segments: (readonly number[])[]): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(segments.length, 0);
  let at = 64;
  for (const [index, segment] of segments.entries()) {
    header.writeUInt32LE(at, 4 + index * 4);
    at += segment.length;
  }
  return Buffer.concat([header, ...segments.map((segment) => Buffer.from(segment))]);
}

const decoded = (bytes: Buffer, of: Partial<ImagePixel>): number[] => [...decodeRle(bytes, pixelOf(of))];

describe('decodeRle', () => {
  it('unpacks literal runs, repeated bytes and the byte that says nothing', () => {
    expect(decoded(frame([1, 10, 20, 128, 0xff, 30]), { rows: 1, columns: 4, bitsAllocated: 8 })).toEqual([
      10, 20, 30, 30,
    ]);
  });

  it('puts the bytes of a sample together, the most significant segment first', () => {
    expect(decoded(frame([1, 1, 2], [1, 0x10, 0x20]), { rows: 1, columns: 2 })).toEqual([0x10, 1, 0x20, 2]);
  });

  it('leaves single bits packed', () => {
    expect(decoded(frame([1, 0xa5, 0x01]), { rows: 3, columns: 3, bitsAllocated: 1 })).toEqual([0xa5, 1]);
  });

  it('lays colour out by pixel or by plane', () => {
    const colour = frame([1, 1, 2], [1, 3, 4], [1, 5, 6]);
    const of = { rows: 1, columns: 2, bitsAllocated: 8, samplesPerPixel: 3 };
    expect(decoded(colour, of)).toEqual([1, 3, 5, 2, 4, 6]);
    expect(decoded(colour, { ...of, planarConfiguration: 1 })).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it.each([
    ['too short for a header', Buffer.alloc(10), 'RLE frame has 0 segments'],
    ['with too few segments', frame([0, 1]), 'RLE frame has 1 segments where its pixels need 2'],
    ['with 4 billion segments', Buffer.alloc(64, 0xff), 'RLE frame has 4294967295 segments'],
    ['whose segment ends early', frame([0, 1], [1, 1, 2]), 'RLE segment 1 ends after 1 of 2 bytes'],
    ['whose literal run runs out', frame([1, 1], [1, 1, 2]), 'RLE segment 1 ends after 0 of 2 bytes'],
    ['whose offset points into the header', withOffset(4), 'RLE segment 1 points outside'],
    ['whose offset points behind it', withOffset(4000), 'RLE segment 1 points outside'],
  ])('refuses a frame %s', (_what, bytes, sentence) => {
    expect(() => decodeRle(bytes, pixelOf({ rows: 1, columns: 2 }))).toThrow(sentence);
  });

  it('stops where the pixels are full, however much a run claims', () => {
    expect(decoded(frame([129, 7]), { rows: 1, columns: 3, bitsAllocated: 8 })).toEqual([7, 7, 7]);
  });
});

function withOffset(offset: number): Buffer {
  const bytes = frame([1, 1, 2], [1, 1, 2]);
  bytes.writeUInt32LE(offset, 4);
  return bytes;
}
