/**
 * Text planted in compressed frames, wherever their formats have a place for it, is nowhere in what leaves; the frames
 * decode to the same pixels, and no length changes.
 */
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeFrame, loadCodecs } from '../../src/pixels/decode-frame.ts';
import { PixelsOnly } from '../../src/transform/pixels-only.ts';
import { QuietCodestream } from '../../src/transform/quiet-codestream.ts';
import { encapsulated } from '../dicom/elements.ts';
import { imageOf } from '../pixels/image-file.ts';
import { corpusFolder, corpusIndex } from '../support/corpus.ts';

const JPEG = '1.2.840.10008.1.2.4.50';
const JPEG_2000 = '1.2.840.10008.1.2.4.90';
const FOLLOWED = /^1\.2\.840\.10008\.1\.2\.4\.(5\d|70|8[01]|9[0-3]|20[1-3])$/;
const SECRET = 'SECRET^NAME';

/** The element as it leaves. @param size of the pieces it comes in */
function passed(fragments: readonly Buffer[], uid: string, size = 1 << 20): Buffer {
  const element = encapsulated([Buffer.alloc(0), ...fragments]);
  const pixels = new PixelsOnly(false, QuietCodestream.for(uid));
  const out: Buffer[] = [];
  for (let at = 0; at < element.length; at += size)
    out.push(Buffer.from(pixels.push(element.subarray(at, at + size))));
  const left = Buffer.concat(out);
  expect(left).toHaveLength(element.length);
  return left;
}
function fragmentsOf(element: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 12; element.readUInt16LE(at + 2) === 0xe000; ) {
    const length = element.readUInt32LE(at + 4);
    found.push(element.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return found.slice(1);
}
function segment(code: number, payload: Buffer | string): Buffer {
  const bytes = Buffer.from(payload as string, 'latin1');
  return Buffer.concat([Buffer.from([0xff, code, (bytes.length + 2) >> 8, (bytes.length + 2) & 255]), bytes]);
}
const even = (frame: Buffer): Buffer => (frame.length % 2 ? Buffer.concat([frame, Buffer.alloc(1)]) : frame);

/** Offsets of the segments of a header, up to and without the one that begins the picture. */
function placesIn(frame: Buffer, last: number): number[] {
  const places: number[] = [];
  for (let at = 2; frame[at] === 0xff; at += 2 + frame.readUInt16BE(at + 2)) {
    places.push(at);
    if (frame[at + 1] === last) break;
  }
  return places;
}
function withAt(frame: Buffer, at: number, more: Buffer): Buffer {
  return Buffer.concat([frame.subarray(0, at), more, frame.subarray(at)]);
}

/** In every place there is. */
function planted(frame: Buffer, uid: string): Buffer {
  const behind = Buffer.concat([frame, Buffer.from(SECRET)]);
  if (!/\.4\.(9|20)/.test(uid)) {
    const [first = 2] = placesIn(frame, 0xda);
    const texts = [
      segment(0xe0, `JFXX\0${SECRET}`),
      segment(0xe1, `Exif\0\0${SECRET}`),
      segment(0xe2, SECRET),
      segment(0xe8, `SPIFF\0${SECRET}`),
      segment(0xec, `Ducky${SECRET}`),
      segment(0xed, `Photoshop 3.0${SECRET}`),
      segment(0xfe, SECRET),
    ];
    const text = Buffer.concat(texts);
    const scan = placesIn(behind, 0xda).at(-1)!;
    return withAt(withAt(behind, scan, segment(0xfe, SECRET)), first, text);
  }
  const text = segment(0x64, `\0\x01${SECRET}`);
  const siz = placesIn(frame, 0x90)[1]!;
  // In the header of the first tile-part as well, whose length tells of it.
  const tile = placesIn(behind, 0x90).at(-1)!;
  const length = behind.readUInt32BE(tile + 6);
  const longer = Buffer.from(behind);
  if (length > 0) longer.writeUInt32BE(length + text.length, tile + 6);
  return withAt(withAt(longer, tile + 12, text), siz, text);
}

describe.skipIf(!corpusFolder)('frames of the corpus', () => {
  beforeAll(loadCodecs);
  const files = corpusIndex()
    .filter(
      ({ ts_uid = '', pydicom, source = '', size }) =>
        FOLLOWED.test(ts_uid) && pydicom === 'ok' && Number(size) < 200_000 && !/fuzz/.test(source),
    )
    .map(({ file = '', ts_uid = '' }) => [file, ts_uid] as const);

  test('are many', () => {
    expect(new Set(files.map(([, uid]) => uid)).size).toBeGreaterThan(8);
    expect(files.length).toBeGreaterThan(40);
  });

  test.each(files)('%s (%s)', async (file, uid) => {
    const image = imageOf(join(corpusFolder!, file));
    const frame = await image.frame(1);
    let samples: Buffer;
    try {
      samples = Buffer.from(decodeFrame(image.pixel, Buffer.from(frame)).samples);
    } catch {
      return;
    }
    const full = even(planted(frame, uid));
    const half = Math.floor(full.length / 4) * 2;
    expect(full.includes(SECRET)).toBe(true);
    for (const [fragments, size] of [
      [[full], 1 << 20],
      [[full.subarray(0, half), full.subarray(half)], 977],
      [[full, full], 64 * 1024],
    ] as const) {
      const left = passed(fragments, uid, size);
      expect(left.includes(SECRET)).toBe(false);
      const whole = Buffer.concat(fragmentsOf(left)).subarray(0, full.length);
      expect(decodeFrame(image.pixel, whole).samples.length).toBe(samples.length);
      expect(Buffer.from(decodeFrame(image.pixel, whole).samples).equals(samples)).toBe(true);
    }
    // What has nothing to say leaves as it is, but for its own comments.
    expect(passed([even(frame)], uid)).toHaveLength(even(frame).length + 12 + 8 + 8 + 8);
  });
});

describe('what decoding needs', () => {
  const jpeg = (...segments: Buffer[]): Buffer =>
    even(
      Buffer.concat([
        Buffer.from('ffd8', 'hex'),
        ...segments,
        segment(0xda, '\x01\x01\x00\x00\x3f\x00'),
        Buffer.from('12ff0034ffd056ffd9', 'hex'),
      ]),
    );

  test('stays: JFIF without its thumbnail, the colour transforms of Adobe and HP', () => {
    const frame = jpeg(
      segment(0xe0, 'JFIF\0\x01\x02\x00\x00\x01\x00\x01\x01\x01abc'),
      segment(0xee, 'Adobe\0\x64\0\0\0\0\x01tail'),
      segment(0xe8, 'mrfx\x01tail'),
      segment(0xee, 'AdoX'),
    );
    const [left] = fragmentsOf(passed([frame], JPEG, 1));
    const wanted = Buffer.from(
      frame
        .toString('latin1')
        .replace('abc', '\0\0\0')
        .replaceAll('tail', '\0\0\0\0')
        .replace('AdoX', 'Ado\0'),
      'latin1',
    );
    expect(left!.equals(wanted)).toBe(true);
  });

  test('between two scans is found, too, and what stands behind each frame goes', () => {
    const one = Buffer.concat([
      Buffer.from('ffd8', 'hex'),
      segment(0xda, 'scan'),
      Buffer.from('11ff00ff', 'hex'),
      segment(0xfe, SECRET),
      segment(0xda, 'scan'),
      Buffer.from('22ffd9', 'hex'),
      Buffer.from(SECRET),
    ]);
    const left = passed([even(one), even(one)], JPEG, 7);
    expect(left.includes('SECRET')).toBe(false);
    expect(fragmentsOf(left).every((each) => each.includes(Buffer.from('22ffd9', 'hex')))).toBe(true);
  });

  test('of a JP2 file stays; its other boxes do not', () => {
    const box = (type: string, content: Buffer | string): Buffer => {
      const bytes = Buffer.from(content as string, 'latin1');
      const head = Buffer.alloc(8);
      head.writeUInt32BE(bytes.length + 8);
      head.write(type, 4, 'latin1');
      return Buffer.concat([head, bytes]);
    };
    const codestream = Buffer.concat([
      Buffer.from('ff4f', 'hex'),
      segment(0x51, 'size'),
      segment(0x64, `\0\x01${SECRET}`),
      segment(0x90, '12345678'),
      Buffer.from('ff93aaff910004ffd9bbffd9', 'hex'),
    ]);
    const frame = even(
      Buffer.concat([
        box('jP  ', '\r\n\x87\n'),
        box('ftyp', 'jp2 \0\0\0\0jp2 '),
        box('xml ', `<name>${SECRET}</name>`),
        box('jp2h', 'header'),
        box('jp2c', codestream),
        box('uuid', SECRET),
      ]),
    );
    const [left] = fragmentsOf(passed([frame], JPEG_2000, 5));
    expect(left!.includes('SECRET')).toBe(false);
    for (const kept of ['ftypjp2', 'jp2hheader', 'size', '12345678']) expect(left!.includes(kept)).toBe(true);
  });
});

test.each([
  ['no frame at its beginning', JPEG, [Buffer.from(`${SECRET}!`)]],
  ['two frames in a fragment', JPEG, [Buffer.from('ffd8ffd9ffd8ffd9', 'hex')]],
  ['text where a marker has to be', JPEG_2000, [Buffer.from('ff4f5345', 'hex')]],
])('%s: it does not leave', (_, uid, fragments) => {
  expect(() => passed(fragments, uid)).toThrow(/its compressed pixels cannot be followed/);
});
