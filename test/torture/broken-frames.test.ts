/**
 * Compressed frames with a fault put in on purpose, through the worker threads: each is answered with samples of the
 * right length or with a Failure in words, memory stays bounded, and the next whole frame decodes as ever.
 * Frames come from the codecs' own encoders, so that the suite needs no corpus.
 */
import codecs from 'dcmjs-codecs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Failure } from '../../src/failure.ts';
import { decodedLength } from '../../src/pixels/decodable.ts';
import type { ImagePixel } from '../../src/pixels/image-pixel.ts';
import { createPixelWorkers } from '../../src/pixels/pixel-workers.ts';
import type { Presentation } from '../../src/pixels/presentation.ts';
import { codecContext } from '../pixels/codec-context.ts';
import { pixelOf } from '../pixels/pixel-of.ts';
import { type Chance, chance } from './chance.ts';
import { limitMs, times } from './scale.ts';

const { NativeCodecs } = codecs;
const SIDE = 96;
const MB = 1024 * 1024;

const workers = createPixelWorkers({ threads: 2, taskLimitMs: 10_000 });
beforeAll(() => NativeCodecs.initializeAsync());
afterAll(() => workers.stop());

type Context = ReturnType<typeof codecContext>;
type Encoder = (context: Context) => Context;

const kinds: readonly (readonly [name: string, uid: string, encode: Encoder, of: Partial<ImagePixel>])[] = [
  ['RLE', '1.2.840.10008.1.2.5', (of) => NativeCodecs.encodeRle(of), {}],
  [
    'JPEG baseline',
    '1.2.840.10008.1.2.4.50',
    (of) => NativeCodecs.encodeJpeg(of, { lossy: true }),
    { bitsAllocated: 8 },
  ],
  [
    'JPEG baseline in colour',
    '1.2.840.10008.1.2.4.50',
    (of) => NativeCodecs.encodeJpeg(of, { lossy: true }),
    { bitsAllocated: 8, samplesPerPixel: 3, photometricInterpretation: 'RGB' },
  ],
  ['JPEG lossless', '1.2.840.10008.1.2.4.70', (of) => NativeCodecs.encodeJpeg(of, { lossy: false }), {}],
  ['JPEG-LS', '1.2.840.10008.1.2.4.80', (of) => NativeCodecs.encodeJpegLs(of), {}],
  ['JPEG 2000', '1.2.840.10008.1.2.4.90', (of) => NativeCodecs.encodeJpeg2000(of), {}],
  [
    'JPEG 2000 in colour',
    '1.2.840.10008.1.2.4.91',
    (of) => NativeCodecs.encodeJpeg2000(of, { lossy: true }),
    { bitsAllocated: 8, samplesPerPixel: 3, photometricInterpretation: 'RGB' },
  ],
  ['HTJ2K', '1.2.840.10008.1.2.4.201', (of) => NativeCodecs.encodeHtJpeg2000(of), {}],
  ['JPEG XL', '1.2.840.10008.1.2.4.110', (of) => NativeCodecs.encodeJpegXl(of, { lossy: false }), {}],
];

interface Whole {
  readonly pixel: ImagePixel;
  readonly frame: Uint8Array;
}

function wholeFrame(uid: string, encode: Encoder, of: Partial<ImagePixel>): Whole {
  const pixel = pixelOf({ rows: SIDE, columns: SIDE, transferSyntaxUid: uid, ...of });
  const count = SIDE * SIDE * pixel.samplesPerPixel;
  const most = 2 ** pixel.bitsStored - 1;
  const { whole } = chance(7);
  const values = Array.from({ length: count }, (_, at) => ((at % SIDE) * 37 + whole(0, 20)) % most);
  const samples = pixel.bitsAllocated === 8 ? Uint8Array.from(values) : Uint16Array.from(values);
  const context = codecContext(pixel, new Uint8Array(samples.buffer));
  return { pixel, frame: Uint8Array.from(encode(context).getEncodedBuffer()!) };
}

/** One fault, as damage does it: bytes changed anywhere or in the headers, an end that is missing, a hole, a doubled piece. */
function broken(frame: Uint8Array, { whole, pick }: Chance): Uint8Array {
  const bytes = Uint8Array.from(frame);
  const anywhere = (): number => whole(0, bytes.length - 1);
  switch (whole(0, 6)) {
    case 0:
      for (let n = whole(1, 12); n > 0; n--) bytes[anywhere()] = whole(0, 255);
      return bytes;
    case 1:
      for (let n = whole(1, 3); n > 0; n--) bytes[whole(0, Math.min(120, bytes.length - 1))] = whole(0, 255);
      return bytes;
    case 2:
      return bytes.subarray(0, anywhere());
    case 3: {
      const at = anywhere();
      return bytes.fill(pick([0, 255]), at, at + whole(1, 500));
    }
    case 4: {
      const [a, b] = [anywhere(), anywhere()].sort((one, other) => one - other) as [number, number];
      return Buffer.concat([bytes.subarray(0, a), bytes.subarray(b)]);
    }
    case 5: {
      const at = anywhere();
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 200))]);
    }
    default: {
      // A length or a size that says too much, or nothing.
      const at = whole(2, Math.min(100, bytes.length - 3));
      [bytes[at], bytes[at + 1]] = pick([
        [0xff, 0xff],
        [0, 0],
        [0x7f, 0xff],
      ] as const);
      return bytes;
    }
  }
}

const plain: Presentation = { rescale: { slope: 1, intercept: 0 }, inverse: false };

describe('broken frames', () => {
  test.each(kinds)(
    'in %s are decoded or refused in words, and harm nobody after them',
    { timeout: limitMs(300_000, 3_600_000) },
    async (_name, uid, encode, of) => {
      const { pixel, frame } = wholeFrame(uid, encode, of);
      const expected = await workers.decode(pixel, frame);
      expect(expected).toHaveLength(decodedLength(pixel));
      const random = chance();
      const before = process.memoryUsage().rss;
      let refused = 0;
      const count = times(225, 5_000);
      for (let n = 0; n < count; n++) {
        const bytes = broken(frame, random);
        const what = `seed ${random.seed}, frame ${n}`;
        try {
          if (n % 4 === 0) {
            const picture = await workers.render(pixel, bytes, plain, { type: 'image/jpeg', quality: 90 });
            expect(picture.length, what).toBeGreaterThan(100);
          } else expect(await workers.decode(pixel, bytes), what).toHaveLength(decodedLength(pixel));
        } catch (thrown) {
          if (!(thrown instanceof Failure)) throw thrown;
          refused++;
          expect(['invalid', 'unsupported', 'too-large'], `${what}: ${thrown.message}`).toContain(
            thrown.kind,
          );
        }
        if (n % 25 === 24)
          expect(Buffer.compare(await workers.decode(pixel, frame), expected), `after ${what}`).toBe(0);
      }
      expect(refused, `seed ${random.seed}: nothing was broken`).toBeGreaterThan(0);
      expect((process.memoryUsage().rss - before) / MB, `seed ${random.seed}`).toBeLessThan(1_500);
    },
  );
});
