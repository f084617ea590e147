/** The made-up headers of the start go the way of real ones, and not for long. */
import { expect, it } from 'vitest';
import { eachFragment, isCurrent } from '../../src/archive/header-piece.ts';
import { warmUp } from '../../src/archive/warm-up.ts';

it('makes pieces as of objects with pixels', async () => {
  const made = await warmUp(10_000);
  expect(made.length).toBeGreaterThan(0);
  for (const piece of made) {
    expect(isCurrent(piece)).toBe(true);
    let fragments = 0;
    eachFragment(piece, () => fragments++);
    expect(fragments).toBe(2);
  }
});

it('begins nothing when there is no time', async () => {
  expect(await warmUp(0)).toEqual([]);
});
