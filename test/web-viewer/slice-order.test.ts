import { describe, expect, it } from 'vitest';
import { inReadingOrder, type Placed } from '../../web-viewer/src/slice-order.ts';

const AXIAL = [1, 0, 0, 0, 1, 0];

function slice(
  instanceNumber: number | undefined,
  z: number | undefined,
  orientation: number[] | undefined = AXIAL,
): Placed {
  return {
    instanceNumber,
    sopInstanceUid: `1.2.${instanceNumber ?? 0}.${z ?? 0}`,
    frameNumber: 1,
    position: z === undefined ? undefined : [0, 0, z],
    orientation,
  };
}

function order(slices: Placed[]): (number | undefined)[] {
  return inReadingOrder(slices).map((one) => one.instanceNumber);
}

describe('the order of slices', () => {
  it('follows the place along the normal, whatever the numbers say in between', () => {
    const places = inReadingOrder([slice(1, 0), slice(4, 5), slice(2, 15), slice(9, 20), slice(3, 10)]);
    expect(places.map((one) => one.position?.[2])).toEqual([0, 5, 10, 15, 20]);
  });

  it('runs the way the numbers run, so that slice 1 is the first', () => {
    expect(order([slice(3, -30), slice(1, -10), slice(2, -20)])).toEqual([1, 2, 3]);
    expect(order([slice(3, 30), slice(1, 10), slice(2, 20)])).toEqual([1, 2, 3]);
  });

  it('falls back to Instance Number where slices share a place, as moments of one heart do', () => {
    expect(order([slice(3, 0), slice(1, 10), slice(4, 10), slice(2, 0)])).toEqual([1, 2, 3, 4]);
  });

  it('falls back to Instance Number where slices are not parallel, as the three planes of a localizer', () => {
    expect(order([slice(2, 0, [0, 1, 0, 0, 0, -1]), slice(3, 50), slice(1, 99)])).toEqual([1, 2, 3]);
  });

  it('falls back to Instance Number where one slice does not say where it lies', () => {
    expect(order([slice(3, 0), slice(1, undefined), slice(2, 10)])).toEqual([1, 2, 3]);
  });

  it('measures oblique stacks along their own normal', () => {
    const half = Math.SQRT1_2;
    const oblique = [1, 0, 0, 0, half, half];
    const at = (n: number, distance: number): Placed => ({
      ...slice(n, 0, oblique),
      // Shifted within the plane as well, which must not matter.
      position: [distance * 100, -half * distance, half * distance],
    });
    expect(order([at(2, 2), at(3, 3), at(1, 1)])).toEqual([1, 2, 3]);
  });

  it('keeps the frames of objects without numbers in their own order', () => {
    const frames = [3, 1, 2].map((frameNumber) => ({
      ...slice(undefined, undefined, undefined),
      frameNumber,
    }));
    expect(inReadingOrder(frames).map((one) => one.frameNumber)).toEqual([1, 2, 3]);
  });
});
