/**
 * Pictures of the frames of one object to a moving picture (PS3.18 8.7.4: image/gif for multi-frame images).
 * Runs in pixel-worker.ts; the pictures were made there one by one.
 */
import sharp from 'sharp';

/** @param pictures PNG files of one size, one behind the other in `bytes` with these lengths */
export function cine(bytes: Uint8Array, lengths: readonly number[], delayMs: number): Promise<Buffer> {
  const pictures: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    pictures.push(Buffer.from(bytes.buffer, bytes.byteOffset + at, length));
    at += length;
  }
  const [first] = pictures;
  const moving =
    pictures.length > 1
      ? sharp(pictures, { join: { animated: true }, limitInputPixels: false })
      : sharp(first);
  return moving.gif({ delay: pictures.map(() => delayMs), loop: 0, effort: 3 }).toBuffer();
}
