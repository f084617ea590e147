/**
 * The vessels of the synthetic lungs: short straight tubes that branch and thin out from the hilum.
 * Grown once per phantom by phantom.ts, then painted into every slice that cuts them.
 */
import { isLung, LUNG } from './anatomy.ts';
import type { Random } from './random.ts';
import { COLUMNS, PIXEL_SPACING, ROWS } from './slice-grid.ts';

export interface Vessel {
  x: number;
  y: number;
  z: number;
  /** Direction, of length 1. */
  dx: number;
  dy: number;
  dz: number;
  radius: number;
  length: number;
}

const BLOOD = 60;
const BRANCHES = 8;
const GENERATIONS = 7;
/** Murray's law: the cubes of the radii of two children add up to their parent's. */
const THINNING = 0.79;

export function growLungVessels(random: Random): Vessel[] {
  const vessels: Vessel[] = [];
  const grow = (from: Omit<Vessel, 'length'>, generation: number): void => {
    const length = (15 + 12 * random.next()) * (generation / GENERATIONS + 0.5);
    vessels.push({ ...from, length });
    if (generation === 0) return;
    const x = from.x + from.dx * length;
    const y = from.y + from.dy * length;
    const z = from.z + from.dz * length;
    for (let child = 0; child < 2; child++) {
      const spread = () => 0.55 * random.normal();
      const [dx, dy, dz] = unit(from.dx + spread(), from.dy + spread(), from.dz + spread());
      grow({ x, y, z, dx, dy, dz, radius: from.radius * THINNING }, generation - 1);
    }
  };
  for (const side of [-1, 1]) {
    for (let branch = 0; branch < BRANCHES; branch++) {
      const angle = ((branch + 0.3 * random.normal()) / BRANCHES) * 2 * Math.PI;
      const [dx, dy, dz] = unit(side * 0.8, 0.6 * Math.cos(angle), 1.2 * Math.sin(angle));
      grow({ x: side * 36, y: 4, z: 12, dx, dy, dz, radius: 5.2 }, GENERATIONS);
    }
  }
  return vessels;
}

function unit(x: number, y: number, z: number): [number, number, number] {
  const length = Math.hypot(x, y, z) || 1;
  return [x / length, y / length, z / length];
}

/** Brightens what is lung in the slice at z; the tubes end where the lung ends. */
export function paintVessels(slice: Float32Array, z: number, vessels: readonly Vessel[]): void {
  const lung = Uint8Array.from(slice, (value) => (isLung(value) ? 1 : 0));
  for (const vessel of vessels) {
    const end = vessel.z + vessel.dz * vessel.length;
    if (z < Math.min(vessel.z, end) - vessel.radius || z > Math.max(vessel.z, end) + vessel.radius) continue;
    const steps = Math.ceil(vessel.length / 0.7);
    for (let step = 0; step <= steps; step++) {
      const along = (step / steps) * vessel.length;
      const square = vessel.radius ** 2 - (vessel.z + vessel.dz * along - z) ** 2;
      if (square > 0) {
        disc(slice, lung, vessel.x + vessel.dx * along, vessel.y + vessel.dy * along, Math.sqrt(square));
      }
    }
  }
}

function disc(slice: Float32Array, lung: Uint8Array, x: number, y: number, radius: number): void {
  const reach = Math.ceil(radius / PIXEL_SPACING) + 1;
  const centreRow = y / PIXEL_SPACING + (ROWS - 1) / 2;
  const centreColumn = x / PIXEL_SPACING + (COLUMNS - 1) / 2;
  for (let row = Math.round(centreRow) - reach; row <= centreRow + reach; row++) {
    for (let column = Math.round(centreColumn) - reach; column <= centreColumn + reach; column++) {
      const at = row * COLUMNS + column;
      if (lung[at] !== 1) continue;
      const distance = Math.hypot(row - centreRow, column - centreColumn) * PIXEL_SPACING;
      const covered = Math.max(0, Math.min(1, (radius - distance) / PIXEL_SPACING + 0.5));
      slice[at] = Math.max(slice[at]!, LUNG + covered * (BLOOD - LUNG));
    }
  }
}
