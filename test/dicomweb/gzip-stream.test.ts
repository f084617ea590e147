/** One gzip member of fragments deflated before and text between them: what zlib itself makes of it is the judge. */
import { randomBytes, randomInt } from 'node:crypto';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { crc32Combine, GzipStream, inflateBlocks } from '../../src/dicomweb/gzip-stream.ts';

it('combines the CRC-32 of any two texts', () => {
  for (const lengths of [
    [0, 0],
    [0, 5],
    [5, 0],
    [1, 1],
    [70_000, 1],
    [3, 200_001],
    ...Array.from({ length: 200 }, () => [randomInt(5000), randomInt(5000)]),
  ]) {
    const [one, other] = [randomBytes(lengths[0]!), randomBytes(lengths[1]!)];
    expect(crc32Combine(zlib.crc32(one), zlib.crc32(other), other.length), lengths.join(' ')).toBe(
      zlib.crc32(Buffer.concat([one, other])),
    );
  }
});

describe('a stream', () => {
  it.each([0, 1, 2, 50, 400])('of %i fragments with text between them is what they are', async (count) => {
    const out = new GzipStream();
    const texts: Buffer[] = [];
    const blocks: Buffer[] = [];
    for (let n = 0; n < count; n++) {
      const between = Buffer.from(`between ${n} ${'é'.repeat(randomInt(30))}`);
      const text = n % 3 === 0 ? Buffer.alloc(randomInt(9000), 'the same ') : randomBytes(randomInt(9000));
      texts.push(between, text);
      out.text(between);
      const deflated = zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
      const source = Buffer.concat([randomBytes(7), deflated, randomBytes(3)]);
      out.deflated(source, 7, 7 + deflated.length, zlib.crc32(text), text.length);
      if (n % 7 === 0) blocks.push(out.take());
    }
    blocks.push(out.take());
    const whole = Buffer.concat(texts);
    expect(zlib.gunzipSync(Buffer.concat([out.header, ...blocks, out.end()])).equals(whole)).toBe(true);
    expect((await inflateBlocks(Buffer.concat(blocks))).equals(whole)).toBe(true);
  });

  it('takes text longer than a stored block, and more than there is room for', () => {
    const text = randomBytes(1_000_000);
    const out = new GzipStream();
    out.text(text);
    expect(zlib.gunzipSync(Buffer.concat([out.header, out.take(), out.end()])).equals(text)).toBe(true);
  });
});
