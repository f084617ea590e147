/**
 * Headers of images with bytes changed on purpose: whatever they then say of rows, bits, tables and overlays, the
 * frame is shown or refused in words, and nothing else is thrown.
 */
import { expect, test } from 'vitest';
import { Failure } from '../../src/failure.ts';
import { presentationOf } from '../../src/pixels/presentation.ts';
import { pictureOf } from '../../src/pixels/render-frame.ts';
import { element, sequence, uint16 } from '../dicom/elements.ts';
import { type Made, madeObject } from '../dicomweb/made-object.ts';
import { imageOf } from '../pixels/image-file.ts';
import { chance } from './chance.ts';
import { limitMs, times } from './scale.ts';

type Elements = NonNullable<Made['elements']>;

const words = (...values: number[]): Buffer => Buffer.concat(values.map((value) => uint16(value & 0xffff)));
const SIDE = 32;
const image = (allocated: number, signed: number): Elements => [
  ['00280010', 'US', uint16(SIDE)],
  ['00280011', 'US', uint16(SIDE)],
  ['00280100', 'US', uint16(allocated)],
  ['00280101', 'US', uint16(allocated)],
  ['00280102', 'US', uint16(allocated - 1)],
  ['00280103', 'US', uint16(signed)],
  ['00280120', 'US', uint16(0)],
];
const table = (tag: string): readonly [string, string, Buffer] => {
  const item = Buffer.concat([
    element('00283002', 'US', words(64, 3, 16)),
    element('00283006', 'OW', words(...Array.from({ length: 64 }, (_, at) => at * 900))),
  ]);
  return [tag, 'SQ', sequence(tag, [item]).subarray(12)];
};
const overlay: Elements = [
  ['60000010', 'US', uint16(SIDE)],
  ['60000011', 'US', uint16(SIDE)],
  ['60000015', 'IS', '2 '],
  ['60000040', 'CS', 'G '],
  ['60000050', 'SS', words(1, 1)],
  ['60000051', 'US', uint16(1)],
  ['60000100', 'US', uint16(1)],
  ['60000102', 'US', uint16(0)],
  ['60003000', 'OW', Buffer.alloc((SIDE * SIDE * 2) / 8, 0x35)],
];
const palette: Elements = [
  ['00280004', 'CS', 'PALETTE COLOR '],
  ...['1', '2', '3'].flatMap(
    (n): Elements => [
      [`0028110${n}`, 'US', words(8, 0, 16)],
      [`0028122${n}`, 'OW', words(0, 2, 0x100, 0x4000, 1, 4, 0xff00, 2, 1, 0, 0)],
    ],
  ),
];
const colour: Elements = [
  ['00280002', 'US', uint16(3)],
  ['00280004', 'CS', 'YBR_FULL'],
  ['00280006', 'US', uint16(1)],
];
const window: Elements = [
  ['00281050', 'DS', '300 '],
  ['00281051', 'DS', '600 '],
  ['00281052', 'DS', '-100'],
  ['00281053', 'DS', '1.5 '],
  ['00281056', 'CS', 'SIGMOID '],
];
const pixels = Buffer.from(Array.from({ length: SIDE * SIDE * 4 }, (_, at) => (at * 37) & 0xff));

const whole = [
  madeObject({ elements: [...image(16, 1), ...window, ...overlay], pixels }),
  madeObject({ elements: [...image(16, 0), table('00283000'), table('00283010')], pixels }),
  madeObject({ elements: [...image(8, 0), ...palette], pixels }),
  madeObject({ elements: [...image(8, 0), ...colour, ...overlay], pixels }),
  madeObject({ elements: [...image(32, 1)], pixels }),
  madeObject({ elements: [...image(1, 0)], pixels }),
];

test('are shown or refused in words', { timeout: limitMs(120_000, 1_800_000) }, async () => {
  const random = chance();
  const outcomes = { shown: 0, refused: 0 };
  for (let n = 0; n < times(3_000, 100_000); n++) {
    const file = Buffer.from(random.pick(whole));
    // Behind the File Meta and the identity, before the pixels.
    const from = file.indexOf(Buffer.from([0x28, 0]), 300);
    const to = file.indexOf(Buffer.from([0xe0, 0x7f, 0x10, 0]), from);
    for (let changes = random.whole(1, 4); changes > 0; changes--)
      file[random.whole(from, to - 1)] = random.happens(0.6)
        ? random.pick([0, 1, 2, 3, 4, 7, 8, 12, 15, 16, 17, 31, 32, 64, 127, 128, 255])
        : random.whole(0, 255);
    try {
      const { header, pixel, frame } = imageOf(file);
      const picture = pictureOf(pixel, await frame(1), presentationOf(header, 1, pixel.signed));
      expect(picture.bytes.length).toBe(picture.width * picture.height * picture.channels);
      outcomes.shown++;
    } catch (thrown) {
      if (!(thrown instanceof Failure))
        throw new Error(`seed ${random.seed}, header ${n}`, { cause: thrown });
      expect(thrown.message.length, `seed ${random.seed}, header ${n}`).toBeGreaterThan(10);
      outcomes.refused++;
    }
  }
  expect(Math.min(outcomes.shown, outcomes.refused)).toBeGreaterThan(100);
});
