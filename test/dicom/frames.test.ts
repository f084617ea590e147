import { describe, expect, test } from 'vitest';
import {
  beginsFrame,
  type FramesOf,
  hasToLookInside,
  frameLocations as placesOf,
} from '../../src/dicom/frames.ts';
import { HeaderScan } from '../../src/dicom/header-scan.ts';
import { EXPLICIT_LE, JPEG_BASELINE } from '../../src/dicom/transfer-syntax.ts';
import { element, encapsulated, uint32 } from './elements.ts';

const image = { numberOfFrames: 1, rows: 2, columns: 3, samplesPerPixel: 1, bitsAllocated: 8 };

function frameLocations(of: FramesOf) {
  const places = placesOf(of);
  expect(places.at(places.length)).toBeUndefined();
  return Array.from({ length: places.length }, (_, frame) => places.at(frame)!);
}

function located(bytes: Buffer, syntax = EXPLICIT_LE) {
  const scan = new HeaderScan(syntax);
  scan.push(bytes);
  return scan.end().pixelData!;
}

function native(length: number, of: Partial<FramesOf>) {
  return frameLocations({ ...image, pixel: located(element('7FE00010', 'OW', Buffer.alloc(length))), ...of });
}

/** The text of each frame's ranges, so that headers or neighbours that slip in are seen. */
function frames(fragments: Buffer[], of: Partial<FramesOf>): string[][] {
  const bytes = encapsulated(fragments);
  const pixel = located(bytes, JPEG_BASELINE);
  return frameLocations({ ...image, pixel, ...of }).map((ranges) =>
    ranges.map(({ offset, length }) => bytes.toString('latin1', offset, offset + length)),
  );
}

const table = (...offsets: number[]) => Buffer.concat(offsets.map((offset) => uint32(offset)));
const parts = ['aaaa', 'bb', 'cccccc'].map((text) => Buffer.from(text));
const none = Buffer.alloc(0);

describe('native pixels', () => {
  test('follow each other without gaps', () => {
    expect(native(24, { numberOfFrames: 2, bitsAllocated: 16 })).toEqual([
      [{ offset: 12, length: 12 }],
      [{ offset: 24, length: 12 }],
    ]);
    expect(native(18, { samplesPerPixel: 3 })).toEqual([[{ offset: 12, length: 18 }]]);
  });

  test('a padding byte at the end is of no frame', () => {
    expect(native(10, { columns: 1, rows: 3, numberOfFrames: 3 }).at(-1)).toEqual([
      { offset: 18, length: 3 },
    ]);
  });

  test('YBR_FULL_422 has two samples a pixel', () => {
    expect(native(24, { samplesPerPixel: 3, numberOfFrames: 2 })).toEqual([
      [{ offset: 12, length: 12 }],
      [{ offset: 24, length: 12 }],
    ]);
  });

  test('single bits run on across frames', () => {
    const bits = { bitsAllocated: 1, rows: 3, columns: 5, numberOfFrames: 3 };
    expect(native(6, bits)).toEqual([
      [{ offset: 12, length: 2 }],
      [{ offset: 13, length: 3, bitOffset: 7 }],
      [{ offset: 15, length: 3, bitOffset: 6 }],
    ]);
    expect(native(4, { ...bits, rows: 2, columns: 8, numberOfFrames: 2 })).toEqual([
      [{ offset: 12, length: 2 }],
      [{ offset: 14, length: 2 }],
    ]);
  });

  test.each<[string, number, Partial<FramesOf>, RegExp]>([
    ['too few bytes', 22, { numberOfFrames: 2, bitsAllocated: 16 }, /has 22 bytes where 2 frames need 24/],
    [
      '65535 by 65535',
      64,
      { rows: 65535, columns: 65535, bitsAllocated: 32 },
      /has 64 bytes where 1 frames need/,
    ],
    ['no Rows', 6, { rows: Number.NaN }, /\(0028,0010\) Rows/],
    ['no bits', 6, { bitsAllocated: 0 }, /\(0028,0100\) BitsAllocated/],
    ['minus one frame', 6, { numberOfFrames: -1 }, /\(0028,0008\) NumberOfFrames/],
    ['more frames than memory', 6, { numberOfFrames: 2 ** 40 }, /has 6 bytes where/],
  ])('%s is invalid', (_name, length, of, sentence) => {
    expect(() => native(length, of)).toThrow(
      expect.objectContaining({ kind: 'invalid', message: expect.stringMatching(sentence) }),
    );
  });
});

