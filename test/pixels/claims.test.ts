/**
 * Frames of a few bytes that claim a great size, in the object, in the codestream or in both: refused by their first
 * bytes, and no memory is taken for them.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { jpegXlSize } from '../../src/pixels/codestream.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import { pixelOf } from './pixel-of.ts';

const workers = createPixelWorkers({ threads: 1 });
afterAll(() => workers.stop());

const MB = 1024 * 1024;
const HUGE = 65_535;
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** The beginning of a codestream of `rows` by `columns`, one component of eight bits, and nothing after it. */
const beginnings: readonly (readonly [
  name: string,
  uid: string,
  of: (rows: number, columns: number) => Buffer,
])[] = [
  ['JPEG', '1.2.840.10008.1.2.4.50', (rows, columns) => jpegLike('c0', rows, columns)],
  ['JPEG lossless', '1.2.840.10008.1.2.4.70', (rows, columns) => jpegLike('c3', rows, columns)],
  ['JPEG-LS', '1.2.840.10008.1.2.4.80', (rows, columns) => jpegLike('f7', rows, columns)],
  ['JPEG 2000', '1.2.840.10008.1.2.4.90', jpeg2000Like],
  ['HTJ2K', '1.2.840.10008.1.2.4.201', jpeg2000Like],
  ['JPEG XL', '1.2.840.10008.1.2.4.110', jpegXlLike],
  [
    'RLE',
    '1.2.840.10008.1.2.5',
    () => Buffer.concat([hex('01000000 40000000'), Buffer.alloc(56), hex('81 00')]),
  ],
];

function jpegLike(frame: string, rows: number, columns: number): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt16BE(rows, 0);
  size.writeUInt16BE(columns, 2);
  return Buffer.concat([
    hex(`ffd8 ff${frame} 000b 08`),
    size,
    hex('01 01 11 00 ffda 0008 01 01 00 00 00 00 8000'),
  ]);
}

function jpeg2000Like(rows: number, columns: number): Buffer {
  const sides = Buffer.alloc(32);
  for (const [at, value] of [
    [0, columns],
    [4, rows],
    [16, columns],
    [20, rows],
  ] as const)
    sides.writeUInt32BE(value, at);
  return Buffer.concat([hex('ff4f ff51 0029 0000'), sides, hex('0001 07 01 01 ffd9')]);
}

/** Its two sides in 18 bits each, the lowest first. */
function jpegXlLike(rows: number, columns: number): Buffer {
  const bits = (2n << 1n) | (BigInt(rows - 1) << 3n) | (2n << 24n) | (BigInt(columns - 1) << 26n);
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16BE(0xff0a, 0);
  bytes.writeBigUInt64LE(bits, 2);
  return bytes;
}

describe.each(beginnings)('a few bytes of %s', (name, transferSyntaxUid, of) => {
  it.each([
    ['65,535 by 65,535, as the object does', HUGE, HUGE, of(HUGE, HUGE)],
    ['65,535 by 65,535 where the object is small', 16, 16, of(HUGE, HUGE)],
    ['16,000 by 16,000, as the object does', 16_000, 16_000, of(16_000, 16_000)],
    ['little where the object claims 65,535 by 65,535', HUGE, HUGE, of(16, 16)],
  ])('that claim %s cost nothing', async (_claim, rows, columns, frame) => {
    const before = process.memoryUsage().rss;
    const pixel = pixelOf({ rows, columns, bitsAllocated: 8, transferSyntaxUid });
    const says = name === 'RLE' && rows === 16 ? /ends after/ : /./;
    await expect(workers.decode(pixel, frame)).rejects.toMatchObject({
      kind: expect.stringMatching(/^(invalid|too-large)$/) as string,
      message: expect.stringMatching(says) as string,
    });
    // The thread's own start takes some; 65,535 by 65,535 would take 4 GB.
    expect((process.memoryUsage().rss - before) / MB).toBeLessThan(200);
  });
});

describe('jpegXlSize', () => {
  it('reads small sizes, long ones, and a width by its ratio', () => {
    expect(jpegXlSize(jpegXlLike(300, 70_000))).toEqual({ height: 300, width: 70_000 });
    // small, height 16, ratio 0, width 24.
    const small = Buffer.concat([hex('ff0a'), Buffer.from([1 | (1 << 1), 2 << 1]), Buffer.alloc(10)]);
    expect(jpegXlSize(small)).toEqual({ height: 16, width: 24 });
    // small, height 240, ratio 4:3.
    const byRatio = Buffer.concat([hex('ff0a'), Buffer.from([1 | (29 << 1) | (3 << 6)]), Buffer.alloc(11)]);
    expect(jpegXlSize(byRatio)).toEqual({ height: 240, width: 320 });
    expect(jpegXlSize(hex('ffd8ffe0'))).toBeUndefined();
  });
});
