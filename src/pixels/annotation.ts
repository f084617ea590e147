/**
 * Lines of text burned into a picture (PS3.18 8.3.5.1.1): white with a black rim, top left, sized to the picture.
 * Called by render-frame.ts in the workers; which lines, the door says.
 */
import sharp, { type Sharp } from 'sharp';
import { Failure } from '../failure.ts';

const LINE_HEIGHT = 1.3;
const SMALLEST_TEXT = 9;
/** Of the picture's height. */
const TEXT_HEIGHT = 1 / 36;

/** @throws Failure 'unsupported' where this machine has no font: a picture without the text asked for would mislead */
export async function annotated(picture: Sharp, lines: readonly string[]): Promise<Sharp> {
  const { data, info } = await picture.toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const { data: drawn } = await sharp(svgOf(lines, width, height))
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (drawn.every((byte) => byte === 0))
    throw new Failure('unsupported', 'This server has no font to write annotations with: install one');
  return sharp(data, { raw: { width, height, channels } }).composite([
    { input: drawn, raw: { width, height, channels: 4 } },
  ]);
}

function svgOf(lines: readonly string[], width: number, height: number): Buffer {
  const size = Math.max(SMALLEST_TEXT, Math.round(height * TEXT_HEIGHT));
  const texts = lines.map(
    (line, index) =>
      `<text x="${Math.round(size / 2)}" y="${Math.round(size * LINE_HEIGHT * (index + 1))}">${escaped(line)}</text>`,
  );
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><g font-family="sans-serif" ` +
      `font-size="${size}" fill="white" stroke="black" stroke-width="${size / 8}" paint-order="stroke">${texts.join('')}</g></svg>`,
  );
}

/** What XML cannot hold at all is a space. */
function escaped(text: string): string {
  return text
    .replace(/[^\t\n\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, ' ')
    .replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