describe('encapsulated pixels', () => {
  test('one frame is all its fragments', () => {
    expect(frames([none, ...parts], {})).toEqual([['aaaa', 'bb', 'cccccc']]);
  });

  test('a fragment per frame needs no table', () => {
    expect(frames([none, ...parts], { numberOfFrames: 3 })).toEqual([['aaaa'], ['bb'], ['cccccc']]);
  });

  test('the Basic Offset Table groups fragments', () => {
    expect(frames([table(0, 22), ...parts], { numberOfFrames: 2 })).toEqual([['aaaa', 'bb'], ['cccccc']]);
    expect(frames([table(0, 12), ...parts], { numberOfFrames: 2 })).toEqual([['aaaa'], ['bb', 'cccccc']]);
  });

  test('a Basic Offset Table that lies is not followed where a fragment per frame explains all', () => {
    expect(frames([table(0, 1, 2), ...parts], { numberOfFrames: 3 })).toEqual([['aaaa'], ['bb'], ['cccccc']]);
  });

  test('the Extended Offset Table gives exact lengths', () => {
    const numbers = (...values: bigint[]) => new Uint8Array(new BigUint64Array(values).buffer);
    const extendedOffsetTable = { offsets: numbers(0n, 12n, 22n), lengths: numbers(3n, 2n, 5n) };
    expect(frames([none, ...parts], { numberOfFrames: 3, extendedOffsetTable })).toEqual([
      ['aaa'],
      ['bb'],
      ['ccccc'],
    ]);
    for (const wrong of [
      { offsets: numbers(0n, 12n), lengths: numbers(3n, 2n) },
      { offsets: numbers(0n, 12n, 23n), lengths: numbers(3n, 2n, 5n) },
      { offsets: numbers(0n, 12n, 12n), lengths: numbers(3n, 2n, 5n) },
      { offsets: numbers(0n, 12n, 22n), lengths: numbers(3n, 200n, 5n) },
      { offsets: numbers(0n, 12n, 2n ** 63n), lengths: numbers(3n, 2n, 5n) },
    ]) {
      expect(() => frames([none, ...parts], { numberOfFrames: 3, extendedOffsetTable: wrong })).toThrow(
        expect.objectContaining({ kind: 'invalid' }),
      );
    }
  });

  test('without a table that fits, the fragments that begin a codestream begin the frames', () => {
    const jpeg = ['\xff\xd8\xff\xc0', 'more', '\xff\xd8\xff\xdb', 'on', 'end!'];
    const fragments = jpeg.map((text) => Buffer.from(text, 'latin1'));
    const frameStarts = fragments.map(beginsFrame);
    const expected = [jpeg.slice(0, 2), jpeg.slice(2)];
    for (const first of [none, table(0, 999)]) {
      const pixel = located(encapsulated([first, ...fragments]), JPEG_BASELINE);
      expect(hasToLookInside({ ...image, pixel, numberOfFrames: 2 })).toBe(true);
      expect(frames([first, ...fragments], { numberOfFrames: 2, frameStarts })).toEqual(expected);
    }
    expect(() => frames([none, ...fragments], { numberOfFrames: 3, frameStarts })).toThrow(/no offset table/);
  });

  test('pixels that end early have their first frames', () => {
    expect(frames([table(0, 22, 36, 48), ...parts], { numberOfFrames: 4 })).toEqual([
      ['aaaa', 'bb'],
      ['cccccc'],
    ]);
    expect(() => frames([table(0, 22, 38, 48), ...parts], { numberOfFrames: 4 })).toThrow(/fits neither/);
    const rle = Buffer.from('0200000040000000', 'hex');
    const fragments = [rle, rle];
    const pixel = located(encapsulated([none, ...fragments]), JPEG_BASELINE);
    expect(hasToLookInside({ ...image, pixel, numberOfFrames: 3 })).toBe(true);
    const text = rle.toString('latin1');
    expect(
      frames([none, ...fragments], { numberOfFrames: 3, frameStarts: fragments.map(beginsFrame) }),
    ).toEqual([[text], [text]]);
    expect(() => frames([none, rle, ...parts], { numberOfFrames: 9, frameStarts: [true, false] })).toThrow(
      /no offset table/,
    );
  });

  test('fragments are looked into only where nothing else tells', () => {
    const hasTo = (first: Buffer, numberOfFrames: number) =>
      hasToLookInside({
        ...image,
        pixel: located(encapsulated([first, ...parts]), JPEG_BASELINE),
        numberOfFrames,
      });
    expect([hasTo(none, 1), hasTo(none, 3), hasTo(table(0, 22), 2)]).toEqual([false, false, false]);
    expect([hasTo(none, 2), hasTo(none, 4), hasTo(table(0, 13), 2), hasTo(table(0), 2)]).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  test.each([
    ['ffd8ffe0', true],
    ['ffd8ffd9', true],
    ['ff4fff51002f', true],
    ['0000000c6a5020200d0a870a', true],
    ['0300000040000000', true],
    ['0000000040000000', false],
    ['1000000040000000', false],
    ['ff4f0000', false],
    ['ffd8', false],
    ['', false],
  ])('%s begins a frame: %s', (hex, expected) => {
    expect(beginsFrame(Buffer.from(hex, 'hex'))).toBe(expected);
  });

  test.each<[string, Buffer[], number, string]>([
    ['no table and no rule', [none, ...parts], 2, 'unsupported'],
    ['a table off its fragments', [table(0, 13), ...parts], 2, 'invalid'],
    ['a table that goes back', [table(12, 0), ...parts], 2, 'invalid'],
    ['no fragment', [none], 1, 'invalid'],
    ['a billion frames', [none, ...parts], 1e9, 'unsupported'],
  ])('%s', (_name, fragments, numberOfFrames, kind) => {
    expect(() => frames(fragments, { numberOfFrames })).toThrow(expect.objectContaining({ kind }));
  });
});

test('as many frames as an object can claim of single bits cost nothing until they are asked for', () => {
  const places = placesOf({
    ...image,
    pixel: { ...located(element('7FE00010', 'OW', none)), length: 2 ** 31 - 2 },
    rows: 1,
    columns: 1,
    bitsAllocated: 1,
    numberOfFrames: 2 ** 31 - 1,
  });
  expect(places.length).toBe(2 ** 31 - 1);
  const { offset } = places.at(0)![0]!;
  expect(places.at(2 ** 31 - 2)).toEqual([{ offset: offset + 2 ** 28 - 1, length: 1, bitOffset: 6 }]);
  expect(places.at(2 ** 31 - 1)).toBeUndefined();
});
