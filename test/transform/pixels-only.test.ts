/** Nothing behind the pixels passes, however the bytes are cut. */
import { describe, expect, test } from 'vitest';
import { PixelsOnly } from '../../src/transform/pixels-only.ts';
import { element, encapsulated, sequence } from '../dicom/elements.ts';

const BEHIND = Buffer.concat([
  element('7FE10010', 'LO', 'SECRET'),
  sequence('FFFAFFFA', [element('0400010B', 'OB', 'SECRET')]),
  element('FFFCFFFC', 'OB', 'SECRET'),
]);
const fragments = encapsulated([Buffer.alloc(0), Buffer.alloc(1000, 7), Buffer.from('FEFFDDE0', 'hex')]);
const native = element('7FE00010', 'OW', Buffer.alloc(999, 3));
const implicit = element('7FE00010', 'OW', Buffer.alloc(998, 3), { implicit: true });

describe.each([
  ['fragments', fragments, false],
  ['native pixels', native, false],
  ['native pixels in Implicit VR', implicit, true],
  ['empty pixels', element('7FE00010', 'OW', ''), false],
  ['no pixels', Buffer.alloc(0), false],
] as const)('%s', (name, pixels, isImplicit) => {
  test.each([1, 2, 7, 11, 500, 100_000])('in pieces of %i', (size) => {
    const only = new PixelsOnly(isImplicit);
    const all = name === 'no pixels' ? pixels : Buffer.concat([pixels, BEHIND]);
    const passed: Buffer[] = [];
    for (let at = 0; at < all.length; at += size)
      passed.push(Buffer.from(only.push(all.subarray(at, at + size))));
    expect(Buffer.concat(passed).equals(pixels)).toBe(true);
    expect(only.ended).toBe(name !== 'no pixels');
  });
});

test('a broken fragment is a fault', () => {
  const broken = Buffer.concat([fragments.subarray(0, 20), Buffer.alloc(8, 9)]);
  expect(() => new PixelsOnly(false).push(broken)).toThrow(/broken/);
});
